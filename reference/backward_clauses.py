"""Clauses of every backward operation."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backward import joined
from .laws import combined, parts
from .op import STRICT, Run, Sides, law, rule
from .pick import Pick

Problem = Any  # a Backward


@rule(lambda problem, pick: _misshapen(problem, pick), STRICT, "BWD-02")
def grad_output_has_the_shape_of_the_output(problem: Problem) -> bool:
    """grad_output has the shape of the forward operation's result; it is not broadcast."""
    return bool(problem.grad_output.shape == problem.forward.output_shape())


def _misshapen(problem: Problem, pick: Pick) -> Problem:
    """One element longer along an axis, one slice along it, or without its first axis."""
    g = problem.grad_output
    axis = pick.integer(0, g.ndim - 1)
    first = np.take(g, [0], axis)
    wrong = [np.concatenate([g, first], axis), g[0]]
    if g.shape[axis] > 1:
        wrong.append(first)
    return problem.but(grad_output=np.array(pick.one_of(wrong), order="C"))


@law("BWD-03")
def linear_in_the_gradient(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """The gradient 2u + v of the output gives twice the gradients for u plus those for v."""
    if problem.random:
        return None  # what is shared among equals may be shared otherwise each time
    u, v = parts(problem.grad_output, pick)
    both, one, other = (joined(run.outputs(problem.but(grad_output=grad))) for grad in (combined(u, v), u, v))
    return both, 2 * one + other


@law("BWD-03")
def no_gradient_gives_none(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """A gradient of zeros gives zeros."""
    none = joined(run.outputs(problem.but(grad_output=np.zeros_like(problem.grad_output))))
    return none, np.zeros(none.shape)
