"""Clauses of every operation that subtracts a mean and divides by a deviation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .laws import small
from .measured import Measured
from .op import STRICT, Run, Sides, edge, law, rule
from .parameters import EPS, attribute
from .pick import Pick
from .rules import JUST
from .sets import Normalization, Sets, held, statistics, vary

Array = npt.NDArray[np.float64]
Tensor = npt.NDArray[Any]


def bare(problem: Normalization) -> Normalization:
    """The problem without weight and bias."""
    return problem.but(weight=None, bias=None)


def valid(problem: Normalization) -> Normalization | None:
    """The problem, unless a change left a set without variance where eps is zero."""
    return None if problem.broken_rules() else problem


def on_its_own(problem: Normalization) -> Normalization | None:
    """The problem normalized with the statistics of its sets, though it might be given others; None where it cannot."""
    return problem if held(problem) is None else valid(problem.but(training=True))


def with_images(problem: Normalization, x: Tensor) -> Normalization:
    """The problem of other images; where devices hold them, as many each as before as far as they go, the rest last."""
    if not hasattr(problem, "shards"):
        return problem.but(x=x)
    sizes, left = [], len(x)
    for size in problem.shards[:-1]:
        sizes.append(min(size, left))
        left -= sizes[-1]
    return problem.but(x=x, shards=(*sizes, left))


@rule(
    lambda problem, pick: problem.but(eps=pick.one_of((-1e-3, -1.0, -JUST, float("nan")))), STRICT, "BN-17", values=True
)
def eps_is_not_negative(problem: Normalization) -> bool:
    """eps is at least 0; it may be 0 only where every variance is positive. No variance that is given is negative."""
    given = held(problem)
    rooted = given is None or not np.any(given[1] < 0)
    return bool(rooted and (problem.eps > 0 or (problem.eps == 0 and vary(problem))))


@law("LAW-N1, LAW-N2, LAW-N16")
def scale_and_shift_do_not_matter(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """2x + 3 and 2x, with four times the eps, give what x gives."""
    here = on_its_own(problem.but(x=small(problem.x)))
    if here is None or here.broken_rules():
        return None
    there = here.but(x=2 * here.x + np.asarray(pick.one_of((3, 0)), problem.dtype), eps=4 * problem.eps)
    return run(there), run(here)


@law("LAW-N3")
def negated_inputs_give_negated_outputs(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """Without weight and bias, -x gives the negated result."""
    plain = on_its_own(bare(problem))
    return None if plain is None else (run(plain.but(x=-problem.x)), -run(plain))


@law("LAW-N4")
def outputs_of_a_set_add_up_to_zero(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """Without weight and bias, the outputs of each set have mean 0."""
    plain = on_its_own(bare(problem))
    if plain is None:
        return None
    rows = run(plain).rearranged(problem.sets.rows)
    return rows.sum(axis=1), np.zeros(rows.shape[0])


@law("LAW-N4, LN-03")
def squares_of_a_set_average_below_one(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """Without weight and bias, the squares of the outputs of a set have the mean v / (v + eps), v being the biased
    variance of the set: eps is inside the root, and the divisor is m."""
    plain, sets = on_its_own(bare(problem)), problem.sets
    if plain is None:
        return None
    rows = run(plain).rearranged(sets.rows)
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
    return spoilt(problem, run, pick, "x")


def spoilt(problem: Normalization, run: Run, pick: Pick, name: str) -> Sides | None:
    """With a NaN in this array, which has the shape of x: what comes, and what came without it but for its set."""
    sets: Sets = problem.sets
    rows = np.array(sets.rows(problem.arrays()[name]))
    at = pick.integer(0, len(rows) - 1)
    rows[at, pick.integer(0, sets.count - 1)] = np.nan
    here = on_its_own(problem)
    if here is None:
        return None
    clean = run(here)
    wanted = sets.rows(np.array(clean.value))
    wanted[at] = np.nan
    actual = run.values(here.but(**{name: sets.whole(rows, problem.x.shape)}))
    return clean.like(actual), clean.like(sets.whole(wanted, problem.x.shape))


@law("LN-08, GN-08, BN-16")
def finite_inputs_give_finite_outputs(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """Far from zero, where a variance taken as mean(x^2) - mean(x)^2 may come out negative, nothing becomes NaN or
    infinite."""
    far = pick.one_of((1e3, 1e4)) * (1e4 if problem.dtype == np.float64 else 1)
    x = (np.asarray(small(problem.x), np.float64) / 8 + far).astype(problem.dtype)
    there = on_its_own(problem.but(x=x, eps=problem.eps or EPS))
    if there is None:
        return None
    return np.isfinite(run.values(there)), np.ones(problem.x.shape)


# The legal edges.


@edge("LN-06, BN-15")
def a_constant_set(cls: Any, pick: Pick) -> Normalization:
    """Where all elements are equal, the output is the bias, to the bound."""
    problem = cls.draw(pick)
    x = np.full(problem.x.shape, pick.one_of((7.0, 0.1, -1e3))).astype(problem.dtype)
    return problem.but(x=x, eps=problem.eps or EPS)


@edge("GEN-14, LN-09, BN-13", STRICT)
def an_empty_batch(cls: Any, pick: Pick) -> Normalization:
    """No images give no images."""
    problem = cls.draw(pick)
    return with_images(problem, problem.x[:0])


@edge("LN-03")
def no_eps(cls: Any, pick: Pick) -> Normalization:
    """With eps = 0 the result is divided by the deviation alone."""
    problem = cls.draw(pick)
    sets: Sets = problem.sets
    rows = np.arange(sets.rows(problem.x).size).reshape(-1, sets.count) % 5
    varied = rows + 10 * (np.arange(sets.count) == 0)
    return problem.but(x=sets.whole(varied, problem.x.shape).astype(problem.dtype), eps=0.0)


@edge("LN-03, LN-06")
def a_tiny_eps(cls: Any, pick: Pick) -> Normalization:
    """eps = 1e-8 is added to a variance about as small, and is not taken for 0: a set of zeros gives the bias."""
    problem = cls.draw(pick)
    sets: Sets = problem.sets
    rows = np.arange(sets.rows(problem.x).size).reshape(-1, sets.count) % 5
    step = pick.one_of((2.0**-13, 0.0))  # 2^-13 and 4 times as much are normal numbers of float16
    own = {"training": True} if held(problem) is not None else {}
    return problem.but(x=sets.whole(rows * step, problem.x.shape).astype(problem.dtype), eps=attribute(1e-8), **own)
