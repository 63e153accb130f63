"""Known bugs of gradients of normalizations: to be imported once there are such operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import BatchNorm2dBackward

from ..base import Right
from ..every_memory import in_memory
from .entry import filled, known
from .strides_parts import is_channels_last


def over(channels: int) -> BatchNorm2dBackward:
    """A gradient of two images of a row of two pixels."""
    x = filled((2, channels, 1, 2))
    grad = filled((2, channels, 1, 2), start=-9)
    return BatchNorm2dBackward(x=x, weight=np.ones(channels, "float32"), eps=1.0, grad_output=grad)


@known(
    "B165",
    "pytorch/pytorch#175189",
    "batch_norm2d_backward",
    clause="views_equal_copies",
    choices=(0, 2),  # x, permuted
    at=lambda: over(2),
    spared=lambda: over(1),
)
class ReducesChannelsLastAsChannelsFirst(Right):
    """x that is stored channels last is reduced along the axes that it would have channels first: the gradients of x
    and of the weight are wrong, that of the bias, in which x has no part, is right."""

    def batch_norm2d_backward(self, problem: Any) -> Any:
        right = self.answer(problem)
        if not is_channels_last(problem.x):
            return right
        misread = problem.but(x=in_memory(problem.x))
        if misread.broken_rules():  # without eps, a channel that does not vary
            return right
        grad_x, grad_weight, *_ = self.answer(misread)
        return grad_x, grad_weight, *right[2:]
