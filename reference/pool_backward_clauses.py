"""Clauses of the gradients of both poolings."""

from __future__ import annotations

from typing import Any

import numpy as np

from .op import Run, Sides, law
from .pick import Pick

Problem = Any  # AvgPool2dBackward or MaxPool2dBackward


@law("BWD-01, MAXP-03")
def channels_are_separate(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """The gradient of a channel is that of the channel alone."""
    if problem.random:
        return None
    c = slice(pick.integer(0, problem.x.shape[1] - 1), None)
    c = slice(c.start, c.start + 1)
    alone = problem.but(
        x=np.array(problem.x[:, c], order="C"), grad_output=np.array(problem.grad_output[:, c], order="C")
    )
    return run(alone), run(problem)[:, c]


@law("BWD-08")
def stride_is_zero_stuffing(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """Rounded down, stride (a, b) gives the gradient of stride 1 for grad_output at every a-th row and b-th column,
    zero elsewhere."""
    dense = problem.but(stride=(1, 1), ceil_mode=False)
    if problem.random or dense.forward.broken_rules():
        return None
    rows, columns = problem.forward.but(ceil_mode=False).output_shape()[2:]
    grad = np.zeros(dense.forward.output_shape(), problem.dtype)
    kept = problem.grad_output[:, :, :rows, :columns]
    grad[:, :, :: problem.stride[0], :: problem.stride[1]] = kept
    down = problem.but(ceil_mode=False, grad_output=np.array(kept, order="C"))
    return run(down), run(dense.but(grad_output=grad))


@law("BWD-07")
def overlapping_windows_add_up(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """The gradient is the sum of the gradients of the even and of the odd rows of windows alone."""
    if problem.random or problem.grad_output.shape[2] < 2:
        return None
    even, odd = np.array(problem.grad_output), np.array(problem.grad_output)
    even[:, :, 1::2], odd[:, :, ::2] = 0, 0
    return run(problem), run(problem.but(grad_output=even)) + run(problem.but(grad_output=odd))
