"""Sets of numbers to be normalized whose mean and variance are exact in every order, and what was made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import (
    BatchNorm2d,
    GroupNorm,
    InstanceNorm2d,
    LayerNorm,
    Op,
    PixelGroupNorm,
    SyncBatchNorm2d,
)
from convspec.reference.formats import FORMATS
from convspec.reference.normalize import root_in
from convspec.reference.rounding import Arithmetic
from convspec.reference.sets import errors, found_in

Array = npt.NDArray[np.float64]
Tensor = npt.NDArray[Any]


def _pairs(rows: Tensor) -> Tensor:
    """Rows of elements as channels of two images, half of a row in each."""
    sets, m = rows.shape
    return np.array(rows.reshape(sets, 2, 1, m // 2).swapaxes(0, 1), order="C")


def _remembering(x: Tensor) -> dict[str, Any]:
    c = x.shape[1]
    return {"running_mean": np.zeros(c, x.dtype), "running_var": np.ones(c, x.dtype), "momentum": 1.0}


# A row of elements is a set; m is even.
NORMS: dict[str, Callable[[Tensor, float], Op]] = {
    "layer_norm": lambda rows, eps: LayerNorm(x=rows.reshape(len(rows), 1, 2, -1), eps=eps),
    "group_norm": lambda rows, eps: GroupNorm(x=rows.reshape(1, 2 * len(rows), 1, -1), groups=len(rows), eps=eps),
    "instance_norm2d": lambda rows, eps: InstanceNorm2d(x=rows.reshape(1, len(rows), 2, -1), eps=eps),
    "pixel_group_norm": lambda rows, eps: PixelGroupNorm(
        x=np.array(rows.T.reshape(1, -1, 1, len(rows)), order="C"), groups=1, eps=eps
    ),
    "batch_norm2d": lambda rows, eps: BatchNorm2d(x=_pairs(rows), eps=eps, **_remembering(_pairs(rows))),
    "sync_batch_norm2d": lambda rows, eps: SyncBatchNorm2d(
        x=_pairs(rows), eps=eps, shards=(1, 1), **_remembering(_pairs(rows))
    ),
}


def whole_sets(random: np.random.Generator, sets: int, m: int, mean: int, most: int = 8) -> Array:
    """Rows of whole numbers about a whole mean, each with its mirror image: m a power of two, every sum of them is a
    whole number, and so is m/2 times their variance. No two elements in a row of two are equal."""
    half = random.integers(1, most + 1, (sets, m // 2))
    both = np.concatenate([half, -half], axis=1).astype(np.float64)
    return random.permuted(both, axis=1) + mean


@dataclass(frozen=True)
class Fit:
    """The answer of each set as (1 + scale) * truth + shift + rest, by least squares. Of each set, one number."""

    scale: Array  # the relative error of the inverse deviation
    shift: Array  # that of the mean, over the deviation
    rest: Array  # the largest of what is left: the rounding of single outputs
    lever: Array  # how far `scale` may be off if single outputs are off by one
    spread: Array  # how many times larger than the errors of single outputs the rest may be
    size: Array  # the largest output


def fit(answer: Array, truth: Array, lo: Array) -> Fit:
    """The truths of a row add up to zero."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = (answer - truth) - lo
        shift = error.mean(axis=1)
        squares = np.square(truth).sum(axis=1)
        scale = (error * truth).sum(axis=1) / squares
        rest = np.abs(error - shift[:, None] - scale[:, None] * truth).max(axis=1)
        lever = np.abs(truth).sum(axis=1) / squares
        size = np.abs(truth).max(axis=1)
    return Fit(scale, shift, rest, lever, 2 + size * lever, size)


def scales(problem: Any, arithmetic: Arithmetic) -> dict[str, Array]:
    """How far the inverse deviation of sets with exact sums may be off, relatively, by the class of the variance.

    V-A, in two passes: nothing is rounded but m * v, whole, over m. Then 5u of eps and the root (normalize.judgement),
    3u of the product with the deviation and the weight, and u of the sum with the bias: 9u. V-B, a running variance:
    its running means are rounded, m times: dv = b + g(m+4)*(v + b), with b = 2e*sqrt(v*(1+H/m)) + e^2 and
    e = G*((m-1)*u*M + 2*(1+u)*c*X) (reference.sets.errors). V-C: whatever passes. A wider accumulator is rounded at the
    end; statistics may be kept in 16 bits.
    """
    u, found, m = arithmetic.unit, found_in(problem), problem.sets.count
    v, eps = found.variance.ravel(), problem.eps
    partial, largest = ((found.modulus + np.abs(found.mean)) / 2).ravel(), found.largest.ravel()
    harmonic = float(np.sum(1 / np.arange(1, m + 1)))
    g, c = (m + 4) * u / (1 - (m + 4) * u), u * (3 + 3 * u + u * u)
    e = np.exp((m - 1) * u + c * harmonic) * ((m - 1) * u * partial + 2 * (1 + u) * c * largest)
    b = 2 * e * np.sqrt(v * (1 + harmonic / m)) + e**2
    welford = b + g * (v + b)
    variances = {"V-A": np.zeros_like(v), "V-B": welford, "V-C": errors(found, m, arithmetic)[1].ravel()}
    stored = root_in(FORMATS[arithmetic.statistics].unit) if arithmetic.statistics else 0.0
    last = arithmetic.out.unit if arithmetic.widens else 0.0
    made = {}
    with np.errstate(divide="ignore"):
        r = (v + eps) ** -0.5
        for name, dv in variances.items():
            high, low = (np.maximum(v - dv, 0) + eps) ** -0.5, (v + dv + eps) ** -0.5
            made[name] = np.maximum(high - r, r - low) / r + 9 * u * high / r + stored * high / r + last
    return made


def folded(problem: Any, arithmetic: Arithmetic) -> Array:
    """How far single outputs may be off, of each set, where they are x*a + (bias - mu*a): the products are rounded, and
    so is their difference (normalize.judgement)."""
    found, u = found_in(problem), arithmetic.unit
    r = (found.variance.ravel() + problem.eps) ** -0.5
    return np.asarray(u * r * (found.largest.ravel() + 2 * np.abs(found.mean.ravel())) * (1 + 4 * u))
