"""Known bugs of the geometry of average pooling: what a window is divided by."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import AvgPool2d

from ..base import Array, rounded, taken
from ..pool import RightPool
from .entry import filled, known
from .geometry_parts import all_along, axes_of, pooled_taps
from .geometry_pool import row


@known(
    "B179",
    "PaddlePaddle/Paddle#51542",
    "avg_pool2d",
    clause="size_follows_the_formula",
    at=lambda: AvgPool2d(x=row(4), kernel_size=1, stride=(1, 2), ceil_mode=True, count_include_pad=False),
    spared=lambda: AvgPool2d(x=row(5), kernel_size=1, stride=(1, 2), ceil_mode=True, count_include_pad=False),
)
class AveragesBehindTheImage(RightPool):
    """Rounding up keeps a last window that starts behind the image, which divides nothing by nothing."""

    def avg_pool2d(self, problem: Any) -> Any:
        problem.validate()
        along = all_along(problem)
        with np.errstate(invalid="ignore"):
            return rounded(self.total(taken(problem.x, *along)) / pooled_taps(problem, along), problem)


@known(
    "B051",
    "microsoft/onnxruntime#27375",
    "avg_pool2d",
    clause="within_the_bound",
    at=lambda: AvgPool2d(x=filled((1, 1, 2, 1)), kernel_size=(2, 1), stride=1, padding=((0, 1), (0, 0))),
    spared=lambda: AvgPool2d(x=filled((1, 1, 2, 1)), kernel_size=(2, 1), stride=1, padding=((1, 0), (0, 0))),
)
class EndsTheRowsAtTheLeftPadding(RightPool):
    """Where padding is counted, rows are counted down to the height plus the padding on the left, not at the bottom."""

    def divisor(self, problem: Any) -> Array:
        if not problem.count_include_pad:
            return np.asarray(problem.divisor)
        rows, columns = axes_of(problem)
        starts = rows.positions[:, 0]
        held = np.minimum(starts + rows.taps, rows.length + columns.before) - starts
        across = (columns.positions < columns.length + columns.after).sum(axis=1)
        return np.asarray(held[:, None] * across, np.float64)


@known(
    "B161",
    "pytorch/pytorch#161011",
    "avg_pool2d",
    clause="within_the_bound",
    at=lambda: AvgPool2d(x=row(3), kernel_size=(1, 2), stride=(1, 2), ceil_mode=True),
    spared=lambda: AvgPool2d(x=row(4), kernel_size=(1, 2), stride=(1, 2), ceil_mode=True),
    analog="the report gives no cause; a divisor that counts the zeros behind the image stands for it",
)
class FillsUpTheLastWindow(RightPool):
    """A window that hangs over the padded image is filled up with zeros, and divided by all of its taps."""

    def divisor(self, problem: Any) -> Array:
        rows, columns = (a.positions[:, -1] >= a.length + a.after for a in axes_of(problem))
        return np.where(rows[:, None] | columns, float(np.prod(problem.kernel_size)), problem.divisor)
