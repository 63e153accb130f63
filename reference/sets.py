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
from .formats import FORMATS
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


NOTHING_KNOWN = 1e300  # instead of infinity: of a set of zeros it makes zero


def errors(found: Statistics, count: int | Array, arithmetic: Arithmetic) -> tuple[Array, Array]:
    """How far the mean and the variance of sets of `count` elements may be off, whichever way they are computed.

    A division is two roundings where it is a product with a rounded 1/m: of sums q = 2u + u^2, in Welford's steps, with
    the difference that is divided, c = (1+u)^3 - 1.

    Mean. As a sum in any order, divided before or after (see avg_pool2d): dmu <= g(m-1)*(M + q*A) + q*A. Running, as
    mu_k = mu_(k-1) + (x_k - mu_(k-1))/k (Welford): its error times k, E_k, obeys E_k <= (1+u)*(1 + c/(k-1))*E_(k-1) +
    (1+u)*c*|x_k - mu_(k-1)| + u*|k*mu_k|. k*mu_k is a partial sum, at most m*M; all factors together are less than
    G = exp((m-1)*u + c*H); and the |x_k| add up to m*A, the |mu_(k-1)| to H*m*M at most. Hence dmu <= G*((m-1)*u*M +
    (1+u)*c*(A + H*M)), and no mean on the way is off by more than e = G*((m-1)*u*M + 2*(1+u)*c*X).

    Variance. As the mean of (x - mu)^2, whose mean is v + dmu^2 where mu is off by dmu, with at most m+4 roundings
    each: dv <= dmu^2 + g(m+4)*(v + dmu^2). Running: the products (x_k - mu_(k-1))*(x_k - mu_k) are not negative and add
    up to m*v; differences off by e change them by b = 2e*sqrt(v*(1 + H/m)) + e^2 on average, by Cauchy and Schwarz:
    dv <= b + g(m+4)*(v + b). In one pass, as mean(x^2) - mu^2: with s = g(m+2)*(v + mu^2) of the squares and
    t = dmu*(2|mu| + dmu) + u*(|mu| + dmu)^2 of the other, dv <= s + t + u*(v + s + t). This passes; the others are
    better.

    A mean that is declared to be kept in a narrower format (`statistics`, its unit d) may be rounded to it before the
    differences are taken: then it is off by d*(|mu| + dmu) and half a spacing more in the first of these, and in that
    alone. What it adds to the mean itself is left to whoever uses it (normalize.inverse_deviation).

    Source: derived here, in the notation of Higham (2002, from memory); the running way is Welford's (1962, from
    memory), and that the three ways differ as 1, the mean's size and its square do is known from Chan, Golub and
    LeVeque (1983, from memory).

    Underflow is a local error like the others: f, half a spacing (a whole one where a unit truncates), of a division,
    m of them where each element is divided, enlarged by what follows. Where subnormal numbers are flushed f is the
    smallest normal number, of every operation, and of every input: differences from the mean are then off by 2f more.
    """
    m, u = count, arithmetic.unit
    harmonic = _harmonic(int(np.max(m)))[np.asarray(m, np.int64)]
    mu, v = np.abs(found.mean), found.variance
    partial = (found.modulus + mu) / 2
    q, c = 2 * u + u * u, u * (3 + 3 * u + u * u)

    def g(k: int | Array) -> Any:
        return np.where(np.multiply(k, u) < 1, k * u / np.maximum(1 - np.multiply(k, u), u * u), NOTHING_KNOWN)

    flush = arithmetic.flush_to_zero
    f = lost(arithmetic) if flush else arithmetic.unit_factor * arithmetic.acc.spacing / 2
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        summing, every = g(m - 1), g(m + 4)
        growth = np.exp((m - 1) * u + c * harmonic)
        underflow = ((m + 1) * f) * np.maximum(1 + summing, growth)
        divided = q * found.modulus
        summed = summing * (partial + divided) + divided
        steps, c = (m - 1) * u * partial, (1 + u) * c
        mean = np.maximum(summed, growth * (steps + c * (found.modulus + harmonic * partial))) + underflow
        e = growth * (steps + 2 * c * found.largest) + underflow
        summed = summed + underflow
        if flush:
            summed, e = summed + 2 * f, e + 2 * f
        if arithmetic.statistics:
            narrow = FORMATS[arithmetic.statistics]
            summed = summed + narrow.unit * (mu + summed) + narrow.spacing / 2
        square = summed**2 + (2 * f * np.sqrt(v) if flush else 0.0)
        two_passes = square + every * (v + square)
        b = 2 * e * np.sqrt(v * (1 + harmonic / m)) + e**2
        welford = b + every * (v + b)
        s = g(m + 2) * (v + mu**2)
        t = mean * (2 * mu + mean) + u * (mu + mean) ** 2
        one_pass = s + t + u * (v + s + t)
        variance = np.maximum(np.maximum(two_passes, welford), one_pass)
    return mean, variance + (m + 3) * f * (1 + every)


def lost(arithmetic: Arithmetic) -> float:
    """What an underflow may lose in the accumulator, or, where subnormals are flushed, already in an input."""
    return 2 * arithmetic.out.smallest_normal if arithmetic.flush_to_zero else arithmetic.acc.spacing
