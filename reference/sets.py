"""Which elements are normalized together, their mean and variance, and how far these may be off.

Notation: a set has m elements, mean mu, biased variance v, A = mean|x|, X = max|x| and H = 1 + 1/2 + ... + 1/m; a
partial sum of the set is at most m*M with M = (A + |mu|)/2. u is the accumulator's unit roundoff, g(k) = k*u/(1 - k*u).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from .dot import as_float
from .rounding import Arithmetic

Array = npt.NDArray[np.float64]
Shape = tuple[int, ...]
Normalization = Any  # an operation with x, weight, bias and eps, and `sets`


@dataclass(frozen=True)
class Sets:
    """Which elements are normalized together: x seen in `shape`, a set along `axes`; weight and bias in `affine`."""

    shape: Shape
    axes: tuple[int, ...]
    affine: Shape

    @property
    def count(self) -> int:
        """m, the number of elements of a set."""
        return prod(self.shape[a] for a in self.axes)

    def rows(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """x with one row per set: (sets, m)."""
        return array.reshape(self.shape).transpose(self._order).reshape(-1, self.count)

    def whole(self, rows: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
        """Rows, one per set, put back to where they came from in an array of this shape."""
        moved = rows.reshape([self.shape[a] for a in self._order])
        return np.array(moved.transpose(np.argsort(self._order)).reshape(shape), order="C")

    @property
    def _order(self) -> list[int]:
        return [a for a in range(len(self.shape)) if a not in self.axes] + list(self.axes)


def channel_groups(problem: Any, count: int, *, pixels: bool = False) -> Sets:
    """The channels in `count` contiguous groups, over the whole image or, with `pixels`, for every pixel alone."""
    n, c, h, w = problem.x.shape
    shape = (n, count, c // count, h, w)
    return Sets(shape, (2,) if pixels else (2, 3, 4), (1, count, c // count, 1, 1))


@dataclass(frozen=True)
class Statistics:
    """Of each set, with its axes kept at length one: mu, v, A and X."""

    mean: Array
    variance: Array
    modulus: Array
    largest: Array


def statistics(x: Array, axes: tuple[int, ...]) -> Statistics:
    """In float64, in two passes; the mean is corrected by the mean of what is left."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean = x.mean(axis=axes, keepdims=True)
        mean = np.asarray(mean + (x - mean).mean(axis=axes, keepdims=True))
        variance = np.asarray(((x - mean) ** 2).mean(axis=axes, keepdims=True))
        modulus = np.abs(x)
        return Statistics(mean, variance, modulus.mean(axis=axes, keepdims=True), modulus.max(axis=axes, keepdims=True))


def held(problem: Normalization) -> tuple[Array, Array] | None:
    """Mean and variance where they are given, each in the view of the sets; None where those of the sets are used."""
    given: tuple[Array, Array] | None = getattr(problem, "held", None)
    return given


def found_in(problem: Normalization) -> Statistics:
    """The statistics that the problem is normalized with; those of its sets are taken once, and kept with it."""
    given = held(problem)
    if given is not None:
        mean, variance = given
        return Statistics(mean, variance, np.abs(mean), np.abs(mean))
    known: Statistics | None = problem.__dict__.get("_statistics")
    if known is None:
        sets: Sets = problem.sets
        known = problem.__dict__["_statistics"] = statistics(as_float(problem.x).reshape(sets.shape), sets.axes)
    return known


def vary(problem: Normalization) -> bool:
    """Is every variance positive? That of a set is exactly where two of its elements differ."""
    given = held(problem)
    if given is not None:
        return bool(np.all(given[1] > 0))
    sets = problem.sets
    x = as_float(problem.x).reshape(sets.shape)
    return not x.size or bool(np.all(x.max(axis=sets.axes) != x.min(axis=sets.axes)))


@lru_cache(maxsize=64)
def _harmonic(most: int) -> Array:
    """1 + 1/2 + ... + 1/m for m from 0 to `most`."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, most + 1))])


def errors(found: Statistics, count: int | Array, arithmetic: Arithmetic) -> tuple[Array, Array]:
    """How far the mean and the variance of sets of `count` elements may be off, whichever way they are computed.

    The mean as a sum in any order, divided before or after (2u): dmu <= g(m-1)*M + 2u*A. As a running mean (Welford),
    whose k-th value times k is a partial sum: dmu <= u*((m+1+2H)*M + 2A).

    The variance as the mean of (x - mu)^2: dv <= g(m+6)*(v + dmu^2) + dmu^2. Running: dv <= g(m+6)*v +
    2e*sqrt(v*(1 + H/m))*(1 + g(m+6)) + e^2*(1 + g(m+6)) with e = u*((m+2+2H)*M + 4X). In one pass, as mean(x^2) - mu^2
    with q = v + mu^2: dv <= g(m+2)*q + 2|mu|*dmu + dmu^2 + 2u*mu^2 + u*(v + g(m+2)*q): this is what passes; the others
    are better. What underflows adds a spacing to each mean and four to each variance.
    """
    m, u = count, arithmetic.unit
    harmonic = _harmonic(int(np.max(m)))[np.asarray(m, np.int64)]
    mu, v = np.abs(found.mean), found.variance
    partial = (found.modulus + mu) / 2

    def g(k: int | Array) -> Any:
        return np.where(k * u < 1, k * u / (1 - k * u), np.inf)

    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        summed = g(m - 1) * partial + 2 * u * found.modulus
        running = u * ((m + 1 + 2 * harmonic) * partial + 2 * found.modulus)
        mean = np.maximum(summed, running)
        e = u * ((m + 2 + 2 * harmonic) * partial + 4 * found.largest)
        q = v + mu**2
        two_passes = g(m + 6) * (v + summed**2) + summed**2
        welford = g(m + 6) * v + (2 * e * np.sqrt(v * (1 + harmonic / m)) + e**2) * (1 + g(m + 6))
        squares = g(m + 2) * q
        one_pass = squares + 2 * mu * mean + mean**2 + 2 * u * mu**2 + u * (v + squares)
        variance = np.maximum(np.maximum(two_passes, welford), one_pass)
    return mean + lost(arithmetic), variance + 4 * lost(arithmetic)


def lost(arithmetic: Arithmetic) -> float:
    """What an underflow may lose in the accumulator, or, where subnormals are flushed, already in an input."""
    return 2 * arithmetic.out.smallest_normal if arithmetic.flush_to_zero else arithmetic.acc.spacing
