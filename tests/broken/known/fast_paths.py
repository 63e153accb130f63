"""Known bugs of the paths for special filters, and of the last tile where outputs are made in tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Conv2d, Conv2dBackward

from ..base import Array, Right
from ..conv2d import Positions, RightConv2d
from .channels import is_depthwise
from .entry import filled, known

# Tiles.


@known(
    "B037",
    "Tencent/TNN#394",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 1, 9)), weight=filled((1, 1, 3, 3)), padding=1),
    spared=lambda: Conv2d(x=filled((1, 1, 4, 10)), weight=filled((1, 1, 3, 3))),
    analog="zeros where memory was left as it was",
)
class LeavesTheLastTilesUntransformed(RightConv2d):
    """3x3 filters without stride, by tiles of 2x2 outputs in batches of eight: of more than four tiles left over, those
    from the fifth on are not written."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        y = super().sums(problem, seen)
        if seen.shape[4:] == (3, 3) and problem.stride == problem.dilation == (1, 1):
            across = (y.shape[3] + 1) // 2
            tiles = (y.shape[2] + 1) // 2 * across
            tile = np.arange(y.shape[2])[:, None] // 2 * across + np.arange(y.shape[3]) // 2
            y[:, :, tile >= tiles - max(tiles % 8 - 4, 0)] = 0
        return y


@known(
    "B039",
    "Tencent/ncnn#1385",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1))),
    spared=lambda: Conv2d(x=filled((1, 1, 1, 4)), weight=filled((1, 1, 1, 1))),
    analog="which products are lost is made up",
)
class CutsTheSumsOfTheRemainder(RightConv2d):
    """Matrix products in blocks: in one to three columns left over of eight, the last products beyond a multiple of
    four are lost."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        n, c, i, j, r, s = seen.shape
        terms = problem.weight.shape[1] * r * s
        left, lost = i * j % 8, terms % 4
        if left in (1, 2, 3) and lost:
            columns = seen.transpose(0, 2, 3, 1, 4, 5).reshape(n, i * j, problem.groups, terms)
            columns[:, -left:, :, -lost:] = 0
            seen = columns.reshape(n, i, j, c, r, s).transpose(0, 3, 1, 2, 4, 5)
        return super().sums(problem, seen)


# Single taps.


@known(
    "B043",
    "ROCm/MIOpen#1189",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 16, 1, 2)), weight=filled((1, 16, 1, 1)), dilation=2),
    spared=lambda: Conv2d(x=filled((1, 16, 1, 2)), weight=filled((1, 16, 1, 1))),
    analog="sixteen channels are many; that positions are stretched by the dilation is made up",
    needs="sixteen channels of two pixels and of a filter: with one pixel there is nothing to stretch",
)
class StretchesPositionsForSingleTaps(RightConv2d):
    """Single taps with a dilation, which means nothing there, over many channels: windows move by the dilation too."""

    def positions(self, problem: Conv2d) -> tuple[Positions, Positions]:
        rows, columns = super().positions(problem)
        if problem.weight.shape[2:] != (1, 1) or problem.weight.shape[1] < 16:
            return rows, columns
        return rows * problem.dilation[0], columns * problem.dilation[1]


@known(
    "B045",
    "ROCm/MIOpen#55",
    "conv2d_backward",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2dBackward(
        x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), padding=1, grad_output=filled((1, 1, 3, 3))
    ),
    also={"conv2d": lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), padding=1)},
    spared=lambda: Conv2dBackward(
        x=filled((1, 1, 1, 2)), weight=filled((1, 1, 1, 2)), padding=2, grad_output=filled((1, 1, 5, 5))
    ),
    analog="that the padding is ignored is made up",
)
class IgnoresThePaddingOfSingleTaps(Right):
    """Single taps on an image padded with zeros: the image is taken to begin where its padding begins."""

    def conv2d(self, problem: Any) -> Any:
        return self.answer(self.unpadded(problem))

    def conv2d_backward(self, problem: Any) -> Any:
        return self.answer(self.unpadded(problem))

    def unpadded(self, problem: Any) -> Any:
        if problem.broken_rules() or problem.weight.shape[2:] != (1, 1) or problem.padding_mode != "zeros":
            return problem
        return problem.but(padding=tuple((0, before + after) for before, after in problem.padding))


# Nine taps.


@known(
    "B125",
    "tensorflow/tfjs#6263",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(
        x=filled((1, 2, 1, 1)), weight=filled((2, 1, 3, 3)), dilation=(1, 2), groups=2, padding=((1, 1), (2, 2))
    ),
    spared=lambda: Conv2d(x=filled((1, 2, 5, 5)), weight=filled((2, 1, 3, 2)), dilation=2, groups=2),
)
class KnowsNoDilationOfNineTaps(RightConv2d):
    """The program for 3x3 depthwise filters has no dilation; the size is right."""

    def positions(self, problem: Conv2d) -> tuple[Positions, Positions]:
        if problem.weight.shape[2:] != (3, 3) or not is_depthwise(problem):
            return super().positions(problem)
        rows, columns = (a.positions - np.arange(3) * (a.dilation - 1) for a in problem.axes)
        return rows, columns
