"""Clauses about running statistics: what they may be, and what a training step makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .channel_clauses import per_channel
from .laws import small
from .measured import Measured, concatenate
from .normalize_clauses import bare, on_its_own, with_images
from .op import STRICT, Run, Sides, law, rule
from .parameters import EPS
from .pick import Pick
from .rules import BEYOND
from .running import NAMES, BatchNorm

Tensor = npt.NDArray[Any]


def _misshapen(problem: BatchNorm, pick: Pick, name: str) -> BatchNorm:
    """The problem with running statistics for another number of channels."""
    wrong = np.ones(problem.x.shape[1] + pick.one_of((1, -1, 3)), problem.dtype)
    return problem.but(**(_initial(problem) | {name: wrong}))


def _initial(problem: BatchNorm) -> dict[str, Tensor]:
    """The running statistics of the problem; those before the first step, where it has none."""
    c = problem.x.shape[1]
    first = {"running_mean": np.zeros(c, problem.dtype), "running_var": np.ones(c, problem.dtype)}
    return {name: first[name] if getattr(problem, name) is None else getattr(problem, name) for name in NAMES}


def remembering(problem: BatchNorm, **changes: Any) -> BatchNorm | None:
    """The problem as a training step with running statistics, and with these changes; None where it cannot be one."""
    return on_its_own(problem.but(**_initial(problem), **changes))


def stored(run: Run, problem: BatchNorm) -> Measured:
    """The running statistics that come back: the means of all channels, then the variances."""
    answers = run.outputs(problem)
    return concatenate([answers[name] for name in NAMES], 0)


def before(problem: BatchNorm) -> npt.NDArray[np.float64]:
    """Those that were given, in the same order."""
    return np.concatenate([np.asarray(getattr(problem, name), np.float64) for name in NAMES])


@rule(lambda problem, pick: _misshapen(problem, pick, "running_mean"), STRICT, "BN-17")
def running_mean_is_one_per_channel(problem: BatchNorm) -> bool:
    """A running mean has one value for each channel."""
    return problem.running_mean is None or bool(problem.running_mean.shape == (problem.x.shape[1],))


@rule(lambda problem, pick: _misshapen(problem, pick, "running_var"), STRICT, "BN-17")
def running_var_is_one_per_channel(problem: BatchNorm) -> bool:
    """A running variance has one value for each channel."""
    return problem.running_var is None or bool(problem.running_var.shape == (problem.x.shape[1],))


@rule(lambda problem, pick: problem.but(**(_initial(problem) | {pick.one_of(NAMES): None})), STRICT, "BN-17")
def running_statistics_come_together(problem: BatchNorm) -> bool:
    """There are a running mean and a running variance, or neither."""
    return (problem.running_mean is None) == (problem.running_var is None)


@rule(lambda problem, pick: problem.but(momentum=pick.one_of((1.5, -0.5, *BEYOND, float("nan")))), STRICT, "BN-06")
def momentum_is_a_share(problem: BatchNorm) -> bool:
    """momentum, the weight of the new value, lies between 0 and 1."""
    return bool(0 <= problem.momentum <= 1)


@law("BN-09")
def momentum_zero_keeps_the_statistics(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """With momentum 0 a training step leaves the running statistics as they are, bit for bit."""
    here = remembering(problem, momentum=0.0)
    return None if here is None else (stored(run, here), before(here))


@law("BN-09")
def momentum_one_replaces_the_statistics(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """With momentum 1 what a training step stores does not depend on what was stored before."""
    here = remembering(problem, momentum=1.0)
    if here is None:
        return None
    c = np.arange(here.x.shape[1])
    others = here.but(running_mean=(c + 3).astype(here.dtype), running_var=(c + 2).astype(here.dtype))
    return stored(run, others), stored(run, here)


@law("BN-06, L088")
def an_update_is_a_weighted_mean(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """A training step takes the running statistics the share `momentum` of the way to those that momentum 1 stores."""
    here = remembering(problem)
    if here is None:
        return None
    new, old = stored(run, here.but(momentum=1.0)), before(here)
    return (stored(run, here), (new - old) * here.momentum + old) if np.isfinite(new.value).all() else None


@law("BN-09, LAW-N11")
def steps_add_up(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """After three steps the running statistics are (1-a)^3 of the first, and a*(1-a)^2, a*(1-a) and a of those of the
    three batches, a being the momentum."""
    a = pick.one_of((0.5, 0.25))  # so that the powers are exact
    here = remembering(problem, momentum=a, eps=problem.eps or EPS)
    if here is None:
        return None
    c, step = here.x.shape[1], here
    total, off = Measured(before(here)) * (1 - a) ** 3, np.zeros(2 * c)
    for k, x in enumerate((here.x, -here.x, small(here.x))):
        step = step.but(x=x)
        total = total + stored(run, here.but(x=x, momentum=1.0)) * (a * (1 - a) ** (2 - k))
        last = stored(run, step)
        off = off * (1 - a) + last.tolerance  # what the next step starts from is off by this
        if not np.isfinite(last.value).all():
            return None
        step = step.but(**dict(zip(NAMES, last.value.astype(here.dtype).reshape(2, c).copy(), strict=True)))
    return Measured(last.value, off), total


@law("LAW-N5, BN-07")
def a_doubled_batch_stores_a_smaller_variance(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """A batch that holds every image twice has the same mean, and the variance that is stored is v*2m/(2m-1) instead of
    v*m/(m-1); the same, if it is declared to be stored biased."""
    here = remembering(problem, momentum=1.0)
    if here is None:
        return None
    m, c = here.sets.count, here.x.shape[1]
    twice, once = stored(run, with_images(here, np.concatenate([here.x, here.x]))), stored(run, here)
    less = 0 if run.convention("stored_variance") == "biased" else 1
    larger, smaller = (np.repeat((1.0, f), c) for f in (2 * m - less, 2 * (m - less)))
    return twice * larger, once * smaller


@law("BN-02, LAW-N1")
def stored_statistics_follow_the_data(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """The mean that is stored of 2x + 3 is twice that of x plus 3, the variance four times that of x."""
    here = remembering(problem.but(x=small(problem.x), eps=problem.eps or EPS), momentum=1.0)
    if here is None:
        return None
    c = here.x.shape[1]
    there = here.but(x=2 * here.x + np.asarray(3, here.dtype))
    return stored(run, there), stored(run, here) * np.repeat((2.0, 4.0), c) + np.repeat((3.0, 0.0), c)


@law("BN-02, BN-04")
def only_the_data_are_stored(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """Weight, bias and eps have no part in the running statistics."""
    here = remembering(problem, weight=np.full(problem.x.shape[1], 3).astype(problem.dtype))
    return None if here is None else (stored(run, here), stored(run, bare(here).but(eps=here.eps + 2.0)))


@law("BN-01, LAW-N6")
def a_channel_stores_its_own(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """A channel alone, its elements in any order, stores what it stores among others."""
    here = remembering(problem)
    if here is None:
        return None
    c = pick.integer(0, here.x.shape[1] - 1)
    own = np.array(here.x[:, c : c + 1], order="C")
    mixed = np.random.default_rng(pick.integer(0, 255)).permutation(own.reshape(-1)).reshape(own.shape)
    alone = here.but(x=mixed, **per_channel(here, slice(c, c + 1)))
    return stored(run, alone), stored(run, here)[[c, here.x.shape[1] + c]]
