"""Known bugs of refusals: legal problems that raised."""

from __future__ import annotations

from typing import Any

from convspec.reference import BatchNorm2d, Conv2d, Conv2dBackward

from ..base import Right
from .entry import filled, known


@known(
    "B145",
    "tensorflow/tensorflow#50397",
    "conv2d_backward",
    clause="within_the_bound",
    at=lambda: Conv2dBackward(
        x=filled((1, 2, 1, 1)), weight=filled((2, 1, 1, 1)), groups=2, grad_output=filled((1, 2, 1, 1))
    ),
    spared=lambda: Conv2dBackward(
        x=filled((1, 2, 1, 1)), weight=filled((2, 2, 1, 1)), grad_output=filled((1, 2, 1, 1))
    ),
)
class HasNoGradientOfGroups(Right):
    """Convolution takes groups; its gradients stumble over the number of channels of their filters."""

    def conv2d_backward(self, problem: Any) -> Any:
        if problem.groups > 1:
            raise RuntimeError("the filters have another number of channels than the image")
        return self.answer(problem)


@known(
    "B199",
    "chainer/chainer#3874",
    "conv2d_backward",
    clause="within_the_bound",
    at=lambda: Conv2dBackward(
        x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), dilation=2, grad_output=filled((1, 1, 1, 1))
    ),
    spared=lambda: Conv2dBackward(
        x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), grad_output=filled((1, 1, 1, 1))
    ),
    analog="always deterministic, for which there is no argument",
)
class HasNoDeterministicDilation(Right):
    """Among deterministic algorithms for gradients there is none with dilation, and the call fails."""

    def conv2d_backward(self, problem: Any) -> Any:
        if max(problem.dilation) > 1:
            raise NotImplementedError("no algorithm supports this problem")
        return self.answer(problem)


@known(
    "B213",
    "Oneflow-Inc/oneflow#7740",
    "batch_norm2d",
    clause="within_the_bound",
    at=lambda: BatchNorm2d(x=filled((2, 1, 1, 1)), bias=filled((1,))),
    spared=lambda: BatchNorm2d(x=filled((2, 1, 1, 1)), weight=filled((1,)), bias=filled((1,))),
)
class NeedsWeights(Right):
    """Batch normalization without a weight, which is optional, raises a type error."""

    def batch_norm2d(self, problem: Any) -> Any:
        if problem.weight is None:
            raise TypeError("weight must be an array, not None")
        return self.answer(problem)


@known(
    "B265",
    "microsoft/CNTK#3371",
    "conv2d",
    clause="within_the_bound",
    at=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((1, 2, 1, 1)), dilation=2),
    spared=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), dilation=2),
)
class DilatesOneChannelOnly(Right):
    """A dilated convolution of more than one channel raises."""

    def conv2d(self, problem: Any) -> Any:
        if max(problem.dilation) > 1 and problem.x.shape[1] > 1:
            raise RuntimeError("no convolution engine supports this geometry")
        return self.answer(problem)
