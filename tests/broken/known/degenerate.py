"""Known bugs of sizes at their lower end: one output, one value, one channel, one axis, nothing at all."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import BatchNorm2d, Conv2d, Conv2dBackward, Pad2d

from ..backward import Gradients
from ..base import Right, rounded, wide
from .entry import filled, known


@known(
    "B075",
    "pytorch/pytorch#2961",
    "batch_norm2d",
    clause="more_than_one_value",
    at=lambda: BatchNorm2d(
        x=filled((1, 1, 1, 2)), running_mean=np.zeros(1, np.float32), running_var=np.ones(1, np.float32)
    ),
)
class TrainsOnOneValue(Right):
    """A training step on a single value per channel is not refused: it gives the bias, and stores a variance that was
    divided by nothing."""

    def batch_norm2d(self, problem: Any) -> Any:
        if problem.broken_rules() != ("more_than_one_value",):
            return self.answer(problem)
        bias = np.zeros(problem.x.shape[1]) if problem.bias is None else wide(problem.bias)
        y = np.broadcast_to(bias[:, None, None], problem.x.shape)
        old = (problem.running_mean, problem.running_var)
        with np.errstate(all="ignore"):
            new = wide(problem.x)[0, :, 0, 0], np.zeros(problem.x.shape[1]) * np.divide(1.0, 0.0)
            kept = tuple(
                None if a is None else rounded((1 - problem.momentum) * wide(a) + problem.momentum * b, problem)
                for a, b in zip(old, new, strict=True)
            )
        return (rounded(y, problem), *kept)


@known(
    "B123",
    "apache/tvm#15484",
    "conv2d",
    clause="within_the_bound",
    at=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1))),
    spared=lambda: Conv2d(x=filled((1, 1, 1, 2)), weight=filled((1, 1, 1, 1))),
    analog="in floating point, and at the call, where the original failed to compile for eight-bit integers",
)
class HasNoTileForOneOutput(Right):
    """An output of one pixel has no tile to be padded to: the kernel cannot be made."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        if y.shape[2:] == (1, 1):
            raise RuntimeError("the loop over tiles was removed")
        return y


@known(
    "B155",
    "FluxML/NNlib.jl#763",
    "conv2d",
    "conv2d_backward",
    clause="an_empty_batch",
    at=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1))),
    also={
        "conv2d_backward": lambda: Conv2dBackward(
            x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), grad_output=filled((1, 1, 1, 1))
        )
    },
)
class DividesByTheBatch(Gradients):
    """A batch of no images is divided by, forward; backward, the gradient of the filters is never written."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        if not problem.x.shape[0]:
            raise ZeroDivisionError("integer division or modulo by zero")
        return y

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "conv2d_backward" or problem.x.shape[0]:
            return right
        return right[0], np.full_like(right[1], 1e30), right[2]


@known(
    "B171",
    "pytorch/pytorch#83745",
    "pad2d",
    clause="exact_on_integers",
    at=lambda: Pad2d(x=filled((1, 1, 1, 2)), padding=((0, 0), (0, 1))),
    spared=lambda: Pad2d(x=filled((1, 1, 2, 2)), padding=((0, 0), (0, 1))),
    analog="a single row of a single image stands for an array of one axis",
)
class NeedsTwoAxes(Right):
    """Padding a single row with zeros looks for an axis before it, which is not there."""

    def pad2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        if problem.mode == "zeros" and problem.x.shape[:3] == (1, 1, 1):
            raise IndexError("Dimension out of range (expected to be in range of [-1, 0], but got -2)")
        return y


@known(
    "B183",
    "tensorflow/tensorflow#30311",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((2, 1, 1, 1))),
    spared=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((2, 2, 1, 1))),
    analog="the report gives no cause; the first filter for all stands for a confused multiplier",
)
class FiltersOneChannelOnce(Right):
    """Images of one channel are convolved depthwise, and the first filter serves for all outputs."""

    def conv2d(self, problem: Any) -> Any:
        if problem.x.ndim == 4 and problem.x.shape[1] == 1 and not problem.broken_rules():
            problem = problem.but(weight=np.array(np.broadcast_to(problem.weight[:1], problem.weight.shape)))
        return self.answer(problem)
