"""Known bugs of pooling that mix rows and columns up."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import Right, Tensor
from ..pool import RightPool
from .axes import pooled
from .entry import known
from .geometry_parts import axes_of


@known(
    "B177",
    "Maratyszcza/NNPACK#16",
    "max_pool2d",
    clause="exact_on_integers",
    at=lambda: pooled(1, 3, stride=(1, 2)),
    spared=lambda: pooled(1, 3, stride=2),
)
class MovesColumnsByTheStrideOfRows(RightPool):
    """Columns are found with the stride of the rows; the size is right."""

    def along(self, problem: Any) -> Any:
        rows, columns = super().along(problem)
        if problem.name != "max_pool2d":
            return rows, columns
        more = problem.stride[0] - problem.stride[1]
        return rows, columns + np.arange(len(columns))[:, None] * more


@known(
    "B185",
    "HIPS/autograd#245",
    "max_pool2d",
    clause="exact_on_integers",
    at=lambda: pooled(1, 4, kernel_size=(1, 2), stride=(1, 2)),
    spared=lambda: pooled(1, 4, kernel_size=(1, 2)),
)
class SplitsAxesTheOtherWayRound(Right):
    """Windows that tile the image are made by reshaping, with each axis split into places of a window and windows
    instead of windows and places: every maximum is of elements far apart."""

    def max_pool2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        (n, c, h, w), (r, s) = problem.x.shape, problem.kernel_size
        tiled = problem.stride == (r, s) and h % r == 0 and w % s == 0 and problem.dilation == (1, 1)
        if not tiled or any(a.before or a.after for a in axes_of(problem)):
            return y
        return np.array(problem.x.reshape(n, c, r, h // r, s, w // s).max(axis=(2, 4)))


@known(
    "B249",
    "dmlc/minerva#43",
    "max_pool2d",
    clause="size_follows_the_formula",
    at=lambda: pooled(1, 2),
    spared=lambda: pooled(2, 2),
)
class SwapsHeightAndWidthOfTheOutput(Right):
    """The output of an image that is not square comes with its height and width exchanged."""

    def max_pool2d(self, problem: Any) -> Any:
        y: Tensor = self.answer(problem)
        square = problem.x.shape[2] == problem.x.shape[3]
        return y if square else y.reshape(*y.shape[:2], y.shape[3], y.shape[2])
