"""Laws of what adds up products over windows of an image: linear in both factors, and local."""

from __future__ import annotations

from typing import Any

import numpy as np

from .laws import combined, parts
from .op import STRICT, Run, Sides, law
from .pick import Pick
from .spoilt import ANY, spoil

Problem = Any  # of convolution or of a locally connected layer: x, weight, bias, and `multiply` of images and weights


@law("LAW-C1")
def linear_in_the_images(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """Without a bias, the images 2u + v give twice the result for u plus the result for v."""
    u, v = parts(problem.x, pick)
    plain = problem.but(bias=None)
    return run(plain.but(x=combined(u, v))), 2 * run(plain.but(x=u)) + run(plain.but(x=v))


@law("LAW-C2")
def linear_in_the_weights(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """Without a bias, the weights 2u + v give twice the result of u plus the result of v."""
    u, v = parts(problem.weight, pick)
    plain = problem.but(bias=None)
    return run(plain.but(weight=combined(u, v))), 2 * run(plain.but(weight=u)) + run(plain.but(weight=v))


@law("CONV-14, RF-01, RF-06", STRICT)
def nan_reaches_every_output_that_sees_it(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """A NaN in the image makes every output NaN whose window holds it at a tap that is not zero."""
    at = _place(problem, pick)
    spoilt = spoil(problem, "x", at, float("nan"))
    reached = problem.multiply(_here(problem, at), np.asarray(problem.weight != 0, np.float64)) > 0
    if not reached.any():
        return None
    return np.isnan(run.values(spoilt))[reached], np.ones(int(reached.sum()))


@law("GEN-18, RF-01, RF-06", STRICT)
def nan_reaches_no_other_output(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """A NaN or an infinity in the image leaves every output alone whose window does not hold it."""
    at = _place(problem, pick)
    spoilt = spoil(problem, "x", at, pick.one_of(ANY))
    apart = problem.multiply(_here(problem, at), np.ones(problem.weight.shape)) == 0
    if run.transforms or not apart.any():
        return None
    clean = run(problem)[apart]
    return clean.like(run.values(spoilt)[apart]), clean


def _place(problem: Problem, pick: Pick) -> tuple[int, ...]:
    return tuple(pick.integer(0, n - 1) for n in problem.x.shape)


def _here(problem: Problem, at: tuple[int, ...]) -> Any:
    """An indicator of one element of x."""
    indicator = np.zeros(problem.x.shape)
    indicator[at] = 1
    return indicator
