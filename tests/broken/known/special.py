"""Known bugs of NaN and infinities."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import MaxPool2d, MaxPool2dBackward, Relu

from ..base import Array, Right
from ..pool import RightPool
from .entry import filled, known
from .winners_parts import Index, Scatters


def lowest(value: float) -> MaxPool2dBackward:
    """Two windows of one channel, the second of which sees nothing but `value`."""
    x = np.float32([1, 2, value, value]).reshape(1, 1, 1, 4)
    return MaxPool2dBackward(x=x, kernel_size=(1, 2), stride=(1, 2), grad_output=np.float32([3, 5]).reshape(1, 1, 1, 2))


@known(
    "B053",
    "pytorch/pytorch#1465",
    "max_pool2d_backward",
    clause="every_window_gives_what_it_got",
    at=lambda: lowest(-np.inf),
    spared=lambda: lowest(-9),
)
class KeepsTheFirstIndex(Scatters):
    """The search for the largest element begins at minus infinity with the index -1, and where nothing is larger stays
    there: the gradient goes to the element before the plane, in the channel before or nowhere."""

    def index(self, seen: Array, first: Index) -> Index:
        return np.where((seen > -np.inf).any(axis=2), first, -1)


def marked(channels: int) -> MaxPool2d:
    """Float64 channels of two numbers, one window each."""
    return MaxPool2d(x=filled((1, channels, 1, 2), dtype="float64"), kernel_size=(1, 2), stride=(1, 1))


@known(
    "B055",
    "tensorflow/tensorflow#125965",
    "max_pool2d",
    clause="nan_propagates",
    choices=(0, 2),  # the third channel; of two, the second
    at=lambda: marked(3),
    spared=lambda: marked(2),
)
class DropsNansInTheTail(RightPool):
    """Channels go through vectors of 16 bytes, which hand NaN on; those left over go one by one through `>`, which is
    never true of NaN."""

    def finished(self, y: Array, problem: Any) -> Array:
        if problem.name != "max_pool2d":
            return y
        whole = problem.x.shape[1] // (16 // problem.dtype.itemsize) * (16 // problem.dtype.itemsize)
        seen = self.seen(problem, self.outside)[:, whole:]
        y[:, whole:] = np.where(np.isnan(seen), -np.inf, seen).max(axis=(4, 5))
        return y


@known(
    "B151",
    "apache/mxnet#11115",
    "relu",
    clause="nan_stays_nan",
    at=lambda: Relu(x=filled((2,))),
)
class ClipsNansToZero(Right):
    """x where x > 0 and zero elsewhere: NaN is not above zero."""

    def relu(self, problem: Any) -> Any:
        problem.validate()
        return np.where(problem.x > 0, problem.x, np.zeros((), problem.dtype))
