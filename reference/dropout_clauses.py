"""What dropout is apart from chance: its domain, the values kept, evaluation, and what the mask depends on."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from . import dropping, rules
from .dropout_statistics import kept, posed, seeds
from .formats import format_of
from .measured import Measured
from .op import CORE, STRICT, Run, Sides, edge, example, law, rule
from .pick import Pick
from .subnormal import is_subnormal

Problem = Any
Worked = list[tuple[Any, npt.NDArray[np.float64]]]


@rule(
    lambda self, pick: self.but(x=np.sign(self.x).astype(pick.one_of((np.int32, np.int64, np.bool_)))), STRICT, "DO-12"
)
def x_is_floating(self: Problem) -> bool:
    """x holds floating-point numbers: an integer over 1 - p is none."""
    return dropping.is_floating(self)


@rule(
    lambda self, pick: self.but(p=pick.one_of((-0.5, 1.5, float("nan"), -1.0, 2.0, float("inf"), *rules.BEYOND))),
    CORE,
    "DO-05",
)
def p_is_a_probability(self: Problem) -> bool:
    """p is a number from 0 to 1."""
    return bool(0 <= self.p <= 1)


@rule(lambda self, pick: rules.fractional(self, pick, "seed"), STRICT, "DO-09")
def seed_is_whole(self: Problem) -> bool:
    """The seed is a whole number."""
    return rules.are_whole(self, "seed")


@rule(lambda self, pick: self.but(seed=pick.one_of((-1, -2, 2**63))), STRICT, "DO-09")
def seed_is_in_range(self: Problem) -> bool:
    """The seed is at least 0 and less than 2^63."""
    return 0 <= operator.index(self.seed) <= dropping.LARGEST_SEED


@law("DO-02, L101, E18")
def kept_values_are_divided_by_one_minus_p(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """What is kept is x/(1 - p): 9 gives 10 for p = 0.1, and neither 90 (divided by p) nor 9."""
    p, x, due = pick.one_of(((0.5, 3, 6), (0.1, 9, 10), (0.3, 7, 10), (0.8, 2, 10), (0.75, 5, 20)))
    # Nothing is kept of 512 draws with a probability of 0.8^512 < 1e-49.
    y = run(posed(self, (16, 32), p, self.seed, x))
    largest = np.unravel_index(int(np.argmax(y.value)), y.shape)
    # Of the decimal p, not of the binary one beside it; and the reference is off by three roundings in float64.
    off = due * (2.0**-54 / (1 - p) + 3 * 2.0**-53)
    return y[largest].rearranged(np.atleast_1d), Measured(np.array([float(due)]), off)


@law("DO-07, LAW-A2", STRICT)
def powers_of_two_move_out(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """With the same seed 4x gives four times the result, bit for bit, and so does every power of two."""
    factor = pick.one_of((4.0, 2.0, 0.5, -0.25))
    x = np.asarray(self.x, np.float64)
    sizes = np.abs(x[x != 0]) * (0.25, 4.0)[abs(factor) > 1]
    limits = format_of(self.dtype)
    if self.p == 1 or np.any((sizes < limits.smallest_normal) | (sizes / (1 - self.p) > limits.largest / 4)):
        return None  # below and above, a format is not the same at every scale
    scaled = (x * factor).astype(self.dtype)
    return run.values(self.but(x=scaled)), run.values(self) * factor


@law("DO-07", STRICT)
def the_mask_does_not_see_the_values(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """With the same seed and shape other values are dropped at the same places."""
    shape, p = pick.one_of(((16, 16), (4, 64), (128, 2))), pick.one_of((0.5, 0.25, 0.75))
    other = pick.one_of(("larger", "negative", "random"))
    first = posed(self, shape, p, self.seed)
    x = {"larger": first.x * 8, "negative": -first.x, "random": pick.data(1).array(first.x.shape)}[other]
    # Zeros say nothing, nor does what may be flushed to zero.
    x = np.where(np.abs(np.asarray(x, np.float64)) < format_of(self.dtype).smallest_normal, np.ones((), self.dtype), x)
    return kept(run, first.but(x=x)) * 1.0, kept(run, first) * 1.0


@law("DO-09, DO-04")
def another_call_in_between_changes_nothing(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """A seed gives its mask whatever was called before: another seed, another shape, or an evaluation."""
    seed, other = seeds(pick)
    problem = posed(self, (8, 32), 0.5, seed)
    first = run.values(problem)
    between = pick.one_of(("seed", "shape", "evaluation"))
    changed = {"seed": problem.but(seed=other), "shape": posed(self, (3, 7), 0.5, seed)}
    run.values(changed.get(between, problem.but(training=False)))
    return run.values(problem), first


@law("DO-04, DO-05, LAW-A3, L102, E19")
def evaluation_is_the_identity(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """In evaluation, and for p = 0, the result is x bit for bit: NaN, infinities and the signs of zeros included;
    numbers below the smallest normal one are left to the bound."""
    x = np.array(self.x)
    values = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0]).astype(self.dtype)
    x.reshape(-1)[pick.integer(0, x.size - 1)] = values[pick.integer(0, 4)]
    calm = {"p": 0.0, "training": True} if pick.flag() else {"training": False}
    clear = ~is_subnormal(x)  # which may be flushed to zero, of either sign
    return _with_signs(run.values(self.but(x=x, **calm))[clear]), _with_signs(np.asarray(x, np.float64)[clear])


def _with_signs(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The values, and whether each that is a number carries a sign."""
    return np.stack([values, (np.signbit(values) & ~np.isnan(values)) * 1.0])


@law("DO-10, GEN-18", STRICT)
def what_is_not_finite_stays_in_its_place(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """A NaN or an infinity changes no other element; kept it stays, dropped it becomes 0 or NaN."""
    clean = posed(self, (4, 8), 0.5, self.seed)
    at = np.unravel_index(pick.integer(0, clean.x.size - 1), clean.x.shape)
    x = np.array(clean.x)
    x[at] = pick.one_of((np.nan, np.inf, -np.inf))
    due, seen = run.values(clean), run.values(clean.but(x=x))
    allowed = [float(x[at])] if due[at] != 0 else [0.0, np.nan]
    met = [a for a in allowed if a == seen[at] or (np.isnan(a) and np.isnan(seen[at]))]
    due[at] = met[0] if met else allowed[0]
    return seen, due


@example("DO-04, DO-05, L102, E19", STRICT)
def where_nothing_is_left_to_chance(cls: Any, dtype: np.dtype[Any]) -> Worked:
    """1, -2, 3, 4 stay what they are in evaluation, whatever p is, and for p = 0; for p = 1 they become 0."""
    x = np.array([1.0, -2, 3, 4]).reshape(1, 2, 1, 2)
    calm = [cls(x=x.astype(dtype), p=p, training=False) for p in (0.5, 0.1, 1.0)]
    calm.append(cls(x=x.astype(dtype), p=0.0))
    return [*((problem, x) for problem in calm), (cls(x=x.astype(dtype), p=1.0), np.zeros_like(x))]


@edge("DO-05", STRICT)
def everything_is_dropped(cls: Any, pick: Pick) -> Problem:
    """p = 1 in training gives zeros, and no NaN from 0 times 1/0."""
    return cls.draw(pick).but(p=1.0, training=True)


@edge("DO-05")
def nothing_is_dropped(cls: Any, pick: Pick) -> Problem:
    """p = 0 in training gives x."""
    return cls.draw(pick).but(p=0.0, training=True)


@edge("DO-02")
def nearly_everything_is_dropped(cls: Any, pick: Pick) -> Problem:
    """p close to 1, so that what is kept is made far larger."""
    problem = cls.draw(pick)
    draws, p = pick.one_of((((16, 16), 0.99), ((16, 16), 0.96875), ((16, 16), 0.995), ((64, 64), 0.999)))
    return posed(problem, draws, p, problem.seed)


@edge("DO-02")
def nearly_nothing_is_dropped(cls: Any, pick: Pick) -> Problem:
    """p close to 0, so that what is kept is made larger by as little: x/(1 - p) is not x."""
    problem = cls.draw(pick)
    return posed(problem, (16, 16), pick.one_of((0.001, 0.004, 2.0**-10)), problem.seed)


@edge("DO-09")
def the_largest_seed(cls: Any, pick: Pick) -> Problem:
    """2^63 - 1 is a seed."""
    return cls.draw(pick).but(seed=dropping.LARGEST_SEED)
