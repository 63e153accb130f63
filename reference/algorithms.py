"""Sums of products by way of a transform: what a backend that declares one may be off, beyond its own terms.

A direct kernel adds up the products of an output and nothing else. A transform adds and subtracts neighbours, so that a
large number spoils what lies beside it: in its tile (Winograd, tiled FFT), or anywhere (FFT, Strassen). Such a backend
cannot be held to the bound of its own terms; it declares the sort of algorithm in its arithmetic, and is held to what
that costs. In return nothing is exact any more, but where everything within reach is zero.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .rounding import Arithmetic, Bound
from .window import Window

Array = npt.NDArray[np.float64]

DIRECT, TILED, WHOLE = "direct", "tiled", "whole"

# The operations whose bounds know a transform, and which.
TRANSFORMED = {"conv2d": (TILED, WHOLE), "linear": (WHOLE,)}

# The longest side of a tile of inputs: that of the widest Winograd transforms and tiled FFTs that are in use.
TILE = 16


def near(x: Array, rows: Window, columns: Window) -> Array:
    """(N, C, H, W), padded -> (N, C, I, J): the largest modulus in any tile that holds the field of an output."""
    found = np.pad(np.abs(x), ((0, 0), (0, 0), (TILE - 1, TILE - 1), (TILE - 1, TILE - 1)))
    for axis, window in ((2, rows), (3, columns)):
        seen = np.lib.stride_tricks.sliding_window_view(found, window.span + 2 * (TILE - 1), axis=axis)
        every = (slice(None),) * axis + (slice(0, (window.count - 1) * window.stride + 1, window.stride),)
        found = seen[every].max(axis=-1)
    return found


def tiled(x: Array, weight: Array, groups: int, axes: tuple[Window, Window]) -> Array:
    """(N, K, I, J): sum over c of ||w[k,c]||_1 * the largest |x[c]| in reach; x is padded, (N, C, H, W)."""
    largest = near(x, *axes)
    n, c, i, j = largest.shape
    filters = np.abs(weight).sum(axis=(2, 3)).reshape(groups, len(weight) // groups, c // groups)
    return np.asarray(filters @ largest.reshape(n, groups, c // groups, i * j)).reshape(n, len(weight), i, j)


def transformed(bound: Bound, reach: Array | float, path: int, arithmetic: Arithmetic) -> Bound:
    """The bound of a direct kernel, widened by what a transform adds.

    reach: for `tiled`, what `tiled` gives; for `whole`, ||x|| * ||w|| in the Frobenius norm. path: how many roundings
    lie on the way from an input to an output: each of them multiplies by 1 + d with |d| <= u, so that the whole is off
    by at most g(path) = path*u/(1 - path*u) times the same expression with all its numbers and coefficients made
    positive. Of y = A'[sum over c of (G w G') * (B' x B)]A that is at most growth * reach, with growth the square of
    max over i of sum over j of |A_ij| * max over k of |G_jk| * sum over l of |B_jl|, whatever the scaling of the
    points. A product that underflows is lost with at most half the spacing, times the growth; where growth * reach
    leaves the range, so may the transform. Derived here; docs/numerics.md, 4.3, has the proof.
    """
    acc = arithmetic.acc
    u = path * arithmetic.unit
    q = 2 * arithmetic.input_rounding + arithmetic.input_rounding**2
    most = arithmetic.growth * np.asarray(reach, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        more = most * ((u / (1 - u) if u < 1 else np.inf) + q) * (1 + 4 * arithmetic.out.unit)
        more = np.where(most > 0, more + arithmetic.growth * path * acc.spacing, 0.0)
        overflows = bound.overflows | ~(most < acc.largest)
    return replace(bound, tolerance=bound.tolerance + more, forced=bound.forced & (more == 0), overflows=overflows)


def of_convolution(
    bound: Bound, x: Array, weight: Array, groups: int, axes: tuple[Window, Window], arithmetic: Arithmetic
) -> Bound:
    """The bound of a convolution of a padded x in declared arithmetic, whatever the algorithm is.

    In tiles: two passes of at most TILE terms over the inputs and two over the outputs, two of R or S over the filters,
    a coefficient each, one product, and C/groups sums. As a whole: three Fourier transforms in two dimensions, of at
    most log2 of twice the sides stages of which each is off by 4u times sqrt(2) and the rounding of its roots of unity,
    7u in all (Higham 2002, chapter 24, from memory), in the Euclidean norm, which passes through the products by
    Cauchy's inequality; 3 * 7 for each stage, and C/groups sums.
    """
    if not bound.tolerance.size:
        return bound
    channels, taps = weight.shape[1], max(weight.shape[2:])
    if arithmetic.algorithm == TILED:
        path = 4 * (TILE + 1) + 2 * (taps + 1) + 1 + channels
        return transformed(bound, tiled(x, weight, groups, axes), path, arithmetic)
    stages = sum(int(np.ceil(np.log2(2 * side))) for side in x.shape[2:])
    return transformed(bound, _norms(x, weight), 21 * stages + channels + 2, arithmetic)


def of_matrices(bound: Bound, x: Array, weight: Array, arithmetic: Arithmetic) -> Bound:
    """The bound of a product of matrices, x (N, F) and weight (O, F); nothing is made of tiles of it."""
    if arithmetic.algorithm != WHOLE or not bound.tolerance.size:
        return bound
    return transformed(bound, _norms(x, weight), x.shape[1] + 2, arithmetic)


def _norms(x: Array, weight: Array) -> float:
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.square(x).sum()) * np.sqrt(np.square(weight).sum()))
