"""Clauses of every operation that subtracts a mean and divides by a deviation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .laws import small
from .measured import Measured
from .normalize import Normalization, Sets, statistics, vary
from .op import STRICT, Run, Sides, edge, law, rule
from .pick import Pick

Array = npt.NDArray[np.float64]
Tensor = npt.NDArray[Any]


def bare(problem: Normalization) -> Normalization:
    """The problem without weight and bias."""
    return problem.but(weight=None, bias=None)


def valid(problem: Normalization) -> Normalization | None:
    """The problem, unless a change left a set without variance where eps is zero."""
    return None if problem.broken_rules() else problem


@rule(lambda problem, pick: problem.but(eps=pick.one_of((-1e-3, -1.0, float("nan")))), STRICT, "BN-17")
def eps_is_not_negative(problem: Normalization) -> bool:
    """eps is at least 0; it may be 0 only where the elements of every set differ."""
    return bool(problem.eps > 0 or (problem.eps == 0 and vary(problem)))


@law("LAW-N16")
def scale_and_shift_do_not_matter(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """2x + 3 with four times the eps gives what x gives."""
    here = valid(problem.but(x=small(problem.x)))
    if here is None:
        return None
    there = here.but(x=2 * here.x + np.asarray(3, problem.dtype), eps=4 * problem.eps)
    return run(there), run(here)


@law("LAW-N3")
def negated_inputs_give_negated_outputs(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """Without weight and bias, -x gives the negated result."""
    plain = bare(problem)
    return run(plain.but(x=-problem.x)), -run(plain)


@law("LAW-N4")
def outputs_of_a_set_add_up_to_zero(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """Without weight and bias, the outputs of each set have mean 0."""
    rows = run(bare(problem)).rearranged(problem.sets.rows)
    return rows.sum(axis=1), np.zeros(rows.shape[0])


@law("LAW-N4, LN-03")
def squares_of_a_set_average_below_one(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """Without weight and bias, the squares of the outputs of a set have the mean v / (v + eps), v being the biased
    variance of the set: eps is inside the root, and the divisor is m."""
    sets: Sets = problem.sets
    rows = run(bare(problem)).rearranged(sets.rows)
    y, off = rows.value, rows.tolerance
    with np.errstate(invalid="ignore", over="ignore"):
        each = 2 * np.abs(y) * off + off**2 + y**2 * (sets.count + 2) * 2.0**-53
        squares = Measured((y**2).sum(axis=1), np.where(np.isfinite(off), each, np.inf).sum(axis=1))
    v = statistics(np.asarray(sets.rows(problem.x), np.float64), (1,)).variance[:, 0]
    due = sets.count * v / (v + problem.eps)
    return squares, Measured(due, due * (sets.count + 8) * 2.0**-52)


@law("LN-04, GN-03")
def weight_and_bias_act_last(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """The result without weight and bias, times the weight, plus the bias, is the result with them."""
    if problem.weight is None and problem.bias is None:
        return None
    sets: Sets = problem.sets
    found = run(bare(problem))
    for name, act in (("weight", Measured.__mul__), ("bias", Measured.__add__)):
        parameter = problem.arrays().get(name)
        if parameter is not None:
            values = np.broadcast_to(np.asarray(parameter, np.float64).reshape(sets.affine), sets.shape)
            found = act(found, values.reshape(problem.x.shape))
    return run(problem), found


@law("LN-02, GN-02")
def sets_are_separate(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """The elements that are normalized together give the same, whatever all the others are."""
    sets: Sets = problem.sets
    rows = sets.rows(problem.x)
    if len(rows) < 2:
        return None
    others = small(rows)[:, ::-1] * np.asarray(8, problem.dtype) + np.asarray(5, problem.dtype)
    inside = np.zeros(rows.shape, bool)
    inside[pick.integer(0, len(rows) - 1)] = True
    changed = valid(problem.but(x=sets.whole(np.where(inside, rows, others), problem.x.shape)))
    if changed is None:
        return None
    kept = sets.whole(inside, problem.x.shape)
    return run(changed)[kept], run(problem)[kept]


@law("LAW-N18")
def elements_of_a_set_may_be_permuted(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """Without weight and bias, reordering the elements of the sets, in each set alike, reorders the result."""
    sets: Sets = problem.sets
    order = np.random.default_rng(pick.integer(0, 255)).permutation(sets.count)
    plain = bare(problem)
    mixed = plain.but(x=sets.whole(sets.rows(problem.x)[:, order], problem.x.shape))
    return run(mixed).rearranged(sets.rows), run(plain).rearranged(sets.rows)[:, order]


@law("LN-09, GEN-18, RF-07", STRICT)
def nan_fills_its_set_and_no_other(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """A NaN makes every output of its set NaN, and none of another."""
    sets: Sets = problem.sets
    rows = np.array(sets.rows(problem.x))
    at = pick.integer(0, len(rows) - 1)
    rows[at, pick.integer(0, sets.count - 1)] = np.nan
    clean = run(problem)
    wanted = sets.rows(np.array(clean.value))
    wanted[at] = np.nan
    actual = run.values(problem.but(x=sets.whole(rows, problem.x.shape)))
    return Measured(actual, clean.tolerance), Measured(sets.whole(wanted, problem.x.shape), clean.tolerance)


@law("LN-08, GN-08")
def finite_inputs_give_finite_outputs(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """Far from zero, where a variance taken as mean(x^2) - mean(x)^2 may come out negative, nothing becomes NaN or
    infinite."""
    far = pick.one_of((1e3, 1e4)) * (1e4 if problem.dtype == np.float64 else 1)
    x = (np.asarray(small(problem.x), np.float64) / 8 + far).astype(problem.dtype)
    there = problem.but(x=x, eps=problem.eps or 1e-5)
    return np.isfinite(run.values(there)), np.ones(problem.x.shape)


# The legal edges.


@edge("LN-06")
def a_constant_set(cls: Any, pick: Pick) -> Normalization:
    """Where all elements are equal, the output is the bias, to the bound."""
    problem = cls.draw(pick)
    x = np.full(problem.x.shape, pick.one_of((7.0, 0.1, -1e3))).astype(problem.dtype)
    return problem.but(x=x, eps=problem.eps or 1e-5)


@edge("GEN-14, LN-09", STRICT)
def an_empty_batch(cls: Any, pick: Pick) -> Normalization:
    """No images give no images."""
    problem = cls.draw(pick)
    return problem.but(x=problem.x[:0])


@edge("LN-03")
def no_eps(cls: Any, pick: Pick) -> Normalization:
    """With eps = 0 the result is divided by the deviation alone."""
    problem = cls.draw(pick)
    sets: Sets = problem.sets
    rows = np.arange(sets.rows(problem.x).size).reshape(-1, sets.count) % 5
    varied = rows + 10 * (np.arange(sets.count) == 0)
    return problem.but(x=sets.whole(varied, problem.x.shape).astype(problem.dtype), eps=0.0)
