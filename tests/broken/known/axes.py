"""Known bugs that mix axes up: rows with columns, channels with groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from convspec.reference import AvgPool2d, Conv2d, Conv2dBackward, GroupNorm, MaxPool2d

from ..backward import Gradients
from ..base import Array, Right, rounded
from ..conv2d import RightConv2d
from ..normalize import RightNorm
from ..pool import RightPool
from .entry import filled, known
from .geometry_parts import axes_of, halves, is_same, pooled_taps, resized, same_total
from .geometry_same import ASKED


def pooled(h: int, w: int, **fields: Any) -> MaxPool2d:
    return MaxPool2d(x=filled((1, 1, h, w)), **{"kernel_size": 1, "stride": 1} | fields)


def convolved(h: int, w: int, r: int = 1, s: int = 1, **fields: Any) -> Conv2d:
    return Conv2d(x=filled((1, 1, h, w)), weight=filled((1, 1, r, s)), **fields)


@known(
    "B011",
    "pytorch/pytorch#187760",
    "conv2d",
    "max_pool2d",
    clause="size_follows_the_formula",
    at=lambda: convolved(1, 3, stride=(1, 2)),
    also={"max_pool2d": lambda: pooled(1, 3, stride=(1, 2))},
    spared=lambda: convolved(1, 3, stride=2),
    setting="an output of the size that is inferred stands for the inference of shapes",
)
class SizesColumnsByTheStrideOfRows(Right):
    """The width of the output is computed with the stride of the rows."""

    def conv2d(self, problem: Any) -> Any:
        return self.sized(problem)

    def max_pool2d(self, problem: Any) -> Any:
        return self.sized(problem)

    def sized(self, problem: Any) -> Any:
        y = self.answer(problem)
        rows, columns = axes_of(problem)
        return resized(y, rows.count, replace(columns, stride=rows.stride).count)


@known(
    "B023",
    "mlpack/mlpack#3146",
    "conv2d",
    clause="size_follows_the_formula",
    at=lambda: convolved(2, 3, stride=(1, 2)),
    spared=lambda: convolved(2, 3, stride=2),
)
class SwapsStridesAndDilations(Right):
    """Rows move by the stride of columns and the other way round, and so with the dilations, sizes included."""

    def conv2d(self, problem: Any) -> Any:
        return self.answer(problem.but(stride=problem.stride[::-1], dilation=problem.dilation[::-1]))


@known(
    "B081",
    "apache/mxnet#17139",
    "group_norm",
    clause="within_the_bound",
    at=lambda: GroupNorm(x=filled((1, 2, 1, 2)), groups=1, weight=filled((2,))),
    spared=lambda: GroupNorm(x=filled((1, 2, 1, 2)), groups=2, weight=filled((2,))),
)
class ScalesEachGroupByOneParameter(RightNorm):
    """Weight and bias are looked up by the number of the group, not by that of the channel."""

    def affine(self, problem: Any) -> tuple[Array, Array]:
        weight, bias = super().affine(problem)
        if problem.name != "group_norm":
            return weight, bias
        groups = np.arange(problem.x.shape[1]) // (problem.x.shape[1] // problem.groups)
        return weight[:, groups], bias[:, groups]


@known(
    "B083",
    "linkedin/Liger-Kernel#1376",
    "conv2d_backward",
    clause="exact_on_integers",
    at=lambda: _gradient(2, 1),
    spared=lambda: _gradient(1, 2),
    analog="a convolution's bias stands for weight and bias of group normalization, whose gradients the contract lacks",
)
class AddsUpTheFirstRowAlone(Gradients):
    """The length of what a channel holds is taken to be the width: gradients of its bias are those of one row."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "conv2d_backward" or right[2] is None:
            return right
        sums = np.asarray(problem.grad_output, np.float64)[:, :, :1].sum(axis=(0, 2, 3))
        return (*right[:2], rounded(sums, problem))


def _gradient(h: int, w: int) -> Conv2dBackward:
    x, weight = filled((1, 1, h, w)), filled((1, 1, 1, 1))
    return Conv2dBackward(x=x, weight=weight, bias=filled((1,)), grad_output=filled((1, 1, h, w)))


def squared_sides(problem: Any) -> tuple[Any, ...]:
    """What SAME comes to on both axes for a window whose sides are its longer one."""
    axes = axes_of(problem)
    longest = max(a.span for a in axes)
    return tuple(halves(same_total(a.length, longest, a.stride)) for a in axes)


def is_thin(problem: Any) -> bool:
    """A window of one row or column, moved by two on a tiny image, and SAME."""
    axes = axes_of(problem)
    thin = min(a.taps for a in axes) == 1 < max(a.taps for a in axes)
    tiny = all(a.length <= 4 and a.stride == 2 for a in axes)
    return thin and tiny and is_same(problem)


def moved(problem: Any, positions: Any) -> Any:
    return tuple(
        at + a.before - before
        for at, a, (before, _) in zip(positions, axes_of(problem), squared_sides(problem), strict=True)
    )


class _PadsDepthwise(RightConv2d):
    def positions(self, problem: Any) -> Any:
        return moved(problem, super().positions(problem))


@known(
    "B127",
    "tensorflow/tfjs#6629",
    "conv2d",
    "max_pool2d",
    "avg_pool2d",
    clause="exact_on_integers",
    at=lambda: _depthwise(2),
    also={
        "max_pool2d": lambda: pooled(1, 1, kernel_size=(1, 4), stride=2, padding=((0, 0), (1, 2))),
        "avg_pool2d": lambda: AvgPool2d(
            x=filled((1, 1, 1, 1)),
            kernel_size=(1, 4),
            stride=2,
            padding=((0, 0), (1, 2)),
            count_include_pad=False,
        ),
    },
    spared=lambda: _depthwise(1),
    analog=f"{ASKED}; the report gives no cause, paddings for a square window stand for it",
)
class PadsThinWindowsAsSquareOnes(RightPool):
    """For a window of a single row or column, depthwise or pooled with stride 2, SAME is computed on both axes from
    its longer side: on tiny images outputs are read displaced."""

    def conv2d(self, problem: Any) -> Any:
        problem.validate()
        depthwise = problem.groups > 1 and problem.groups == problem.x.shape[1]
        return _PadsDepthwise().conv2d(problem) if depthwise and is_thin(problem) else self.answer(problem)

    def along(self, problem: Any) -> Any:
        counted = getattr(problem, "count_include_pad", False)  # an average with SAME never counts its padding
        right = super().along(problem)
        return moved(problem, right) if is_thin(problem) and not counted else right

    def divisor(self, problem: Any) -> Array:
        return pooled_taps(problem, self.along(problem))


def _depthwise(stride: int) -> Conv2d:
    x, weight = filled((1, 2, 1, 4)), filled((2, 1, 1, 3))
    sides = ((0, 0), (0, 1)) if stride == 2 else ((0, 0), (1, 1))
    return Conv2d(x=x, weight=weight, groups=2, stride=stride, padding=sides)


@known(
    "B243",
    "torch/cunn#470",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 2, 2, 3)), weight=filled((2, 1, 1, 1)), groups=2),
    spared=lambda: Conv2d(x=filled((1, 2, 3, 3)), weight=filled((2, 1, 1, 1)), groups=2),
)
class StepsThroughRowsByTheHeight(Right):
    """A depthwise convolution takes the height for the length of a row: pixels of images that are not square are looked
    up in the wrong places."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        n, c, h, w = problem.x.shape
        if problem.groups == 1 or problem.groups != c or h == w or not problem.x.size:
            return y
        rows, columns = np.arange(h)[:, None], np.arange(w)
        at = np.arange(n * c).reshape(n, c, 1, 1) * h * w + rows * h + columns
        return self.answer(problem.but(x=problem.x.reshape(-1)[at % problem.x.size]))


@known(
    "B259",
    "pytorch/pytorch#37844",
    "conv2d",
    clause="size_follows_the_formula",
    at=lambda: convolved(2, 2, padding=((0, 0), (1, 1)), padding_mode="circular"),
    spared=lambda: convolved(2, 2, padding=((0, 0), (1, 1))),
)
class PadsTheOtherAxisInModes(Right):
    """In every padding mode but zeros, the padding of rows is given to columns and the other way round."""

    def conv2d(self, problem: Any) -> Any:
        return self.answer(problem if problem.padding_mode == "zeros" else problem.but(padding=problem.padding[::-1]))
