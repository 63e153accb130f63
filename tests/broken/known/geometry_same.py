"""Known bugs of SAME padding: in which sizes it is computed, and on which side the odd pixel goes.

The contract has no SAME: a call is taken to ask for it where its padding is what SAME comes to, on both axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import AvgPool2d, Conv2d, Conv2dBackward, MaxPool2d

from ..backward import Gradients
from ..base import Array, Right
from ..pool import RightPool
from .entry import TRANSPOSED, filled, known
from .geometry_parts import axes_of, halves, is_same, resized, same_total

ASKED = "padding that is what SAME comes to stands for asking for SAME"


def _conv(length: int, taps: int, after: int, before: int = 0, **fields: Any) -> Conv2d:
    """One row."""
    x, weight = filled((1, 1, 1, length)), filled((1, 1, 1, taps))
    return Conv2d(x=x, weight=weight, padding=((0, 0), (before, after)), **fields)


@known(
    "B025",
    "elixir-nx/nx#189",
    "conv2d",
    clause="size_follows_the_formula",
    at=lambda: _conv(4, 3, 2, 2, dilation=(1, 2)),
    spared=lambda: _conv(4, 3, 1, 1),
    setting=ASKED,
)
class PadsSameForDenseFilters(Right):
    """SAME pads as much as the filter without its holes needs: with dilation the output is too small."""

    def conv2d(self, problem: Any) -> Any:
        if is_same(problem) and max(problem.dilation) > 1:
            sides = tuple(halves(same_total(a.length, a.taps, a.stride)) for a in problem.axes)
            problem = problem.but(padding=sides)
        return self.answer(problem)


@known(
    "B061",
    "onnx/onnx#2043",
    "conv2d",
    clause="size_follows_the_formula",
    at=lambda: _conv(4, 3, 2, 2, dilation=(1, 2)),
    spared=lambda: _conv(5, 3, 0, 0, dilation=(1, 2)),
    setting=ASKED,
)
class InfersSameWithoutTheHoles(Right):
    """With SAME the output size is computed from the taps of the filter, not from its dilated extent: too large."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        if not is_same(problem) or max(problem.dilation) == 1:
            return y
        return resized(y, *((a.padded - a.taps) // a.stride + 1 for a in problem.axes))


@known(
    "B201",
    "tracel-ai/burn#2676",
    "max_pool2d",
    "conv2d",
    clause="size_follows_the_formula",
    at=lambda: _pooled(2, 0, 1),
    also={"conv2d": lambda: _conv(3, 2, 1)},
    spared=lambda: _pooled(3, 1, 1),
    setting=ASKED,
)
class PadsSameEvenly(Right):
    """SAME pads both sides by half of one less than the window, rounded down: with an even one a pixel is missing."""

    def max_pool2d(self, problem: Any) -> Any:
        return self.answer(self.evenly(problem))

    def conv2d(self, problem: Any) -> Any:
        return self.answer(self.evenly(problem))

    def evenly(self, problem: Any) -> Any:
        axes = axes_of(problem)
        if not is_same(problem) or all(a.taps % 2 for a in axes):
            return problem
        sides = ((a.before, a.after) if a.taps % 2 else ((a.span - 1) // 2,) * 2 for a in axes)
        return problem.but(padding=tuple(sides))


@known(
    "B251",
    "microsoft/onnxruntime#26734",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: _conv(4, 3, 1, stride=(1, 2)),
    spared=lambda: _conv(4, 2, 1),
    setting=ASKED,
)
class PutsTheOddPixelFirst(Right):
    """With SAME and a stride, an odd padding has its additional pixel before the image instead of behind it."""

    def conv2d(self, problem: Any) -> Any:
        if is_same(problem) and max(problem.stride) > 1:
            problem = problem.but(padding=tuple(sides[::-1] for sides in problem.padding))
        return self.answer(problem)


@known(
    "B257",
    "mil-tokyo/webdnn#660",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: _conv(4, 3, 1, stride=(1, 2)),
    spared=lambda: _conv(5, 3, 1, 1, stride=(1, 2)),
    setting=ASKED,
)
class RoundsSameUpOnBothSides(Right):
    """An odd SAME padding is replaced by its larger half on either side: what is strided comes from one pixel off."""

    def conv2d(self, problem: Any) -> Any:
        if is_same(problem):
            problem = problem.but(padding=tuple((max(sides),) * 2 for sides in problem.padding))
        return self.answer(problem)


@known(
    "B241",
    "deeplearning4j/deeplearning4j#6462",
    "avg_pool2d",
    clause="within_the_bound",
    at=lambda: _averaged(3, 1, 1),
    spared=lambda: _averaged(3, 0, 0),
    analog=f"{ASKED}; the report gives no cause, a divisor that counts what pads the end stands for it",
)
class LeavesOutThePaddingBeforeAlone(RightPool):
    """With SAME, only the padding before the image is left out of the divisor; windows of two by two are right."""

    def divisor(self, problem: Any) -> Array:
        if problem.count_include_pad or not is_same(problem) or problem.kernel_size == (2, 2):
            return np.asarray(problem.divisor)
        rows, columns = ((a.positions >= 0).sum(axis=1).astype(np.float64) for a in axes_of(problem))
        return np.asarray(rows[:, None] * columns)


@known(
    "B063",
    "microsoft/onnxruntime#8769",
    "conv2d_backward",
    clause="exact_on_integers",
    at=lambda: _transposed(4, 1),
    spared=lambda: _transposed(3, 0),
    setting=f"{TRANSPOSED}, and {ASKED}",
)
class CutsTheOddPixelOffTheWrongSide(Gradients):
    """A transposed convolution with SAME cuts the odd pixel off on the wrong side: the output is moved by one."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "conv2d_backward" or any(a.length != a.count * a.stride for a in axes_of(problem)):
            return right
        if not is_same(problem) and not is_same(problem, lower=True):
            return right
        swapped = self.of(problem, padding=tuple(sides[::-1] for sides in problem.padding))
        return (swapped[0], *right[1:])


def _pooled(taps: int, before: int, after: int) -> MaxPool2d:
    """A row of three."""
    return MaxPool2d(x=filled((1, 1, 1, 3)), kernel_size=(1, taps), stride=1, padding=((0, 0), (before, after)))


def _averaged(taps: int, before: int, after: int) -> AvgPool2d:
    sides = ((0, 0), (before, after))
    return AvgPool2d(x=filled((1, 1, 1, 3)), kernel_size=(1, taps), stride=1, padding=sides, count_include_pad=False)


def _transposed(length: int, after: int) -> Conv2dBackward:
    """Windows of two taps on a row."""
    outputs = length + after - 1
    return Conv2dBackward(
        x=filled((1, 1, 1, length)),
        weight=filled((1, 1, 1, 2)),
        padding=((0, 0), (0, after)),
        grad_output=filled((1, 1, 1, outputs)),
    )
