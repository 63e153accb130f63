"""Clauses of the backward operations that have a weight and a bias."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backward import joined, total
from .measured import Measured
from .op import Run, Sides, law
from .pick import Pick

Problem = Any  # a Backward with weight and bias, and `shared`: the axes of the output that share one bias


def _of_parameters(outputs: dict[str, Measured]) -> Measured:
    return joined({name: one for name, one in outputs.items() if name != "grad_x"})


@law("BWD-05")
def images_add_up(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """The gradients of weight and bias are the sums of those of each image alone."""
    n = problem.x.shape[0]
    if n < 2 or (problem.weight is None and problem.bias is None):
        return None
    total = _of_parameters(run.outputs(problem.image(0)))
    for k in range(1, min(n, 8)):
        total = total + _of_parameters(run.outputs(problem.image(k)))
    first = problem.but(x=np.array(problem.x[:8]), grad_output=np.array(problem.grad_output[:8]))
    return _of_parameters(run.outputs(first)), total


@law("BWD-06")
def the_bias_collects_its_outputs(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """grad_bias is the sum of grad_output over all outputs to which the bias is added."""
    if problem.bias is None:
        return None
    return run.outputs(problem)["grad_bias"], total(problem.grad_output, problem.shared)


@law("BWD-06")
def values_of_the_bias_do_not_matter(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """Without a bias, and with one of other values, the other gradients are the same."""
    if problem.bias is None:
        return None
    with_bias = run.outputs(problem.but(bias=problem.bias + np.asarray(3, problem.dtype)))
    without = run.outputs(problem.but(bias=None))
    return joined({name: with_bias[name] for name in without}), joined(without)
