"""Clauses of the gradients of every normalization."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .backward import joined
from .laws import small
from .measured import Measured
from .normalize_backward_reach import touched
from .normalize_clauses import bare, on_its_own, spoilt, valid
from .op import STRICT, Run, Sides, law
from .parameters import EPS
from .pick import Pick
from .sets import Sets, found_in, held
from .spoilt import ANY, spoil

Array = npt.NDArray[np.float64]
Tensor = npt.NDArray[Any]
Problem = Any  # a NormalizationBackward


def _weights(problem: Problem) -> Tensor:
    """The weight as large as x; ones where there is none."""
    sets: Sets = problem.sets
    weight = np.ones(sets.affine, problem.dtype) if problem.weight is None else problem.weight.reshape(sets.affine)
    return np.array(np.broadcast_to(weight, sets.shape).reshape(problem.x.shape), order="C")


def _known(*found: Measured) -> bool:
    """Has nothing overflowed, so that products of these say something?"""
    return all(bool(np.isfinite(one.value).all() and np.isfinite(one.tolerance).all()) for one in found)


@law("BWD-04, BWD-14")
def the_gradient_is_the_adjoint(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """For any direction d, <grad_x, d> = <grad_output, J d> in each set, where J d is how the forward result moves
    along d: weight * (d - mean(d) - y*mean(d*y)) / sqrt(v + eps), y being the forward result without weight and bias,
    or weight * d / sqrt(v + eps) where mean and variance are given."""
    sets: Sets = problem.sets
    m, d = sets.count, sets.rows(small(problem.x)[..., ::-1]).astype(np.float64)
    h = (Measured(problem.grad_output) * np.asarray(_weights(problem), np.float64)).rearranged(sets.rows)
    grad = run(problem).rearranged(sets.rows)
    v = sets.rows(np.broadcast_to(found_in(problem).variance, sets.shape))[:, 0]
    r = 1 / np.sqrt(v + problem.eps)
    root = Measured(r, r * (m + 8) * 2.0**-52)  # of the variance, as NumPy adds it up in float64
    slope = (h * d).sum(1) * m
    if held(problem) is None:
        y = run(bare(problem).forward).rearranged(sets.rows)
        if not _known(y, h):
            return None
        slope = slope - h.sum(1) * d.sum(axis=1) - (h * y).sum(1) * (y * d).sum(1)
    return ((grad * d).sum(1) * m, slope * root) if _known(grad, slope, root) else None


@law("BWD-04, BWD-05, LN-04")
def the_weight_collects_what_it_scales(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """grad_weight is the sum of grad_output times the forward result without weight and bias, over all elements that
    share the weight."""
    if problem.weight is None:
        return None
    y = run(bare(problem).forward)
    if not _known(y):
        return None
    users: Sets = problem.users
    total = (y * np.asarray(problem.grad_output, np.float64)).rearranged(users.rows).sum(1)
    return run.outputs(problem)["grad_weight"].rearranged(np.ravel), total


@law("BWD-14")
def gradients_of_a_set_add_up_to_zero(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """Adding a number to a whole set changes nothing, so that the grad_x of each set add up to zero."""
    here = on_its_own(problem)
    if here is None:
        return None
    rows = run(here).rearranged(problem.sets.rows)
    return rows.sum(1), np.zeros(rows.shape[0])


@law("BWD-14, LAW-N1")
def gradients_shrink_as_the_input_grows(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """2x + 3 and 2x, with four times the eps, give half the grad_x of x, and the same grad_weight and grad_bias."""
    here = on_its_own(problem.but(x=small(problem.x)))
    if here is None or here.broken_rules():
        return None
    there = here.but(x=2 * here.x + np.asarray(pick.one_of((3, 0)), problem.dtype), eps=4 * problem.eps)
    doubled = {name: 2 * one if name == "grad_x" else one for name, one in run.outputs(there).items()}
    return joined(doubled), joined(run.outputs(here))


@law("BWD-04, LN-04, GN-03")
def the_weight_scales_the_gradient(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """grad_x is that without a weight for grad_output times the weight."""
    if problem.weight is None:
        return None
    here = problem.but(weight=small(problem.weight), grad_output=small(problem.grad_output))
    scaled = (here.grad_output * _weights(here)).astype(problem.dtype)
    return run(here), run(bare(here).but(grad_output=scaled))


@law("BWD-14, LN-02, GN-02, BN-01")
def sets_are_separate(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """The elements that are normalized together get the same grad_x, whatever all others and their gradients are."""
    sets: Sets = problem.sets
    rows = sets.rows(problem.x)
    if len(rows) < 2:
        return None
    inside = np.zeros(rows.shape, bool)
    inside[pick.integer(0, len(rows) - 1)] = True

    def changed(array: Tensor, others: Tensor) -> Tensor:
        return sets.whole(np.where(inside, sets.rows(array), others), problem.x.shape).astype(problem.dtype)

    x = changed(problem.x, small(rows)[:, ::-1] * 8 + 5)
    grad = changed(problem.grad_output, small(sets.rows(problem.grad_output)) * 4 + 1)
    there = valid(problem.but(x=x, grad_output=grad))
    if there is None:
        return None
    kept = sets.whole(inside, problem.x.shape)
    return run(there)[kept], run(problem)[kept]


@law("GEN-18, BWD-14", STRICT)
def nan_in_the_gradient_fills_its_set_and_no_other(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """A NaN in grad_output makes every grad_x of its set NaN, and none of another."""
    return spoilt(problem, run, pick, "grad_output")


@law("GEN-18, BWD-14", STRICT)
def what_is_not_finite_reaches_its_sums_and_no_other(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """A NaN in one element of x, weight or grad_output makes NaN of every gradient whose formula it enters times no
    zero; an infinity makes it infinite or NaN. Every gradient whose formula it does not enter is what it was."""
    here = problem.but(grad_output=small(problem.grad_output))
    name = pick.one_of(tuple(name for name in ("x", "weight", "grad_output") if name in here.arrays()))
    at, value = tuple(pick.integer(0, n - 1) for n in here.arrays()[name].shape), pick.one_of(ANY)
    there = valid(spoil(here, name, at, value))
    if there is None:
        return None
    reached, clean = touched(here, name, at), run.outputs(here)
    left, right = {}, {}
    for output, answer in run.outputs(there).items():
        found, before, of = answer.value, clean[output], reached[output]
        lost = np.isnan(found) if np.isnan(value) else ~np.isfinite(found)
        kept = np.select([of.must & lost, of.sees & ~of.must], [np.nan, before.value], found)
        left[output] = Measured(kept, np.where(of.sees, before.tolerance, answer.tolerance))
        right[output] = before.like(np.where(of.must, np.nan, before.value))
    return joined(left), joined(right)


@law("LN-08, GN-08, BN-16, BWD-14")
def finite_inputs_give_finite_gradients(problem: Problem, run: Run, pick: Pick) -> Sides | None:
    """Far from zero, where a variance taken as mean(x^2) - mean(x)^2 may come out negative, no gradient becomes NaN or
    infinite."""
    far = pick.one_of((1e3, 1e4)) * (1e4 if problem.dtype == np.float64 else 1)
    x = (np.asarray(small(problem.x), np.float64) / 8 + far).astype(problem.dtype)
    there = on_its_own(problem.but(x=x, grad_output=small(problem.grad_output), eps=problem.eps or EPS))
    if there is None:
        return None
    return np.isfinite(run.values(there)), np.ones(problem.x.shape)
