"""Values for the arrays of a problem: kinds of data, each there for what it alone can show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from .rounding import format_of

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of data. `weight` says how often the sweep uses it; `why` what it shows."""

    name: str
    weight: float
    why: str
    make: Callable[[Data, Shape, str], Array]


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
    hot = np.zeros(shape)
    if hot.size:
        hot.flat[int(data.random.integers(hot.size))] = 1
    return hot


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
    # Odd integers of as many bits as 8 exact terms allow, filters of at most 8 taps of +-1: shows inputs that
    # are rounded before the product (TF32 keeps 11 bits), which small integers cannot.
    taps = min(8, data.terms)
    bits = min(data.exact_bits - taps.bit_length(), data.format.p)
    if role == "weight":
        return _sparse_signs(data, shape, taps)
    half = 2 ** (bits - 1)
    return (2 * data.random.integers(-half // 2, half // 2, shape) + 1.0).reshape(shape)


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


KINDS = (
    Kind("zeros", 1, "what is left when nothing is added: uninitialised memory shows", _zeros),
    Kind("ones", 2, "every output counts its taps", _ones),
    Kind("one_hot", 4, "where one input element goes", _one_hot),
    Kind("iota", 4, "small numbers a person can follow", _iota),
    Kind("signs", 4, "exact in every format and order", _signs),
    Kind("integers", 30, "as large as every order of summation stays exact", _integers),
    Kind("wide", 12, "full significands: inputs rounded before the product show", _wide),
    Kind("negative", 6, "padding or a wrong start value of a maximum shows", _negative),
    Kind("normal", 14, "ordinary numbers", _normal),
    Kind("constant", 3, "rounding errors of one sign add up", _constant),
    Kind("dominant", 6, "one tap far larger than the rest: a loose absolute error shows", _dominant),
    Kind("cancel", 6, "sums that cancel: an error relative to the terms shows", _cancel),
    Kind("spread", 8, "a wide dynamic range", _spread),
)
_BY_NAME = {k.name: k for k in KINDS}
