"""Values for the arrays of a problem: kinds of data, each there for what it alone can show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from .formats import format_of

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of data. `weight` says how often the sweep uses it; `why` what it shows.

    unstructured: random numbers of all significands, far from the ends of the range and in no order, so that rounding
    errors of sums of them are as likely of one sign as of the other, and partial sums are what chance makes them. (Of
    `cancel`, whose signs alternate, a kernel that adds even and odd terms apart has partial sums far larger.)
    """

    name: str
    weight: float
    why: str
    make: Callable[[Data, Shape, str], Array]
    unstructured: bool = False


class Data:
    """Arrays of one kind out of one seed. Roles: `x` (what is filtered), `weight` (filters) and `bias`."""

    def __init__(self, kind: str, seed: int, dtype: np.dtype[Any], terms: int) -> None:
        self.kind = kind
        self.seed = seed
        self.dtype = dtype
        self.terms = max(terms, 1)
        self.format = format_of(dtype)
        self.random = np.random.Generator(np.random.PCG64(seed))

    def array(self, shape: Shape, role: str = "x") -> Array:
        """An array of the problem's dtype; every call gives the next one."""
        return _BY_NAME[self.kind].make(self, shape, role).astype(self.dtype)

    @property
    def exact_bits(self) -> int:
        """Sums below 2^bits are exact in the accumulator and inside the range of the storage format."""
        accumulator = max(self.format.p, 24)
        return min(accumulator, int(np.log2(self.format.largest)) - 1)


def _zeros(data: Data, shape: Shape, role: str) -> Array:
    return np.zeros(shape)


def _ones(data: Data, shape: Shape, role: str) -> Array:
    return np.ones(shape)


def _one_hot(data: Data, shape: Shape, role: str) -> Array:
    if role != "x":
        return _iota(data, shape, role)
    return _one_of_all(data, shape, np.ones(1))


def _iota(data: Data, shape: Shape, role: str) -> Array:
    size = int(np.prod(shape))
    return (np.arange(size) % {"x": 13, "weight": 7}.get(role, 5) + 1.0).reshape(shape)


def _signs(data: Data, shape: Shape, role: str) -> Array:
    return data.random.integers(-1, 2, shape).astype(np.float64)


def _integers(data: Data, shape: Shape, role: str) -> Array:
    # terms * X * X + X <= 2^bits: every order of summation is exact.
    limit = min(isqrt(2**data.exact_bits // (data.terms + 1)), 2**data.format.p)
    return data.random.integers(-limit, limit + 1, shape).astype(np.float64)


def _wide(data: Data, shape: Shape, role: str) -> Array:
    # Odd integers and filters of at most 8 taps of +-1, with two bits fewer than the exact sums of 8 allow: shows
    # inputs that are rounded before the product (TF32 keeps 11 bits), which small integers cannot.
    taps = min(8, data.terms)
    bits = min(data.exact_bits - taps.bit_length(), data.format.p)
    if role == "weight":
        return _sparse_signs(data, shape, taps)
    return _odd(data, shape, bits - 1)


def _full(data: Data, shape: Shape, role: str) -> Array:
    # Odd integers of all the bits that are exact, one to an output: shows inputs rounded by any number of bits.
    if role == "bias":
        return np.zeros(shape)
    if role == "grad":
        return _one_of_all(data, shape, np.ones(1))
    if role == "weight":
        return _sparse_signs(data, shape, 1)
    return _odd(data, shape, min(data.exact_bits, data.format.p))


def _both_wide(data: Data, shape: Shape, role: str) -> Array:
    # Odd integers of half the bits in both arrays, one product to an output: shows factors that are rounded, and
    # products that are.
    bits = min(data.exact_bits // 2, data.format.p)
    if role == "bias":
        return np.zeros(shape)
    if role == "grad":
        return _one_of_all(data, shape, _odd(data, (1,), bits))
    if role == "weight":
        return np.asarray(_sparse_signs(data, shape, 1) * _odd(data, shape, bits))
    return _odd(data, shape, bits)


def _odd(data: Data, shape: Shape, bits: int) -> Array:
    """Odd integers of either sign below 2^bits."""
    half = 2 ** (bits - 1)
    return np.asarray(2 * data.random.integers(-half, half, shape) + 1.0)


def _one_of_all(data: Data, shape: Shape, value: Array) -> Array:
    """One element of an array, and zeros."""
    hot = np.zeros(shape)
    if hot.size:
        hot.flat[int(data.random.integers(hot.size))] = value[0]
    return hot


def _sparse_signs(data: Data, shape: Shape, taps: int) -> Array:
    rows = shape[0] if shape else 1
    flat = np.zeros((rows, int(np.prod(shape[1:]))))
    if flat.size:
        chosen = data.random.integers(flat.shape[1], size=(rows, taps))
        np.put_along_axis(flat, chosen, data.random.choice((-1.0, 1.0), (rows, taps)), axis=1)
    return flat.reshape(shape)


def _negative(data: Data, shape: Shape, role: str) -> Array:
    values = data.random.standard_normal(shape)
    return -np.abs(values) - 0.5 if role == "x" else values


def _normal(data: Data, shape: Shape, role: str) -> Array:
    return data.random.standard_normal(shape)


def _constant(data: Data, shape: Shape, role: str) -> Array:
    return np.full(shape, {"x": 0.1, "weight": 0.3}.get(role, 0.7))


def _dominant(data: Data, shape: Shape, role: str) -> Array:
    values = data.random.standard_normal(shape)
    if role == "weight" and values.size:
        flat = values.reshape(shape[0], -1)
        flat[np.arange(shape[0]), data.random.integers(flat.shape[1], size=shape[0])] *= 512
    return values


def _cancel(data: Data, shape: Shape, role: str) -> Array:
    values = 1 + data.random.standard_normal(shape) / 64
    if role == "weight":
        size = int(np.prod(shape))
        values *= np.where(np.arange(size) % 2, -1.0, 1.0).reshape(shape)
    return values


def _spread(data: Data, shape: Shape, role: str) -> Array:
    reach = {"float16": 3, "float64": 40}.get(data.format.name, 20)
    return np.asarray(np.ldexp(data.random.standard_normal(shape), data.random.integers(-reach, reach + 1, shape)))


def _tiny(data: Data, shape: Shape, role: str) -> Array:
    # From the smallest number of the format to twice the smallest that is normal; filters and biases that leave sums
    # of them there.
    if role == "weight":
        return data.random.choice((-1.0, -0.5, 0.5, 1.0), shape)
    if role == "bias":
        return np.zeros(shape)
    steps = data.random.integers(1, 2**data.format.p, shape) * data.random.choice((-1.0, 1.0), shape)
    few = data.random.integers(0, data.format.p, shape)  # of every length, or most would be normal
    # float64 has no wider format to be judged in: there, above what a rounding of its products loses.
    spacing = data.format.spacing * (2.0**200 if data.format.name == "float64" else 1.0)
    return np.asarray(np.trunc(np.ldexp(steps, -few)) * spacing)


def _huge(data: Data, shape: Shape, role: str) -> Array:
    # Filters of two taps that leave the result within the range, or of one that doubles it: beyond.
    if role == "bias":
        return np.zeros(shape)
    if role == "weight":
        scale = data.random.choice((0.5, 2.0), shape[:1])
        return np.asarray(_sparse_signs(data, shape, 2) * scale.reshape(-1, *[1] * (len(shape) - 1)))
    # float64 has no wider format to be judged in: there, as large as a square may be.
    top = 2.0**490 if data.format.name == "float64" else data.format.largest
    top *= 2.0**-9 if role == "grad" else 1.0  # gradients are added up over windows that overlap
    return np.asarray(top * data.random.uniform(0.25, 1.0, shape) * data.random.choice((-1.0, 1.0), shape))


def _offset(data: Data, shape: Shape, role: str) -> Array:
    values = data.random.standard_normal(shape)
    return np.asarray(values + 10.0 ** data.random.integers(1, 5) if role == "x" else values)


def _signed_zeros(data: Data, shape: Shape, role: str) -> Array:
    return np.asarray(data.random.choice((0.0, -0.0, 1.0, -1.0), shape))


KINDS = (
    Kind("zeros", 1, "what is left when nothing is added: uninitialised memory shows", _zeros),
    Kind("ones", 2, "every output counts its taps", _ones),
    Kind("one_hot", 4, "where one input element goes", _one_hot),
    Kind("iota", 4, "small numbers a person can follow", _iota),
    Kind("signs", 4, "exact in every format and order", _signs),
    Kind("integers", 30, "as large as every order of summation stays exact", _integers),
    Kind("wide", 12, "full significands: inputs rounded before the product show", _wide),
    Kind("negative", 6, "padding or a wrong start value of a maximum shows", _negative, unstructured=True),
    Kind("normal", 14, "ordinary numbers", _normal, unstructured=True),
    Kind("constant", 3, "rounding errors of one sign add up", _constant),
    Kind("dominant", 6, "one tap far larger than the rest: a loose absolute error shows", _dominant, unstructured=True),
    Kind("cancel", 6, "sums that cancel: an error relative to the terms shows", _cancel),
    Kind("spread", 8, "a wide dynamic range", _spread, unstructured=True),
    Kind("tiny", 5, "subnormal numbers: flushing them to zero shows, unless it is declared", _tiny),
    Kind("huge", 4, "the end of the range: results that saturate, sums that need not have overflowed", _huge),
    Kind(
        "offset",
        4,
        "a mean far larger than the deviation: cancellation in sums and variances shows",
        _offset,
        unstructured=True,
    ),
    Kind("signed_zeros", 2, "zeros of both signs, which are equal", _signed_zeros),
    Kind("full", 3, "all bits of a significand, one product to an output: any rounding of inputs shows", _full),
    Kind("both_wide", 3, "factors of half the bits each: rounded factors and products show", _both_wide),
)
_BY_NAME = {k.name: k for k in KINDS}
