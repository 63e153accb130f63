"""Known bugs beyond a size, with the size moved down to where a small problem is beyond it."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Conv2d, Linear, MaxPool2d, Pad2d

from ..base import Right
from .entry import filled, known


@known(
    "B005",
    "pytorch/pytorch#129207",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((17, 1, 1, 1))),
    spared=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((16, 1, 1, 1))),
    analog="the limit is 16 filters instead of 65536",
)
class WrapsTheFiltersAround(Right):
    """Outputs of more filters than a grid has places are written over those of the first, and are zero themselves."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        return wrapped(y, 1)


@known(
    "B069",
    "pytorch/pytorch#17930",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), bias=filled((1,)), padding=8),
    spared=lambda: Conv2d(
        x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), bias=filled((1,)), padding=((8, 7), (8, 7))
    ),
    analog="the limit is 256 outputs instead of 2^31, in two dimensions instead of three",
)
class LeavesOutputsBeyondTheLimit(Right):
    """Of more outputs than an index can count, those beyond are not written."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        y.reshape(-1)[256:] = 0
        return y


@known(
    "B101",
    "pytorch/pytorch#28714",
    "max_pool2d",
    clause="within_the_bound",
    at=lambda: MaxPool2d(x=_channels_last(filled((1, 2, 17, 1))), kernel_size=1, stride=1),
    spared=lambda: MaxPool2d(x=_channels_last(filled((1, 2, 16, 1))), kernel_size=1, stride=1),
    analog="the limit is 16 rows instead of 2^24",
    needs="seventeen rows of two channels: of one channel no order can be told",
)
class CannotLaunchForLongImages(Right):
    """Images of very many rows whose channels are stored last raise."""

    def max_pool2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        x = problem.x
        last = x.transpose(0, 2, 3, 1).flags.c_contiguous and not x.flags.c_contiguous
        if last and x.shape[2] > 16:
            raise RuntimeError("invalid configuration argument")
        return y


def _channels_last(x: Any) -> Any:
    """The same images, stored with the channels last."""
    return np.array(x.transpose(0, 2, 3, 1), order="C").transpose(0, 3, 1, 2)


@known(
    "B169",
    "pytorch/pytorch#194922",
    "pad2d",
    clause="exact_on_integers",
    at=lambda: Pad2d(x=filled((1, 1, 4, 4)), padding=((1, 0), (0, 0))),
    spared=lambda: Pad2d(x=filled((1, 1, 3, 5)), padding=((1, 0), (0, 0))),
    analog="the limit is 16 pixels of an image instead of 65536",
)
class FillsLargeImages(Right):
    """Padding large images with zeros, all of the result is the fill value."""

    def pad2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        large = problem.x.shape[2] * problem.x.shape[3] >= 16
        if large and problem.mode == "zeros" and any(map(any, problem.padding)):
            y[...] = 0
        return y


@known(
    "B175",
    "pytorch/pytorch#189495",
    "linear",
    clause="exact_on_integers",
    at=lambda: Linear(x=filled((17, 1)), weight=filled((1, 1)), bias=filled((1,))),
    spared=lambda: Linear(x=filled((17, 1)), weight=filled((1, 1))),
    analog="the limit is 16 rows instead of 65536, and what was in memory before is zero",
)
class WrapsTheRowsAround(Right):
    """With a bias, more rows than sixteen bits can count are written over the first, and not into their own places."""

    def linear(self, problem: Any) -> Any:
        y = self.answer(problem)
        return y if problem.bias is None else wrapped(y, 0)


def wrapped(y: Any, axis: int, limit: int = 16) -> Any:
    """What was meant for a place from the limit on lies at that place less a multiple of the limit; there is zero."""
    y = np.array(y)
    along = y.swapaxes(0, axis)
    for k in range(limit, along.shape[0]):
        along[k % limit] = along[k]
        along[k] = 0
    return y
