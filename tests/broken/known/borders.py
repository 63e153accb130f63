"""Known bugs of borders: what lies in the padding, and what comes out of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import AvgPool2dBackward, Conv2d, MaxPool2d, Pad2d

from ..base import Array, Right, rounded, source, taken, wide
from ..conv2d import RightConv2d
from ..pad2d import Positions, RightPad2d
from ..pool import RightPool
from .entry import filled, known
from .strides_parts import is_channels_last

STALE = 77.0  # what the memory held before


@known(
    "B047",
    "ROCm/MIOpen#936",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 1, 7)), weight=filled((1, 1, 1, 7)), padding=1),
    spared=lambda: Conv2d(x=filled((1, 1, 1, 7)), weight=filled((1, 1, 3, 7)), padding=1),
    analog="rows of windows that see padding alone hold what the memory held; the original gave wrong numbers",
)
class LeavesRowsOfPaddingUnwritten(RightConv2d):
    """Under a filter with other sides, padded by at least its height, rows of the output that see only padding are not
    written."""

    def sums(self, problem: Any, seen: Array) -> Array:
        y = super().sums(problem, seen)
        rows, columns = problem.axes
        if problem.padding_mode == "zeros" and rows.taps != columns.taps and max(problem.padding[0]) >= rows.taps:
            y[:, :, ~rows.inside.any(axis=1)] = STALE
        return y


@known(
    "B057",
    "microsoft/onnxruntime#8265",
    "pad2d",
    clause="reflection_stays_inside",
    at=lambda: Pad2d(x=filled((1, 1, 3, 3)), padding=1, mode="reflect"),
    analog="ONNX allowed such padding; here it is to be refused",
)
class ReflectsOnceAndLeavesZeros(RightPad2d):
    """Reflection padding that is longer than the image is accepted; beyond one reflection there are zeros."""

    def pad2d(self, problem: Any) -> Any:
        if problem.broken_rules() != ("reflection_stays_inside",):
            return super().pad2d(problem)
        once = []
        for n, (before, after) in zip(problem.x.shape[2:], problem.padding, strict=True):
            at = np.arange(-before, n + after)[:, None]
            once.append(np.where(at < 0, -at, np.where(at < n, at, 2 * (n - 1) - at)))
        return rounded(taken(problem.x, *once)[..., 0, 0], problem)


@known(
    "B059",
    "CortexFoundation/StyleTransferTrilogy#8",
    "pad2d",
    clause="exact_on_integers",
    at=lambda: Pad2d(x=filled((1, 1, 1, 3)), padding=((0, 0), (1, 0)), mode="reflect"),
    spared=lambda: Pad2d(x=filled((1, 1, 1, 3)), padding=((0, 0), (1, 0)), mode="replicate"),
)
class ReflectsTheEdgeItself(RightPad2d):
    """Reflection begins with the element at the edge, which it repeats, instead of with its neighbour."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        if mode != "reflect":
            return source(at, length, mode)
        reversed_ = np.arange(length)[::-1]
        before, after = -int(at.min(initial=0)), int(at.max(initial=0)) - length + 1
        return np.concatenate([reversed_[length - before :], np.arange(length), reversed_[:after]])


@known(
    "B073",
    "pytorch/pytorch#189895",
    "pad2d",
    clause="exact_on_integers",
    at=lambda: Pad2d(x=filled((1, 1, 1, 2)), padding=((0, 0), (1, 0))),
    spared=lambda: Pad2d(x=filled((1, 1, 1, 2)), padding=((0, 0), (0, 1))),
    analog="there is no fusion here, so that every zero padding stands in for one after a reduction",
)
class LosesTheBoundaryOfThePadding(RightPad2d):
    """Before the first element, where zeros are due, the index is clamped and the element itself is taken."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        right = source(at, length, mode)
        return np.where(at < 0, 0, right) if mode == "zeros" and length else right


@known(
    "B103",
    "pytorch/pytorch#188345",
    "avg_pool2d_backward",
    clause="views_equal_copies",
    choices=(0, 2),  # x, permuted
    at=lambda: AvgPool2dBackward(
        x=filled((1, 2, 1, 3)),
        kernel_size=(1, 2),
        stride=(1, 2),
        padding=((0, 0), (1, 0)),
        grad_output=filled((1, 2, 1, 2)),
    ),
    spared=lambda: AvgPool2dBackward(
        x=filled((1, 2, 1, 3)), kernel_size=(1, 2), stride=(1, 1), grad_output=filled((1, 2, 1, 2))
    ),
)
class ForgetsThePaddingChannelsLast(Right):
    """For images stored channels last, the windows that hold a pixel are looked for at its place without the padding:
    the gradient is that of the padded image, cut at its corner."""

    def avg_pool2d_backward(self, problem: Any) -> Any:
        if problem.broken_rules() or not is_channels_last(problem.x):
            return self.answer(problem)
        rows, columns = problem.forward.axes
        share = wide(problem.grad_output) / problem.forward.divisor
        n, c, h, w = problem.x.shape
        reach = [(a.count - 1) * a.stride + a.span for a in (rows, columns)]
        padded = np.zeros((n, c, max(reach[0], h), max(reach[1], w)))
        for r, s in np.ndindex(rows.taps, columns.taps):
            padded[:, :, r : r + reach[0] - rows.span + 1 : rows.stride,
                   s : s + reach[1] - columns.span + 1 : columns.stride] += share  # fmt: skip
        return rounded(padded[:, :, :h, :w], problem)


@known(
    "B139",
    "pytorch/executorch#16534",
    "max_pool2d",
    clause="exact_on_integers",
    at=lambda: MaxPool2d(x=-filled((1, 1, 1, 2)), kernel_size=(1, 2), stride=(1, 1), padding=((0, 0), (1, 0))),
    spared=lambda: MaxPool2d(x=filled((1, 1, 1, 2)), kernel_size=(1, 2), stride=(1, 1), padding=((0, 0), (1, 0))),
)
class PadsMaximaWithZeros(RightPool):
    """The image is padded with zeros before its maxima are taken, and a zero wins against what is negative."""

    def max_pool2d(self, problem: Any) -> Any:
        problem.validate()
        (top, bottom), (left, right) = problem.padding
        padded = np.pad(wide(problem.x), ((0, 0), (0, 0), (top, bottom), (left, right)))
        rows, columns = self.along(problem)
        return rounded(taken(padded, rows + top, columns + left, -np.inf).max(axis=(4, 5)), problem)


@known(
    "B193",
    "scipy/scipy#11661",
    "conv2d",
    "pad2d",
    clause="reflection_stays_inside",
    at=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), padding_mode="reflect"),
    also={"pad2d": lambda: Pad2d(x=filled((1, 1, 1, 1)), mode="reflect", padding=0)},
    analog="SciPy reflects one element onto itself; here it is to be refused",
)
class ReadsBesideOneElement(Right):
    """An axis of one element has the period 0, and its reflection is skipped: what lies beside it in memory is read."""

    def conv2d(self, problem: Any) -> Any:
        return self.beside(problem)

    def pad2d(self, problem: Any) -> Any:
        return self.beside(problem)

    def beside(self, problem: Any) -> Any:
        x, padding = problem.x, list(problem.padding)
        if not x.size or problem.broken_rules() != ("reflection_stays_inside",):
            return self.answer(problem)
        for axis in (2, 3):
            if x.shape[axis] > 1:
                continue
            before, after = padding[axis - 2]
            step = (x.shape[3] if axis == 2 else 1) * np.arange(-before, after + 1)
            at = np.arange(x.size).reshape(x.shape) + np.expand_dims(step, [a for a in range(4) if a != axis])
            x, padding[axis - 2] = x.reshape(-1)[at % x.size], (0, 0)  # beyond the ends: the other end
        return self.answer(problem.but(x=x, padding=tuple(padding)))
