"""Known bugs of the geometry of maximum pooling and of both: rounding up, dilation, ranks."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import AvgPool2d, MaxPool2d, MaxPool2dBackward
from convspec.reference.window import Window

from ..base import Right, rounded, taken
from ..pool import RightPool
from .entry import filled, known
from .geometry_parts import all_along, all_counts, axes_of


def row(n: int) -> Any:
    return filled((1, 1, 1, n))


@known(
    "B029",
    "pytorch/xla#2583",
    "max_pool2d",
    clause="size_follows_the_formula",
    at=lambda: MaxPool2d(x=filled((1, 1, 8, 1)), kernel_size=(3, 1), stride=(4, 1), ceil_mode=True),
    spared=lambda: MaxPool2d(x=filled((1, 1, 9, 1)), kernel_size=(3, 1), stride=(4, 1), ceil_mode=True),
)
class KeepsRowsBehindTheImage(RightPool):
    """Rounding up keeps a last row of windows that starts behind the image: a row of minus infinity."""

    def max_pool2d(self, problem: Any) -> Any:
        y = super().max_pool2d(problem)
        more = all_counts(problem)[0] - y.shape[2]
        return np.pad(y, ((0, 0), (0, 0), (0, more), (0, 0)), constant_values=-np.inf)


@known(
    "B031",
    "webmachinelearning/webnn#935",
    "max_pool2d",
    clause="size_follows_the_formula",
    at=lambda: MaxPool2d(
        x=filled((1, 1, 5, 1)), kernel_size=(3, 1), stride=(3, 1), padding=((1, 1), (0, 0)), ceil_mode=True
    ),
    spared=lambda: MaxPool2d(x=filled((1, 1, 5, 5)), kernel_size=3, stride=3, padding=1),
)
class GivesZeroForPaddingAlone(RightPool):
    """A window that holds nothing but padding is neither dropped nor refused: it gives zero."""

    def max_pool2d(self, problem: Any) -> Any:
        if set(problem.broken_rules()) - {"every_window_holds_input"}:
            problem.validate()
        largest = self.largest(taken(problem.x, *all_along(problem), self.outside))
        rows, columns = (
            ((at >= 0) & (at < n)).any(axis=1) for at, n in zip(all_along(problem), problem.x.shape[2:], strict=True)
        )
        return rounded(np.where(rows[:, None] & columns, largest, 0), problem)


@known(
    "B105",
    "microsoft/onnxruntime#29637",
    "max_pool2d",
    clause="exact_on_integers",
    at=lambda: MaxPool2d(x=row(3), kernel_size=(1, 2), stride=1, padding=((0, 0), (1, 1)), dilation=(1, 2)),
    spared=lambda: MaxPool2d(x=row(3), kernel_size=(1, 2), stride=1, padding=((0, 0), (0, 1)), dilation=(1, 2)),
)
class StepsFromTheEdgeOfTheImage(RightPool):
    """A dilated window that begins in the padding is begun at the image's edge, and its taps are counted from there:
    they are others than those of the window."""

    def max_pool2d(self, problem: Any) -> Any:
        problem.validate()
        along = []
        for a in problem.axes:
            starts = a.positions[:, :1]
            clamped = np.maximum(starts, 0) + np.arange(a.taps) * a.dilation
            along.append(np.where(clamped < starts + a.span, clamped, -1))
        return rounded(self.largest(taken(problem.x, along[0], along[1], self.outside)), problem)


@known(
    "B107",
    "pytorch/pytorch#38986",
    "max_pool2d",
    clause="x_has_four_axes",
    at=lambda: MaxPool2d(x=filled((1, 1, 2, 2)), kernel_size=2, stride=1),
    analog="one image is no valid problem here; it is answered, and values have the rank that the indices had",
)
class AddsTheBatchAxis(Right):
    """An image without a batch axis comes back with one."""

    def max_pool2d(self, problem: Any) -> Any:
        return self.answer(problem.but(x=problem.x[None]) if problem.x.ndim == 3 else problem)


@known(
    "B109",
    "pytorch/pytorch#100531",
    "max_pool2d",
    clause="size_follows_the_formula",
    at=lambda: MaxPool2d(x=row(3), kernel_size=(1, 2), stride=1, dilation=(1, 2)),
    spared=lambda: MaxPool2d(x=row(3), kernel_size=(1, 2), stride=1),
)
class PoolsWithoutDilation(RightPool):
    """Dilation is ignored: in the taps of a window and in the size of the output."""

    def max_pool2d(self, problem: Any) -> Any:
        problem.validate()
        return rounded(self.largest(self.seen(problem.but(dilation=(1, 1)), self.outside)), problem)


@known(
    "B113",
    "openvinotoolkit/openvino#21067",
    "max_pool2d",
    "avg_pool2d",
    clause="exact_on_integers",
    at=lambda: MaxPool2d(x=row(2), kernel_size=(1, 3), stride=1, padding=((0, 0), (0, 1)), ceil_mode=True),
    also={
        "avg_pool2d": lambda: AvgPool2d(
            x=row(3), kernel_size=(1, 4), stride=1, padding=((0, 0), (0, 1)), ceil_mode=True
        )
    },
    spared=lambda: MaxPool2d(x=row(2), kernel_size=(1, 3), stride=1, padding=((0, 0), (0, 1))),
    analog="a window longer than the padded image is invalid here; one longer than the image is refused instead",
)
class RefusesWindowsThatHangOver(Right):
    """Where sizes are rounded up, a window that is longer than the image is refused."""

    def max_pool2d(self, problem: Any) -> Any:
        return self.fitting(problem)

    def avg_pool2d(self, problem: Any) -> Any:
        return self.fitting(problem)

    def fitting(self, problem: Any) -> Any:
        for number, a in enumerate(axes_of(problem)):
            if problem.ceil_mode and a.span > a.length:
                raise ValueError(f"a dilated window of {a.span} is larger than {a.length} at axis {number}")
        return self.answer(problem)


@known(
    "B197",
    "chainer/chainer#1196",
    "max_pool2d",
    "avg_pool2d",
    clause="size_follows_the_formula",
    at=lambda: MaxPool2d(x=row(3), kernel_size=(1, 2), stride=(1, 2), ceil_mode=True),
    also={"avg_pool2d": lambda: AvgPool2d(x=row(3), kernel_size=(1, 2), stride=(1, 2), ceil_mode=True)},
    spared=lambda: MaxPool2d(x=row(4), kernel_size=(1, 2), stride=(1, 2), ceil_mode=True),
)
class CoversOnlyWholeWindows(RightPool):
    """The option to round the size up is not passed on: what is left over at the end is never pooled."""

    def max_pool2d(self, problem: Any) -> Any:
        problem.validate()
        return rounded(self.largest(self.seen(problem.but(ceil_mode=False), self.outside)), problem)

    def avg_pool2d(self, problem: Any) -> Any:
        problem.validate()
        whole = problem.but(ceil_mode=False)  # where rounding up drops a window on the padding, rounding down keeps it
        with np.errstate(invalid="ignore"):
            return rounded(self.total(self.seen(whole, 0.0)) / whole.divisor, problem)


@known(
    "B217",
    "CanReader/FastNN#4",
    "max_pool2d",
    "max_pool2d_backward",
    clause="exact_on_integers",
    at=lambda: MaxPool2d(x=row(3), kernel_size=(1, 2), stride=1, dilation=(1, 2)),
    also={
        "max_pool2d_backward": lambda: MaxPool2dBackward(
            x=row(3), kernel_size=(1, 2), stride=1, dilation=(1, 2), grad_output=row(1)
        )
    },
    spared=lambda: MaxPool2d(x=row(3), kernel_size=(1, 2), stride=1),
)
class ReadsDenseWindowsForDilatedOnes(RightPool):
    """The size is that of dilated windows, the taps are side by side; forward and backward, so that they agree."""

    def positions(self, axis: Window) -> Any:
        return axis.positions[:, :1] + np.arange(axis.taps)

    def max_pool2d_backward(self, problem: Any) -> Any:
        if max(problem.dilation) == 1:
            return self.answer(problem)
        problem.validate()
        forward = problem.forward
        seen = self.seen(forward, self.outside)
        n, c, i, j, r, s = seen.shape
        winner = seen.reshape(n, c, i, j, r * s).argmax(axis=-1)
        rows, columns = self.along(forward)
        down = rows[np.arange(i)[:, None], winner // s]
        across = columns[np.arange(j), winner % s]
        held = (down >= 0) & (down < forward.x.shape[2]) & (across >= 0) & (across < forward.x.shape[3])
        images, channels = np.arange(n)[:, None, None, None], np.arange(c)[:, None, None]
        grad = np.zeros(forward.x.shape)
        at = tuple(np.broadcast_to(index, held.shape)[held] for index in (images, channels, down, across))
        np.add.at(grad, at, np.asarray(problem.grad_output, np.float64)[held])
        return rounded(grad, problem)
