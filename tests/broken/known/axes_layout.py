"""Known bugs of layouts: memory with channels last read as though they came first, or the other way round.

The contract has one order of axes; memory may have another. A view of memory in the order N, H, W, C stands for images
that were handed over in that layout.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import AvgPool2d, Conv2d, LocallyConnected2d, LocalResponseNorm, MaxPool2d, Pad2d

from ..base import Right, Tensor
from .entry import filled, known
from .geometry_parts import channels_last, is_channels_last

ASKED = "a view with channels last in memory stands for the layout"
PERMUTED = (0, 2)  # of views_equal_copies: x, with its channels last


@known(
    "B137",
    "microsoft/onnxruntime#19889",
    "max_pool2d",
    "avg_pool2d",
    clause="views_equal_copies",
    at=lambda: _pooled(2),
    also={"avg_pool2d": lambda: AvgPool2d(x=filled((1, 2, 2, 2)), kernel_size=2, stride=1)},
    choices=PERMUTED,
    spared=lambda: _pooled(1),
    analog=ASKED,
)
class PoolsChannelsAndRows(Right):
    """With channels last, windows move along channels and rows instead of rows and columns."""

    def max_pool2d(self, problem: Any) -> Any:
        return self.along_channels(problem)

    def avg_pool2d(self, problem: Any) -> Any:
        return self.along_channels(problem)

    def along_channels(self, problem: Any) -> Any:
        if not is_channels_last(problem.x):
            return self.answer(problem)
        moved = problem.but(x=np.array(problem.x.transpose(0, 3, 1, 2), order="C"))  # N, W, C, H
        return np.array(self.answer(moved).transpose(0, 2, 3, 1), order="C")


def _pooled(channels: int) -> MaxPool2d:
    return MaxPool2d(x=filled((1, channels, 2, 2)), kernel_size=2, stride=1)


@known(
    "B159",
    "keras-team/keras#14485",
    "locally_connected2d",
    clause="size_follows_the_formula",
    at=lambda: _units(filled((1, 1, 1, 2))),
    spared=lambda: _units(channels_last(filled((1, 2, 1, 2)))),
    setting="contiguous images stand for channels_first, and " + ASKED.replace("the layout", "channels_last"),
)
class ReadsChannelsFirstAsChannelsLast(Right):
    """That channels come first is ignored: axes are read, and the output is laid out, as though they came last."""

    def locally_connected2d(self, problem: Any) -> Any:
        if is_channels_last(problem.x):
            return self.answer(problem)
        problem.validate()
        y: Tensor = self.answer(problem.but(x=misread(problem.x)))
        return np.array(y.transpose(0, 2, 3, 1), order="C")


def misread(x: Tensor) -> Tensor:
    """Images in memory as N, C, H, W, read as N, H, W, C."""
    n, c, h, w = x.shape
    return np.array(np.ascontiguousarray(x).reshape(n, h, w, c).transpose(0, 3, 1, 2), order="C")


def _units(x: Tensor) -> LocallyConnected2d:
    return LocallyConnected2d(x=x, weight=filled((1, 2, 1, x.shape[1], 1, 1)))


@known(
    "B181",
    "pytorch/executorch#9729",
    "pad2d",
    clause="views_equal_copies",
    at=lambda: Pad2d(x=filled((1, 2, 1, 2)), padding=((0, 0), (0, 1))),
    choices=PERMUTED,
    spared=lambda: Pad2d(x=filled((1, 2, 1, 2)), padding=((0, 0), (0, 1)), mode="replicate"),
    setting=ASKED,
)
class PadsChannelsForColumns(Right):
    """With channels last, paddings with zeros stay in the order of channels first: those of rows are laid around the
    columns, those of columns around the channels."""

    def pad2d(self, problem: Any) -> Any:
        if problem.mode != "zeros" or not is_channels_last(problem.x):
            return self.answer(problem)
        problem.validate()
        y = np.pad(problem.x.transpose(0, 2, 3, 1), ((0, 0), (0, 0), *problem.padding))
        return np.array(y.transpose(0, 3, 1, 2), order="C")


@known(
    "B225",
    "ROCm/MIOpen#2341",
    "local_response_norm",
    clause="views_equal_copies",
    at=lambda: LocalResponseNorm(x=filled((1, 2, 1, 2)), size=3, alpha=1.0),
    choices=PERMUTED,
    spared=lambda: LocalResponseNorm(x=filled((1, 1, 1, 2)), size=3, alpha=1.0),
    analog=ASKED,
)
class NormalizesAlongColumns(Right):
    """With channels last, the neighbours of an element are looked for along its row, not in the other channels."""

    def local_response_norm(self, problem: Any) -> Any:
        if not is_channels_last(problem.x):
            return self.answer(problem)
        y = self.answer(problem.but(x=np.array(problem.x.swapaxes(1, 3), order="C")))
        return np.array(y.swapaxes(1, 3), order="C")


@known(
    "B253",
    "microsoft/onnxruntime#25000",
    "conv2d",
    clause="views_equal_copies",
    at=lambda: Conv2d(x=filled((1, 2, 1, 2)), weight=filled((1, 2, 1, 1))),
    choices=PERMUTED,
    spared=lambda: Conv2d(x=filled((1, 8, 1, 2)), weight=filled((1, 8, 1, 1))),
    analog=ASKED,
)
class MultipliesMatricesChannelsFirst(Right):
    """A filter of one tap, with few channels and filters, is a matrix product that is not told that channels are last:
    pixels are taken for channels."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        few = max(problem.weight.shape[:2]) < 8 and problem.weight.shape[2:] == (1, 1) and problem.groups == 1
        plain = problem.stride == (1, 1) and problem.padding == ((0, 0), (0, 0))
        if not (few and plain and is_channels_last(problem.x)):
            return y
        memory = np.array(problem.x.transpose(0, 2, 3, 1), order="C")
        return self.answer(problem.but(x=memory.reshape(problem.x.shape)))
