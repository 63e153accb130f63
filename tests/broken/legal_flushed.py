"""Backends without subnormal numbers, which is declared: in what they read, in what they give, or in both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from convspec.reference import SPECIFIED, Op
from convspec.reference.formats import format_of, round_to
from convspec.reference.rounding import Arithmetic
from convspec.reference.subnormal import is_subnormal

from .base import NAMES, Right, Tensor, each, masked

DTYPES = ("float32", "float16", "bfloat16")

# One record for all of them, so that the bounds of a problem are made once.
FLUSHED: Any = {
    (op, dtype): replace(Arithmetic.ieee(dtype), name="flushed", flush_to_zero=True) for op in NAMES for dtype in DTYPES
}


def flushed(values: Tensor, *, signed: bool = True) -> Tensor:
    """Without subnormal numbers, whose place zeros take: of their sign, or all positive."""
    zero = np.zeros((), values.dtype)
    return np.where(is_subnormal(values), np.copysign(zero, values) if signed else zero, values)


class FlushesInputs(Right):
    """Subnormal inputs are read as zeros of their sign, as is declared; results may be subnormal."""

    dtypes = ("float32",)
    arithmetic = FLUSHED

    def answer(self, problem: Op) -> Any:
        problem.validate()
        read = self.read(problem)
        if read.broken_rules():  # no variance is left, and no eps: zero over zero
            return each(super().answer(problem), lambda y: np.full_like(y, np.nan))
        return self.left(super().answer(read))

    def read(self, problem: Op) -> Op:
        return problem.but(**{name: flushed(array) for name, array in problem.arrays().items()})

    def left(self, answer: Any) -> Any:
        return answer


class FlushesResults(FlushesInputs):
    """Subnormal results become zeros of their sign, as is declared; subnormal inputs count."""

    def read(self, problem: Op) -> Op:
        return problem

    def left(self, answer: Any) -> Any:
        return each(answer, flushed)


class FlushesAndSaysSo(FlushesInputs):
    """Subnormal numbers are taken for zeros of their sign, in and out, as is declared."""

    def left(self, answer: Any) -> Any:
        return each(answer, flushed)


class FlushesToPositiveZeros(FlushesInputs):
    """Subnormal numbers are taken for zeros without a sign, in and out, as is declared."""

    def read(self, problem: Op) -> Op:
        return problem.but(**{name: flushed(array, signed=False) for name, array in problem.arrays().items()})

    def left(self, answer: Any) -> Any:
        return each(answer, lambda y: flushed(y, signed=False))


class RoundsOnceToSixteenBits(Right):
    """The truth, rounded once to float16 or bfloat16."""

    dtypes = ("float16", "bfloat16")

    def answer(self, problem: Op) -> Any:
        form = format_of(problem.dtype)
        return each(masked(problem).expected(), lambda y: round_to(np.asarray(y), form).astype(problem.dtype))


class FlushesSixteenBits(RoundsOnceToSixteenBits):
    """The truth of inputs without subnormal numbers, rounded once, and without them again, as is declared."""

    dtypes = ("bfloat16", "float16")
    arithmetic = FLUSHED

    def answer(self, problem: Op) -> Any:
        problem.validate()
        read = problem.but(**{name: flushed(array) for name, array in problem.arrays().items()})
        # Without eps a variance may be as small as is allowed; without what is flushed it may be smaller.
        return each(super().answer(problem if read.broken_rules() else read), flushed)


EVERY = tuple(op.name for op in SPECIFIED)
SINGLE = (*NAMES, "stack")
# Not dropout: in evaluation it copies, and a zero keeps its sign, also one that stands for a subnormal number.
SELECTING = ("pad2d", "relu", "max_pool2d", "relu_backward", "max_pool2d_backward", "avg_pool2d_backward")
SUMS = ("conv2d", "linear", "avg_pool2d", "batch_norm2d", "conv2d_backward", "layer_norm_backward", "stack")

LEGAL_FLUSHED: tuple[tuple[type, tuple[str, ...]], ...] = (
    (FlushesInputs, SINGLE),
    (FlushesResults, SINGLE),
    (FlushesAndSaysSo, EVERY),
    (FlushesToPositiveZeros, (*SELECTING, *SUMS)),
    (RoundsOnceToSixteenBits, (*SELECTING, *SUMS, "dropout")),
    (FlushesSixteenBits, SINGLE),
)
