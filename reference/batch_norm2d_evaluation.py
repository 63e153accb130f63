"""Clauses of batch normalization in evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .laws import parts, small
from .measured import Measured
from .op import STRICT, Run, Sides, edge, example, law, rule
from .parameters import EPS
from .pick import Pick
from .running_clauses import before, remembering, stored

if TYPE_CHECKING:
    from .batch_norm2d import BatchNorm2d
    from .batch_norm2d_backward import BatchNorm2dBackward

Evaluable = TypeVar("Evaluable", "BatchNorm2d", "BatchNorm2dBackward")


def evaluated(problem: Evaluable) -> Evaluable:
    """The problem in evaluation, with the statistics before the first step where it has none."""
    c = problem.x.shape[1]
    if problem.running_mean is None:
        first = {"running_mean": np.zeros(c, problem.dtype), "running_var": np.ones(c, problem.dtype)}
        problem = problem.but(**first)
    return problem.but(training=False)


@rule(lambda problem, pick: problem.but(training=False, running_mean=None, running_var=None), STRICT, "BN-05")
def evaluation_needs_running_statistics(problem: BatchNorm2d) -> bool:
    """Evaluation needs a running mean and a running variance."""
    return problem.training or (problem.running_mean is not None and problem.running_var is not None)


@law("BN-05")
def evaluation_changes_nothing(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """In evaluation the running statistics come back as they are, bit for bit."""
    here = evaluated(problem)
    return stored(run, here), before(here)


@law("BN-14, RF-07, EQV-09, LAW-N17")
def evaluation_treats_every_element_alone(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """In evaluation any pixels of any images, each an image of its own, give what they give where they are."""
    here = evaluated(problem)
    n, c, h, w = here.x.shape
    order = np.random.default_rng(pick.integer(0, 255)).permutation(n * h * w)[: (n * h * w + 1) // 2]

    def scattered(array: Any) -> Any:
        return np.array(array.transpose(0, 2, 3, 1).reshape(-1, c)[order][:, :, None, None], order="C")

    return run(here.but(x=scattered(here.x))), run(here).rearranged(scattered)


@law("BN-14")
def evaluation_does_not_see_the_batch(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """In evaluation one image alone gives what it gives in a batch."""
    here = evaluated(problem)
    k = pick.integer(0, here.x.shape[0] - 1)
    both = here.but(x=np.concatenate([here.x, 8 * small(here.x) + np.asarray(5, here.dtype)]))
    return run(here.but(x=np.array(here.x[k : k + 1], order="C"))), run(both)[k : k + 1]


@law("LAW-N8")
def evaluation_is_a_line(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """In evaluation y(u + v) + y(0) = y(u) + y(v)."""
    here = evaluated(problem)
    u, v = parts(here.x, pick)
    left = run(here) + run(here.but(x=np.zeros_like(here.x)))
    return left, run(here.but(x=u)) + run(here.but(x=v))


@law("BN-05, L088")
def evaluation_uses_what_is_stored(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """In evaluation 2x + 3 with a running mean 2m + 3, four times the running variance and four times eps gives what x
    gives."""
    here = evaluated(problem)
    assert here.running_mean is not None
    assert here.running_var is not None
    x, mean, three = small(here.x), small(here.running_mean), np.asarray(3, here.dtype)
    there = here.but(running_mean=2 * mean + three, running_var=4 * here.running_var, eps=4 * here.eps)
    return run(there.but(x=2 * x + three)), run(here.but(x=x, running_mean=mean))


@law("BN-06, BN-09")
def evaluation_follows_training(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """Evaluation with the mean that a training step stored with momentum 1 gives outputs that add up to zero."""
    here = remembering(problem.but(weight=None, bias=None, eps=problem.eps or EPS), momentum=1.0)
    if here is None:
        return None
    answers, c, m = run.outputs(here), here.x.shape[1], here.sets.count
    mean, variance = answers["running_mean"], answers["running_var"]
    with np.errstate(over="ignore"):
        there = here.but(
            training=False,
            running_mean=mean.value.astype(here.dtype),
            running_var=np.ones(c, here.dtype),
            eps=0.0,
        )
    if not (np.isfinite(mean.value).all() and np.isfinite(variance.value).all()):
        return None
    found = run(there).sum((0, 2, 3))
    # The sum of x - mean, divided by one, is off by m times what the mean is off.
    return Measured(found.value, found.tolerance + m * mean.tolerance), np.zeros(c)


@law("GEN-18, LAW-N17", STRICT)
def nan_stays_where_it_is_in_evaluation(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """In evaluation a NaN makes its own output NaN, and no other."""
    here = evaluated(problem)
    at = tuple(pick.integer(0, size - 1) for size in here.x.shape)
    x, clean = np.array(here.x), run(here)
    x[at], due = np.nan, np.array(clean.value)
    due[at] = np.nan
    return clean.like(run.values(here.but(x=x))), clean.like(due)


@edge("BN-14")
def one_value_in_evaluation(cls: Any, pick: Pick) -> BatchNorm2d:
    """In evaluation one image of one pixel is enough."""
    problem: BatchNorm2d = cls.draw(pick)
    return evaluated(problem).but(x=np.array(problem.x[:1, :, :1, :1]))


@edge("BN-17", STRICT)
def a_running_variance_of_zero(cls: Any, pick: Pick) -> BatchNorm2d:
    """A channel that never varied has a running variance of zero; eps keeps its root from zero."""
    here: BatchNorm2d = evaluated(cls.draw(pick))
    return here.but(running_var=np.zeros(here.x.shape[1], here.dtype), eps=here.eps or EPS)


@example("BN-05, L088")
def evaluation_by_hand(cls: Any, dtype: np.dtype[Any]) -> list[Any]:
    """1, 2, 3, 6 with a running mean of 1 and a running variance of 3.5, eps = 0.5: the root is 2; 0, 0.5, 1, 2.5."""
    x = np.array([1.0, 2, 3, 6]).reshape(4, 1, 1, 1).astype(dtype)
    mean, var = np.array([1.0], dtype), np.array([3.5], dtype)
    plain = cls(x=x, running_mean=mean, running_var=var, training=False, eps=0.5)
    y = np.array([0, 0.5, 1, 2.5]).reshape(x.shape)
    after = (np.array([1.0]), np.array([3.5]))
    weight, bias = np.array([2.0], dtype), np.array([10.0], dtype)
    return [(plain, (y, *after)), (plain.but(weight=weight, bias=bias), (2 * y + 10, *after))]
