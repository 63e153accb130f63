"""Values that carry their own error bound, so that a law compares exactly what may be compared exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Tolerance = npt.NDArray[Any] | float | Callable[[], npt.NDArray[Any]]


class Measured:
    """A float64 array and the largest error that each of its elements may carry.

    Sums, differences and products with known numbers propagate both. The rounding of this float64 arithmetic
    itself is added from error-free transformations, so it is exactly zero where the arithmetic was exact: on
    integers a law stays an equality.

    The error may be given as a function that makes it. It is made when somebody asks for it: two sides of a law that
    are equal to the bit, as most are, need none.
    """

    __slots__ = ("_tolerance", "value")
    __array_priority__ = 100.0

    def __init__(self, value: npt.NDArray[Any], tolerance: Tolerance = 0.0) -> None:
        self.value: Array = np.asarray(value, np.float64)
        self._tolerance = tolerance

    @property
    def tolerance(self) -> Array:
        made = self._tolerance() if callable(self._tolerance) else self._tolerance
        if not (isinstance(made, np.ndarray) and made.dtype == np.float64 and made.shape == self.value.shape):
            made = np.broadcast_to(np.asarray(made, np.float64), self.value.shape)
        self._tolerance = made
        return made

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def like(self, value: npt.NDArray[Any]) -> Measured:
        """Another value that may be off as far as this one."""
        return Measured(value, lambda: self.tolerance)

    def rearranged(self, function: Callable[[Array], Array]) -> Measured:
        """Apply a function that only moves, repeats or drops elements: a slice, a flip, a transpose."""
        return Measured(function(self.value), lambda: function(self.tolerance))

    def __getitem__(self, index: Any) -> Measured:
        return self.rearranged(lambda a: a[index])

    def __add__(self, other: Measured | npt.NDArray[Any] | float) -> Measured:
        other = other if isinstance(other, Measured) else Measured(np.asarray(other))
        a, b = self, other

        def error() -> Array:
            return np.asarray(a.tolerance + b.tolerance + np.abs(two_sum(a.value, b.value)[1]))

        with np.errstate(invalid="ignore", over="ignore"):
            return Measured(a.value + b.value, error)

    __radd__ = __add__

    def __neg__(self) -> Measured:
        return Measured(-self.value, lambda: self.tolerance)

    def __sub__(self, other: Measured | npt.NDArray[Any] | float) -> Measured:
        return self + (-other)

    def __rsub__(self, other: npt.NDArray[Any] | float) -> Measured:
        return (-self) + other

    def __mul__(self, factor: Measured | npt.NDArray[Any] | float) -> Measured:
        """Times a known number or array of numbers, or another measured one."""
        known = factor.value if isinstance(factor, Measured) else np.asarray(factor, np.float64)

        def error() -> Array:
            lost, here = np.abs(two_product(self.value, known)[1]), self.tolerance
            there = factor.tolerance if isinstance(factor, Measured) else np.zeros(())
            with np.errstate(invalid="ignore"):
                off = here * np.abs(known) + there * np.abs(self.value) + here * there + lost
            # What may be anything may be so times zero too: an infinity among the answers makes a NaN of it.
            return np.where(np.isposinf(here) | np.isposinf(there), np.inf, off)

        with np.errstate(invalid="ignore", over="ignore"):
            return Measured(self.value * known, error)

    __rmul__ = __mul__

    def sum(self, axis: int | tuple[int, ...]) -> Measured:
        """The sum along axes."""
        axes = sorted((a % self.value.ndim for a in ((axis,) if isinstance(axis, int) else axis)), reverse=True)
        result = self
        for a in axes:
            result = result.rearranged(lambda v, a=a: np.moveaxis(v, a, 0))  # type: ignore[misc]
            if not result.shape[0]:
                result = Measured(np.zeros(result.shape[1:]))
                continue
            while result.shape[0] > 1:  # pairwise, so that the additions are few and long
                half = result.shape[0] // 2
                rest = result[2 * half :]
                result = result[:half] + result[half : 2 * half]
                if rest.shape[0]:
                    result = concatenate([result, rest], 0)
            result = result[0]
        return result


def concatenate(parts: list[Measured], axis: int) -> Measured:
    """Join along an axis, as numpy.concatenate."""
    return Measured(
        np.concatenate([p.value for p in parts], axis), lambda: np.concatenate([p.tolerance for p in parts], axis)
    )


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b as the rounded sum and its exact rounding error (Knuth, TAOCP vol. 2, 4.2.2)."""
    with np.errstate(invalid="ignore", over="ignore"):
        s = np.asarray(a + b)
        t = s - a
        lost = (a - (s - t)) + (b - t)
    return s, np.where(np.isfinite(s), lost, 0.0)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a * b as the rounded product and its exact rounding error (Dekker 1971, with Veltkamp's splitting)."""
    with np.errstate(invalid="ignore", over="ignore"):
        p = np.asarray(a * b)
        a_hi, a_lo = _split(a)
        b_hi, b_lo = _split(b)
        lost = ((a_hi * b_hi - p) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo
    return p, np.where(np.isfinite(p) & np.isfinite(lost), lost, 0.0)


def _split(a: Array) -> tuple[Array, Array]:
    """The upper and the lower 26 bits of each significand."""
    c = 134217729.0 * a  # 2^27 + 1
    hi = c - (c - a)
    return hi, a - hi


def sum_of_products(a: Array, b: Array) -> tuple[Array, Array]:
    """sum over the last axis of a*b, as hi + lo with about twice the precision of float64.

    Products are split exactly; the halves are added pairwise with their errors collected (Ogita, Rump and
    Oishi 2005): the result is as if computed in about 106 bits and rounded.
    """
    return sum_of_pairs(*two_product(a, b))


def sum_of_pairs(hi: Array, lo: Array) -> tuple[Array, Array]:
    """sum over the last axis of unevaluated sums hi + lo, as one of the same kind."""
    while hi.shape[-1] > 1:
        if hi.shape[-1] % 2:
            hi = np.concatenate([hi, np.zeros((*hi.shape[:-1], 1))], axis=-1)
            lo = np.concatenate([lo, np.zeros((*lo.shape[:-1], 1))], axis=-1)
        s, e = two_sum(hi[..., ::2], hi[..., 1::2])
        hi, lo = s, lo[..., ::2] + lo[..., 1::2] + e
    if hi.shape[-1] == 0:
        zero = np.zeros(hi.shape[:-1])
        return zero, zero.copy()
    return two_sum(hi[..., 0], lo[..., 0])
