"""Laws that tie gradients to the forward operation; an operation takes those that hold for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backward import inner
from .laws import small
from .op import Run, Sides, Tensor, law
from .pick import Pick

Problem = Any  # a Backward


def unbiased(problem: Problem) -> Problem:
    """The forward problem without its bias, if it may have one."""
    forward = problem.forward
    return forward.but(bias=None) if "bias" in problem._tensors else forward


def another(array: Tensor) -> Tensor:
    """Small integers of the same shape that have nothing to do with the array's own order."""
    return small(np.array(array.reshape(-1)[::-1].reshape(array.shape), order="C"))


@law("BWD-04, LAW-C16")
def the_gradient_is_the_adjoint(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """For any other input u, without a bias, <grad_output, forward(u)> = <grad_x, u>."""
    u = another(problem.x)
    return inner(run(unbiased(problem).but(x=u)), problem.grad_output), inner(run(problem), u)


@law("BWD-04")
def the_input_times_its_gradient(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """<grad_output, forward(x)> = <grad_x, x>: the operation is linear around x, and gives zero for zero."""
    return inner(run(problem.forward), problem.grad_output), inner(run(problem), problem.x)


@law("BWD-04, LAW-C16")
def the_gradient_of_the_weights_is_the_adjoint(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """For any other weights v, without a bias, <grad_output, forward(x; v)> = <grad_weight, v>."""
    v = another(problem.weight)
    there = run(unbiased(problem).but(weight=v))
    return inner(there, problem.grad_output), inner(run.outputs(problem)["grad_weight"], v)
