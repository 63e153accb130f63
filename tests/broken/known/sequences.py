"""Known bugs that only a sequence of different calls shows: what an earlier call left behind."""

from __future__ import annotations

from typing import Any

from convspec.reference import AvgPool2d, Conv2dBackward

from ..base import Array, Right
from ..pool import RightPool
from .entry import TRANSPOSED, filled, known


@known(
    "B049",
    "kulinseth/pytorch#273",
    "avg_pool2d",
    clause="calls_in_between_change_nothing",
    at=lambda: AvgPool2d(x=filled((1, 1, 1, 1)), kernel_size=2, stride=1, padding=1),
    choices=(9,),  # of what may change in between, whether padding counts
    spared=lambda: AvgPool2d(x=filled((1, 1, 2, 2)), kernel_size=2, stride=1),
)
class KeepsTheFirstDivisor(RightPool):
    """Divisors are kept from call to call by shape, window, stride and padding, and not by whether padding counts: a
    second call gets those of the first."""

    def __init__(self) -> None:
        self.kept: dict[Any, Array] = {}

    def divisor(self, problem: Any) -> Array:
        key = problem.x.shape, problem.kernel_size, problem.stride, problem.padding, problem.ceil_mode
        return self.kept.setdefault(key, super().divisor(problem))


@known(
    "B157",
    "pytorch/pytorch#24341",
    "conv2d_backward",
    clause="calls_in_between_change_nothing",
    at=lambda: Conv2dBackward(x=filled((0, 1, 1, 1)), weight=filled((1, 1, 1, 1)), grad_output=filled((0, 1, 1, 1))),
    spared=lambda: Conv2dBackward(
        x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), grad_output=filled((1, 1, 1, 1))
    ),
    setting=TRANSPOSED,
)
class AnswersForNothingWithTheLastAnswer(Right):
    """Transposed convolution of an empty batch leaves the output alone: that of the call before comes back."""

    def __init__(self) -> None:
        self.last: Any = None

    def conv2d_backward(self, problem: Any) -> Any:
        grad_x, *others = self.answer(problem)
        if problem.x.shape[0] == 0 and self.last is not None:
            return self.last, *others
        self.last = grad_x
        return grad_x, *others
