"""Known bugs of the gradients of convolution: groups, blocks of channels, single taps."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Conv2dBackward

from ..base import Right
from .channels import is_depthwise
from .entry import filled, known


@known(
    "B017",
    "fujitsu/oneDNN#43",
    "conv2d_backward",
    clause="exact_on_integers",
    at=lambda: Conv2dBackward(
        x=filled((1, 17, 1, 1)),
        weight=filled((1, 17, 1, 1)),
        stride=(1, 2),
        padding=((0, 0), (2, 0)),
        grad_output=filled((1, 1, 1, 2)),
    ),
    spared=lambda: Conv2dBackward(
        x=filled((1, 16, 1, 1)),
        weight=filled((1, 16, 1, 1)),
        stride=(1, 2),
        padding=((0, 0), (2, 0)),
        grad_output=filled((1, 1, 1, 2)),
    ),
    analog="where the channels of a later block are put is made up",
    needs="seventeen channels of the image and of a filter, and two outputs",
)
class ForgetsTheStrideInLaterBlocks(Right):
    """Narrow images, stepped over in columns: in channels beyond the sixteenth, gradients are put side by side."""

    def conv2d_backward(self, problem: Any) -> Any:
        grad_x, *others = self.answer(problem)
        c, w = problem.x.shape[1], problem.x.shape[3]
        if problem.stride[1] > 1 and c > 16 and w < 17:
            near = problem.but(stride=(problem.stride[0], 1))
            grad = np.zeros(near.forward.output_shape(), problem.dtype)
            grad[..., : problem.grad_output.shape[3]] = problem.grad_output
            grad_x[:, 16:] = self.answer(near.but(grad_output=grad))[0][:, 16:]
        return grad_x, *others


@known(
    "B021",
    "ml-explore/mlx#3800",
    "conv2d_backward",
    clause="exact_on_integers",
    at=lambda: Conv2dBackward(
        x=filled((1, 2, 1, 3)), weight=filled((2, 1, 1, 1)), stride=2, groups=2, grad_output=filled((1, 2, 1, 2))
    ),
    spared=lambda: Conv2dBackward(
        x=filled((1, 2, 1, 3)), weight=filled((2, 1, 1, 1)), groups=2, grad_output=filled((1, 2, 1, 3))
    ),
)
class ForgetsTheGroupsWhereStrided(Right):
    """With groups and a stride, the gradient of the image is that of a dense convolution with the same filters."""

    def conv2d_backward(self, problem: Any) -> Any:
        grad_x, *others = self.answer(problem)
        if problem.groups > 1 and max(problem.stride) > 1:
            dense = np.tile(problem.weight, (1, problem.groups, 1, 1))
            grad_x = self.answer(problem.but(weight=dense, groups=1))[0]
        return grad_x, *others


@known(
    "B141",
    "tracel-ai/burn#1891",
    "conv2d_backward",
    clause="exact_on_integers",
    at=lambda: Conv2dBackward(
        x=filled((1, 2, 2, 2)), weight=filled((2, 1, 2, 1)), stride=2, groups=2, grad_output=filled((1, 2, 1, 1))
    ),
    spared=lambda: Conv2dBackward(
        x=filled((1, 2, 2, 1)), weight=filled((2, 1, 2, 1)), stride=2, groups=2, grad_output=filled((1, 2, 1, 1))
    ),
)
class CopiesTheLargerGradient(Right):
    """Depthwise with a stride that leaves pixels over: the gradient of the filters is computed with a tap too many and
    copied into the smaller array as it lies in memory."""

    def conv2d_backward(self, problem: Any) -> Any:
        grad_x, grad_weight, grad_bias = self.answer(problem)
        more = [a.slack // a.dilation for a in problem.forward.axes]
        if is_depthwise(problem) and any(more) and grad_weight.size:
            k, c, r, s = problem.weight.shape
            shape = (k, c, r + more[0], s + more[1])
            large = self.answer(problem.but(weight=np.zeros(shape, problem.dtype)))[1]
            each = grad_weight.size // problem.groups
            grad_weight = large.reshape(problem.groups, -1)[:, :each].reshape(k, c, r, s)
        return grad_x, np.array(grad_weight, order="C"), grad_bias


@known(
    "B027",
    "ROCm/composable_kernel#2478",
    "conv2d_backward",
    clause="exact_on_integers",
    at=lambda: Conv2dBackward(
        x=filled((1, 2, 1, 1)), weight=filled((2, 2, 1, 1)), grad_output=filled((1, 2, 1, 1), start=2)
    ),
    spared=lambda: Conv2dBackward(
        x=filled((1, 3, 1, 1)), weight=filled((3, 3, 1, 1)), grad_output=filled((1, 3, 1, 1), start=2)
    ),
    analog="which wrong stride the gradient is stored with is made up",
)
class StoresPairsOfGradientsApart(Right):
    """The path for single taps without stride or padding, in pairs of filters or channels: the firsts of all pairs of
    gradients of the filters come before the seconds."""

    def conv2d_backward(self, problem: Any) -> Any:
        grad_x, grad_weight, grad_bias = self.answer(problem)
        plain = problem.stride == (1, 1) and not any(map(any, problem.padding))
        taps, each = problem.weight.shape[2:], grad_weight.size // problem.groups
        if plain and taps == (1, 1) and each % 2 == 0:
            pairs = grad_weight.reshape(problem.groups, each // 2, 2)
            grad_weight = np.array(pairs.swapaxes(1, 2).reshape(grad_weight.shape), order="C")
        return grad_x, grad_weight, grad_bias
