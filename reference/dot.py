"""Sums of products: float64 values, magnitudes and term counts of the operations that are dot products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .formats import FORMATS
from .measured import sum_of_products
from .rounding import Arithmetic, Bound, dot_bound, is_whole

Array = npt.NDArray[np.float64]
Multiply = Callable[[Array, Array], Array]
Factors = tuple[Multiply, Array, Array, Array | None]  # of multiply(x, weight) + bias

# The truth of a float64 problem is held in about 106 bits (measured.sum_of_products).
BETTER_THAN_DOUBLE = 2.0**-100

# The root mean square of a rounding error in units of u, over numbers of every size; and of one to whole steps.
ROUNDING, STEP = 0.4, 0.3


def as_float(array: npt.NDArray[Any]) -> Array:
    """The same values in float64; every format of ours fits."""
    return np.asarray(array, np.float64)


def judge_dot(
    multiply: Multiply,
    x: Array,
    weight: Array,
    bias: Array | None,
    arithmetic: Arithmetic,
    dtype: np.dtype[Any],
    *,
    products: Array | None = None,
    by_image: bool = False,
    taps: Callable[[], Array] | None = None,
    summed: bool = False,
) -> Bound:
    """The bound of an operation `multiply(x, weight) + bias`, where `multiply` is bilinear.

    The magnitude is the same operation on absolute values, the number of terms the same on indicators of non-zeros.
    `products`: `multiply(x, weight)`, where it is known. `by_image`: images, along the first axis of x and of the
    result, are multiplied alike and apart, so that the terms of one without zeros are those of all. `taps`: how many
    products each output adds up, of a shape that stretches to it; those are the terms where no factor is zero.
    `summed`: all weights are one, and nothing is multiplied. The bound is that of rounding.dot_bound.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        value = multiply(x, weight) if products is None else products
        magnitude = multiply(np.abs(x), np.abs(weight))
    terms = _terms(multiply, x, weight, by_image, taps)
    if bias is not None:
        value, magnitude, terms = value + bias, magnitude + np.abs(bias), terms + (bias != 0)
    unit = BETTER_THAN_DOUBLE if dtype == np.float64 else FORMATS["float64"].unit
    bound = dot_bound(
        value,
        magnitude,
        terms,
        arithmetic,
        bias=0.0 if bias is None else bias,
        whole=is_whole(x, weight, bias),
        reference_unit=unit,
        flushed=flushed(multiply, x, weight, bias, arithmetic),
        summed=summed,
    )
    if become_infinite(arithmetic, x, weight):
        bound = replace(bound, overflows=np.ones_like(bound.overflows))
    return bound


def variance_of(value: Array, squares: Array, terms: Array, arithmetic: Arithmetic, bias: Array | float = 0.0) -> Array:
    """The variance of the error of a sum of `terms` products, were every rounding a random number of its own.

    value: y. squares: the sum of the squared terms, the bias among them.

    A rounding of v has a root mean square of 0.4u|v|. The partial sum of k of T terms of random signs has a mean square
    of k/T of `squares`; the T roundings of a chain of multiply-adds make (0.4u)^2 * (T+1)/2 * squares of that, those of
    products that are rounded first at most (0.4u)^2 * squares more, which is left out. Of terms of one sign the partial
    sum is k/T of y, which makes (0.4u)^2 * T/3 * y^2. Inputs that are rounded add their share of each product, the last
    rounding of a wider accumulator its own, and one more where a bias may be added after it. Results that leave the
    normal numbers are rounded to steps.

    A model and no bound, on which a warning rests and no verdict: rounding errors of numbers with structure have one
    sign, and reach 40 times as much.
    """
    variance = (ROUNDING * arithmetic.unit) ** 2 * ((terms + 1) / 2 * squares + terms / 3 * value**2)
    if arithmetic.input_rounding:
        variance = variance + 2 * (ROUNDING * arithmetic.input_rounding) ** 2 * squares
    if arithmetic.widens:
        after = np.where(np.asarray(bias) != 0, np.square(value - bias), 0.0)
        variance = variance + (ROUNDING * arithmetic.out.unit) ** 2 * (value**2 + after)
    steps = terms * (STEP * arithmetic.acc.spacing) ** 2 + (terms > 0) * (STEP * arithmetic.out.spacing) ** 2
    return np.asarray(variance + steps)


def likely_dot(
    multiply: Multiply,
    x: Array,
    weight: Array,
    bias: Array | None,
    arithmetic: Arithmetic,
    *,
    products: Array | None = None,
    by_image: bool = False,
    taps: Callable[[], Array] | None = None,
) -> Array:
    """The standard deviation of the error of `multiply(x, weight) + bias`, by `variance_of`; as in `judge_dot`."""
    with np.errstate(over="ignore", invalid="ignore"):
        value = multiply(x, weight) if products is None else products
        squares, terms = multiply(x**2, weight**2), _terms(multiply, x, weight, by_image, taps)
        if bias is None:
            return np.sqrt(variance_of(value, squares, terms, arithmetic))
        value, squares, terms = value + bias, squares + bias**2, terms + (bias != 0)
        return np.sqrt(variance_of(value, squares, terms, arithmetic, bias))


def _terms(
    multiply: Multiply, x: Array, weight: Array, by_image: bool, taps: Callable[[], Array] | None = None
) -> Array:
    """How many products of two non-zeros each output adds up; float32 counts to 2^24, far beyond what is drawn."""
    seen, used = x != 0, weight != 0
    if taps is not None and seen.all() and used.all():
        return taps()
    narrow = np.float32 if x.size < 2**24 and weight.size < 2**24 else np.float64
    if by_image and x.shape[0] > 1 and seen.all():
        seen = seen[:1]
    return as_float(multiply(seen.astype(narrow), used.astype(narrow)))


def flushed(
    multiply: Multiply, x: Array, weight: Array, bias: Array | None, arithmetic: Arithmetic, off: Array | float = 0.0
) -> Array | float:
    """The terms that are lost, at most, where subnormal inputs are read as zero or lose bits with the others: those
    with a subnormal factor. Elements of x may be off by `off`: what may then be subnormal is, as large as it may be.
    """
    least = arithmetic.out.smallest_normal
    loses = arithmetic.flush_to_zero or arithmetic.input_rounding
    size, given = np.abs(x), (weight,) if bias is None else (weight, bias)
    few = np.where(size - off < least, np.minimum(size + off, least), 0.0)
    if not loses or not (few.any() or any(np.any((a != 0) & (np.abs(a) < least)) for a in given)):
        return 0.0
    light = np.where(np.abs(weight) < least, np.abs(weight), 0.0)
    terms = multiply(few, np.abs(weight)) + multiply(size + off, light)
    return terms if bias is None else terms + np.where(np.abs(bias) < least, np.abs(bias), 0.0)


def become_infinite(arithmetic: Arithmetic, *arrays: Array) -> bool:
    """May elements that are rounded before they are multiplied leave the range?"""
    rounded = 1 + arithmetic.input_rounding
    return rounded > 1 and max(np.abs(a).max(initial=0.0) for a in arrays) * rounded >= arithmetic.acc.largest


def exact_dot(a: Array, b: Array, bias: Array | None) -> tuple[Array, Array]:
    """sum over the last axis of a*b, plus a bias, as hi + lo in about twice float64's precision."""
    if bias is not None:
        shape = np.broadcast_shapes(a.shape[:-1], b.shape[:-1], bias.shape)
        ones = np.ones((*shape, 1))
        a = np.concatenate([np.broadcast_to(a, (*shape, a.shape[-1])), ones], axis=-1)
        b = np.concatenate(
            [np.broadcast_to(b, (*shape, b.shape[-1])), np.broadcast_to(bias, shape)[..., None]], axis=-1
        )
    return sum_of_products(a, b)
