"""The arithmetic an implementation declares, and the bounds made of them.

Notation: a format has p significand bits (the hidden bit included), unit roundoff u = 2^-p, smallest normal
omega, spacing of subnormals eta and largest finite Omega. The bounds hold for every summation order, blocking,
fused multiply-add and wider accumulator; each constant is forced by the derivation beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .formats import FORMATS, Format, format_of, round_to

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def raised(u: float, power: int) -> float:
    """(1+u)^power - 1, for units of float64 too, of which 1 + u is 1."""
    return math.expm1(power * math.log1p(u))


def own_rounding(terms: Any) -> Any:
    """What a bound is enlarged by, relatively, as its own figures are float64 sums of so many terms, and products and
    quotients of a few of these: 4*2^-53*(terms + 8)."""
    return 4 * FORMATS["float64"].unit * (terms + 8)


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """What an implementation says it computes in. It is held to exactly that.

    storage, accumulator: names of formats; the result is rounded once from the accumulator to the storage.
    unit_factor: 1 for rounding to nearest, 2 for truncating or faithful units (tensor cores).
    input_rounding: relative error of rounding each input before the product, 0 for none (to 11 bits, as TF32 does:
    2^-11 to nearest, 2^-10 by cutting off).
    statistics: the format in which a normalization keeps mean and deviation, if it is narrower than the accumulator; in
    its gradients also that of operations on single elements, and of the sums of those of weight and bias.
    algorithm: `direct`, if each output is made of its own products; `tiled` or `whole`, if by way of a transform of
    tiles or of everything at once, whose numbers are up to `growth` times as large (algorithms.py). Of convolutions
    and, as a `whole`, of fully connected layers; elsewhere a backend is held to direct sums.
    """

    name: str
    storage: str
    accumulator: str
    unit_factor: float = 1.0
    input_rounding: float = 0.0
    flush_to_zero: bool = False
    statistics: str = ""
    algorithm: str = "direct"
    growth: float = 1.0

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm {self.algorithm!r} is unknown; known are {', '.join(ALGORITHMS)}")

    @classmethod
    def ieee(cls, dtype: np.dtype[Any] | str) -> Arithmetic:
        """Strict IEEE arithmetic; the two 16-bit formats accumulate in float32."""
        storage = format_of(dtype).name
        wide = "float32" if storage in ("float16", "bfloat16") else storage
        return cls(name="ieee", storage=storage, accumulator=wide)

    @classmethod
    def named(cls, name: str, dtype: np.dtype[Any] | str) -> Arithmetic:
        """A declared arithmetic by name: ieee, or one of those in DECLARED that changes float32 only."""
        strict = cls.ieee(dtype)
        if name == "ieee" or strict.storage != "float32":
            return strict
        return replace(strict, name=name, **DECLARED[name])

    @classmethod
    def loosest(cls, several: Sequence[Arithmetic]) -> Arithmetic:
        """What several operations of one storage format compute in, taken together: of each part, the least exact."""
        names = sorted({one.name for one in several} - {"ieee"})
        narrow = [one.statistics for one in several if one.statistics]
        return cls(
            name="+".join(names) or "ieee",
            storage=several[0].storage,
            accumulator=min((one.accumulator for one in several), key=lambda name: FORMATS[name].p),
            unit_factor=max(one.unit_factor for one in several),
            input_rounding=max(one.input_rounding for one in several),
            flush_to_zero=any(one.flush_to_zero for one in several),
            statistics=min(narrow, key=lambda name: FORMATS[name].p, default=""),
            algorithm=max((one.algorithm for one in several), key=ALGORITHMS.index),
            growth=max(one.growth for one in several),
        )

    @property
    def out(self) -> Format:
        return FORMATS[self.storage]

    @property
    def acc(self) -> Format:
        return FORMATS[self.accumulator]

    @property
    def unit(self) -> float:
        return self.unit_factor * self.acc.unit

    @property
    def widens(self) -> bool:
        return self.accumulator != self.storage


# From the one that spoils nothing to the one that spoils most.
ALGORITHMS = ("direct", "tiled", "whole")

# Reduced-precision multiplies that a float32 backend may declare. TF32 keeps 11 significand bits, of which 10 are
# stored; truncating hardware loses up to twice the unit; bfloat16 keeps 8. Winograd's F(m x m, 3 x 3) grows as its
# matrices do, at the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity (tests/test_algorithms.py makes them); a Fourier
# transform of a tile of 16 x 16 as the number of its points.
DECLARED: dict[str, dict[str, Any]] = {
    "tf32": {"input_rounding": 2.0**-10, "unit_factor": 2.0},
    "bf16": {"input_rounding": 2.0**-8, "unit_factor": 2.0},
    "winograd_f2": {"algorithm": "tiled", "growth": 16.0},
    "winograd_f4": {"algorithm": "tiled", "growth": 861.0},
    "winograd_f6": {"algorithm": "tiled", "growth": 1605.0},
    "fft_tiled": {"algorithm": "tiled", "growth": 256.0},
    "fft": {"algorithm": "whole"},
}


@dataclass(frozen=True)
class Bound:
    """How far a correct result may be from the truth, element by element.

    tolerance: |actual - truth| must not exceed it. forced: the result is determined to the last bit.
    overflows: some legal order of summation leaves the range, so that inf or NaN are accepted there.
    size: |y| + sum of the absolute terms; a tolerance as large as this says nothing.
    terms: how many terms other than zero each element adds up, where it is a sum; of the shape of the others, or one
    that stretches to it.
    results: what a forced element may be, where the tolerance alone does not say it: a tie is as far from either side.
    """

    tolerance: Array
    forced: Mask
    overflows: Mask
    size: Array
    terms: Array | None = None
    results: tuple[Array, ...] = ()

    @classmethod
    def exact(cls, shape: tuple[int, ...]) -> Bound:
        """For operations that only select and copy: no error at all."""
        zero, no = np.zeros(shape), np.zeros(shape, bool)
        return cls(zero, ~no, no, np.full(shape, np.inf))

    @property
    def vacuous(self) -> Mask:
        return (self.tolerance >= self.size) & (self.tolerance > 0)


def dot_bound(
    value: Array,
    magnitude: Array,
    terms: Array,
    arithmetic: Arithmetic,
    *,
    bias: Array | float = 0.0,
    whole: bool = False,
    reference_unit: float | None = None,
    flushed: Array | float = 0.0,
    summed: bool = False,
) -> Bound:
    """The bound of y = sum x*w + b, whatever the order of summation.

    value: y. magnitude: B = sum |x||w| + |b|. terms: T, the number of non-zero products, plus one for a
    non-zero bias. whole: every x, w and b is an integer. flushed: what subnormal inputs contribute, where they may be
    read as zero. summed: every w is one, so that nothing is multiplied, and there is no bias.

    Let L be the sum of the absolute local errors. Products contribute at most u*P, P = B - |b| (nothing with a
    fused multiply-add). A tree has at most T-1 additions of two non-zero operands; the exact sum of the computed
    operands of one of them is a subset sum plus errors already counted, so at most M + L in modulus with
    M = (B + |y|)/2, the largest partial sum over all orders. What underflows, F, is one more local error: half a
    spacing of each product, a whole one where a unit truncates (an addition is exact there); with flushing the smallest
    normal number of each of the 2T-1 operations. Hence L <= u*P + (T-1)*u*(M + L) + F. Adding an exact zero is exact:
    padding and sparsity do not count.

    With rounding to nearest also L <= T*u*B + F*(1 + (T-1)*u). Without underflow that is Jeannerod and Rump (2013); an
    error by underflow of a product, fused or not, is as if its exact value had been off by it, and a flushed addition
    as if its negative had been a term more, added exactly: both lengthen B, by F at most, and no addition is rounded
    that was not counted. F/(1 - (T-1)*u) covers both.

    Inputs that are rounded first move the exact sum by at most q*P + `flushed`, q = (1 + input_rounding)^2 - 1, and so
    P, B and M. Read as zero they make them smaller.

    The rounding to the storage, which is to nearest, adds u_d*(|y| + E) and half a spacing. A bias may be added after a
    first one, of y - b, whose modulus is at most M: u_d*(M + E) and half a spacing, or the smallest normal number if
    it is flushed, go through one addition and the second rounding; y - b may itself leave the range of the storage.
    Integers whose M fits the significand are summed exactly in every order.

    Where numbers are only added up, those of the storage being numbers of the accumulator, no product is rounded: L <=
    (T-1)*u*(M + L) + F, and (T-1)*u*B to nearest, by the proof of the other with no error for one term. F is zero but
    where T-1 results are flushed. A single number is copied, and then nothing is off but what is declared of inputs.

    Source: the first bound is derived here; M is also that of ScaLAPACK's PSERRDOT, whose documentation was read. That
    T*u*B holds to nearest is Jeannerod and Rump's theorem (from memory), proven for trees with fused operations in
    docs/numerics.md, 4. Factors like 1/(1 - k*u) are written as in Higham (2002, chapter 3, from memory).
    """
    out, acc = arithmetic.out, arithmetic.acc
    u = arithmetic.unit
    signed, biased = bias, bool(np.any(bias))
    bias = np.abs(bias) if biased else 0.0
    size = np.abs(value)
    total = size + magnitude
    partial = total / 2
    products = magnitude - bias if biased else magnitude
    reference = FORMATS["float64"].unit if reference_unit is None else reference_unit
    # What depends on the number of terms alone is made first: it is the same for all images. `slack` is what the
    # figures that these are multiplied by may be off: they are float64 sums, however y was made.
    additions = np.maximum(terms - 1, 0)
    growth = 1 - additions * u
    slack = 1 + own_rounding(terms)
    summed = summed and acc.holds(out)
    rounded = additions if summed else terms
    least = 0.0 if summed else arithmetic.unit_factor * acc.spacing / 2
    underflow = rounded * (2 * acc.smallest_normal if arithmetic.flush_to_zero else least)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        most, within, of_products = magnitude, partial, products
        if arithmetic.input_rounding:
            moved = (2 * arithmetic.input_rounding + arithmetic.input_rounding**2) * products + flushed
            most, within, of_products = magnitude + moved, partial + moved, products + moved
        error = of_products * (0.0 if summed else slack * u / growth)
        error += within * (slack * additions * u / growth)
        stretched = 1 / growth
        if np.any(growth <= 0):
            error = np.where(growth > 0, error, np.inf)
            stretched = np.where(growth > 0, stretched, 1 + additions * u)
        if arithmetic.unit_factor == 1:
            np.minimum(error, most * (slack * rounded * u), out=error)
        error += slack * underflow * stretched + (0.0 if arithmetic.widens else out.spacing / 2)
        if arithmetic.input_rounding:
            error += moved * slack
        elif arithmetic.flush_to_zero:
            error += flushed * slack
        if arithmetic.widens:
            error += out.spacing / 2
            if biased:
                least = out.smallest_normal if arithmetic.flush_to_zero else out.spacing / 2
                error += np.where(bias > 0, (out.unit * (within + error) + least) * (1 + u), 0.0)
            error += out.unit * (size + error)
        error += magnitude * ((terms + 2) * reference)
        if summed:
            lost = moved if arithmetic.input_rounding else flushed if arithmetic.flush_to_zero else 0.0
            error = np.where(terms <= 1, lost * slack, error)
    empty = magnitude == 0
    if empty.any():
        error[empty] = 0.0
    overflows = _overflow(partial, error, acc)
    if biased and arithmetic.widens:
        overflows |= _overflow(np.abs(value - signed), error, out) & (bias > 0)
    bound = Bound(error, empty, overflows, total, terms)
    if not whole or (arithmetic.input_rounding and np.any(magnitude > 1 / arithmetic.input_rounding)):
        return bound
    return forced_where(partial <= 2.0**acc.p, bound, value, arithmetic, signed)


def forced_where(forced: Mask, bound: Bound, value: Array, arithmetic: Arithmetic, bias: Array | float = 0.0) -> Bound:
    """Replace the tolerance by the distance of the one correct result, where the sum is exact in every order.

    That result is y rounded once to the storage format, a tie to the even side; with a bias, also y - b rounded, b
    added, rounded again.
    """
    if not forced.any():
        return bound
    out = arithmetic.out
    results: tuple[Array, ...] = (round_to(value, out),)
    if arithmetic.widens and np.any(bias):
        results += (round_to(round_to(value - bias, out) + bias, out),)
    off = np.max([np.abs(result - value) for result in results], axis=0)
    forced = forced & np.isfinite(off)
    return replace(
        bound,
        tolerance=np.where(forced, off, bound.tolerance),
        forced=bound.forced | forced,
        results=results if arithmetic.widens else (),
    )


def _overflow(partial: Array, error: Array, acc: Format) -> Mask:
    with np.errstate(invalid="ignore", over="ignore"):
        if partial.size and partial.max() + error.max() < acc.largest:
            return np.zeros(partial.shape, bool)
        return ~(partial + error < acc.largest)


def is_whole(*arrays: npt.NDArray[Any] | None) -> bool:
    """Is every element of every array a (finite) integer?"""
    return all(a is None or _whole(a) for a in arrays)


def _whole(array: npt.NDArray[Any]) -> bool:
    values = np.asarray(array, np.float64)
    if values.size and not float(values.flat[0]).is_integer():  # of most that are not, the first is none
        return False
    with np.errstate(invalid="ignore"):
        return bool(np.all(np.rint(values) == values) and np.all(np.isfinite(values)))
