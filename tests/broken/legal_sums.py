"""Sums of products in orders, precisions and by ways that are unusual and right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from convspec.reference import Conv2d
from convspec.reference.pad2d import padded
from convspec.reference.pool import filled
from convspec.reference.rounding import Arithmetic
from convspec.reference.window import windows

from .base import Tensor, significant
from .conv2d import RightConv2d
from .legal_flushed import FLUSHED, flushed
from .locally_connected2d import RightLocallyConnected2d


def products(problem: Any, dtype: Any = None) -> tuple[Tensor, Tensor]:
    """The products that each output element adds up, (terms, *output), and the bias; by default in the dtype of x."""
    problem.validate()
    dtype = dtype or problem.dtype
    with np.errstate(all="ignore"):
        if problem.name == "linear":
            made = problem.x.T[:, :, None].astype(dtype) * problem.weight.T[:, None].astype(dtype)
            bias = np.zeros((), dtype) if problem.bias is None else problem.bias
        elif problem.name == "conv2d":
            seen = RightConv2d().seen(problem).astype(dtype)  # (N, C, I, J, R, S)
            n, _, i, j, r, s = seen.shape
            k, per_group = problem.weight.shape[:2]
            first = np.arange(k) // (k // problem.groups) * per_group
            seen = seen[:, first[:, None] + np.arange(per_group)]  # (N, K, C/groups, I, J, R, S)
            made = seen * problem.weight[:, :, None, None].astype(dtype)
            made = made.transpose(2, 5, 6, 0, 1, 3, 4).reshape(per_group * r * s, n, k, i, j)
            bias = np.zeros((), dtype) if problem.bias is None else problem.bias[:, None, None]
        elif problem.name == "locally_connected2d":
            seen = RightLocallyConnected2d().seen(problem).astype(dtype)  # (N, C, I, J, R, S)
            weight = problem.weight.transpose(2, 3, 0, 1, 4, 5).astype(dtype)  # (K, C, I, J, R, S)
            made = (seen[:, None] * weight).transpose(2, 5, 6, 0, 1, 3, 4)
            made = made.reshape(int(np.prod(made.shape[:3])), *made.shape[3:])
            bias = np.zeros((), dtype) if problem.bias is None else problem.bias
        else:
            seen = windows(filled(problem, 0.0), *problem.axes).astype(dtype)
            made = seen.transpose(4, 5, 0, 1, 2, 3).reshape(seen.shape[4] * seen.shape[5], *seen.shape[:4])
            bias = np.zeros((), dtype)
    return np.asarray(made, dtype), np.asarray(bias, dtype)


class Sums:
    """The layers that are sums of products, by adding up `products` in the dtype in an order of its own."""

    dtypes = ("float32", "float64")

    def total(self, terms: Tensor, start: Tensor) -> Tensor:
        raise NotImplementedError

    def conv2d(self, problem: Any) -> Any:
        made, bias = products(problem)
        return np.asarray(self.total(made, bias), problem.dtype)

    def linear(self, problem: Any) -> Any:
        return self.conv2d(problem)

    def locally_connected2d(self, problem: Any) -> Any:
        return self.conv2d(problem)


class AddsBackwards(Sums):
    """From the last product to the first, then the bias."""

    def total(self, terms: Tensor, start: Tensor) -> Tensor:
        y = np.zeros(terms.shape[1:], terms.dtype)
        for term in terms[::-1]:
            y = y + term
        return y + start


class StartsAtTheBias(Sums):
    """The accumulator starts at the bias."""

    def total(self, terms: Tensor, start: Tensor) -> Tensor:
        y = np.zeros(terms.shape[1:], terms.dtype) + start
        for term in terms:
            y = y + term
        return y


class AddsInBlocks(Sums):
    """Blocks of four are added up on their own."""

    def total(self, terms: Tensor, start: Tensor) -> Tensor:
        y = np.zeros(terms.shape[1:], terms.dtype)
        for k in range(0, len(terms), 4):
            block = np.zeros_like(y)
            for term in terms[k : k + 4]:
                block = block + term
            y = y + block
        return y + start


class AddsInPairs(Sums):
    """A balanced tree."""

    def total(self, terms: Tensor, start: Tensor) -> Tensor:
        while len(terms) > 1:
            if len(terms) % 2:
                terms = np.concatenate([terms, np.zeros_like(terms[:1])])
            terms = terms[::2] + terms[1::2]
        return (terms[0] if len(terms) else np.zeros(terms.shape[1:], terms.dtype)) + start


class AddsTheLargestFirst(Sums):
    """Sorted by size."""

    def total(self, terms: Tensor, start: Tensor) -> Tensor:
        order = np.argsort(-np.abs(terms), axis=0)
        y = np.zeros(terms.shape[1:], terms.dtype)
        for term in np.take_along_axis(terms, order, axis=0):
            y = y + term
        return y + start


class AddsInAnyOrder(Sums):
    """In another order at every call, and says so."""

    conventions = {"repeatable": "false"}  # noqa: RUF012

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)

    def total(self, terms: Tensor, start: Tensor) -> Tensor:
        y = np.zeros(terms.shape[1:], terms.dtype)
        for k in self.random.permutation(len(terms)):
            y = y + terms[k]
        return y + start


class FusesMultiplyAndAdd(Sums):
    """Products enter the sum unrounded: float64 arithmetic, rounded to float32 after each addition."""

    dtypes = ("float32",)

    def conv2d(self, problem: Any) -> Any:
        made, bias = products(problem, np.float64)
        y = np.zeros(made.shape[1:], np.float32)
        for term in made:
            y = (y + term).astype(np.float32)
        return (y + bias).astype(np.float32)


class MultipliesMatrices:
    """Patches as columns, then one matrix product of the dtype per image and group."""

    dtypes = ("float32", "float64")

    def conv2d(self, problem: Any) -> Any:
        problem.validate()
        g, k = problem.groups, problem.weight.shape[0]
        columns = problem.columns(problem.x)
        filters = problem.weight.reshape(g, k // g, columns.shape[2])
        y = np.matmul(filters, columns).reshape(problem.output_shape())
        return y if problem.bias is None else y + problem.bias[:, None, None]


class AccumulatesInMoreBits(Sums):
    """Products and sums in a format that is wider than the dtype, rounded once at the end."""

    def conv2d(self, problem: Any) -> Any:
        made, bias = products(problem, np.float64 if problem.dtype == np.float32 else np.longdouble)
        y = np.zeros(made.shape[1:], made.dtype)
        for term in made:
            y = y + term
        return np.asarray(y + bias, problem.dtype)


class PadsWithZerosOfItsOwn(AddsBackwards):
    """The border is written out around the image, and the larger image is filtered without padding."""

    def conv2d(self, problem: Any) -> Any:
        if isinstance(problem, Conv2d):
            problem.validate()
            x = padded(problem.x, problem.padding, problem.padding_mode)
            problem = problem.but(x=x, padding=((0, 0), (0, 0)), padding_mode="zeros")
        return super().conv2d(problem)


class FlushesToZero(Sums):
    """Products and partial sums that are subnormal are flushed to zero, and it says so."""

    dtypes = ("float32",)
    arithmetic = FLUSHED

    def total(self, terms: Tensor, start: Tensor) -> Tensor:
        y = np.zeros(terms.shape[1:], terms.dtype)
        for term in flushed(terms):
            y = flushed(y + term)
        return flushed(y + start)


class TakesFactorsApart(AddsBackwards):
    """Each factor is the sum of its first 12 bits and the rest, which of an infinity is NaN; and it says so."""

    dtypes = ("float32",)
    arithmetic = replace(Arithmetic.ieee("float32"), name="in parts", input_rounding=2.0**-23)

    def conv2d(self, problem: Any) -> Any:
        problem.validate()
        return super().conv2d(problem.but(x=_in_parts(problem.x), weight=_in_parts(problem.weight)))


def _in_parts(array: Tensor) -> Tensor:
    with np.errstate(invalid="ignore", over="ignore"):
        first = significant(array, 12).astype(array.dtype)
        beyond = np.isinf(first) & np.isfinite(array)  # the end of the range is left in one part
        return np.asarray(np.where(beyond, array, first + (array - first)))


LEGAL_SUMS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (AddsBackwards, ("conv2d", "linear", "locally_connected2d")),
    (StartsAtTheBias, ("linear",)),
    (AddsInBlocks, ("conv2d", "linear")),
    (AddsInPairs, ("conv2d", "linear", "locally_connected2d")),
    (AddsTheLargestFirst, ("linear",)),
    (AddsInAnyOrder, ("conv2d", "linear")),
    (FusesMultiplyAndAdd, ("conv2d", "linear", "locally_connected2d")),
    (AccumulatesInMoreBits, ("conv2d", "linear")),
    (MultipliesMatrices, ("conv2d",)),
    (PadsWithZerosOfItsOwn, ("conv2d",)),
    (FlushesToZero, ("conv2d", "linear")),
    (TakesFactorsApart, ("conv2d", "linear")),
)
