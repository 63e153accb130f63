"""What dropout is by chance: how much is dropped, and that the draws of one call and of several are independent.

Each clause counts independent trials and is held to the bound of chance.py. Where a whole channel shares one draw, the
draws counted are those of the channels. x is not zero anywhere, so that every zero of the result is a dropped element.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from . import chance
from .measured import Measured
from .op import STRICT, Run, Shape, Sides, law
from .pick import Pick

Problem = Any
Mask = npt.NDArray[np.bool_]
Counts = list[tuple[int, int]]

MANY = 4096
HUGE = 2**20


def posed(problem: Problem, draws: Shape, p: float, seed: int, value: float | None = None) -> Problem:
    """A training problem with draws of this shape: two elements each where they are shared, but one of very many."""
    pixels = (1, 1 if np.prod(draws) > MANY else 2) if problem.shared_axes else ()
    x = _nowhere_zero(draws + pixels, problem.dtype) if value is None else np.full(draws + pixels, value, problem.dtype)
    return problem.but(x=x, p=p, training=True, seed=seed)


@lru_cache(maxsize=32)
def _nowhere_zero(shape: Shape, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Whole numbers from 1 to 7 with changing signs; the period of 11 divides no power of two."""
    size = int(np.prod(shape))
    pattern = np.array([1.0, -3, 5, 2, 7, -1, 4, -6, 3, -2, 6])
    return np.resize(pattern, size).reshape(shape).astype(dtype)


def kept(run: Run, problem: Problem) -> Mask:
    """What was drawn: which elements, or channels, are not zero."""
    found: Mask = run.values(problem) != 0
    return np.asarray(found.any(axis=(2, 3))) if problem.shared_axes else found


def seeds(pick: Pick) -> tuple[int, int]:
    """Two different seeds: neighbours, those that differ in one bit, and any two; below 2^32."""
    kind = pick.one_of(("first", "next", "bit", "any"), (20, 30, 30, 20))
    if kind == "first":
        return 0, 1
    seed = pick.integer(0, 2**32 - 2)
    if kind == "next":
        return seed, seed + 1
    if kind == "bit":
        return seed, seed ^ (1 << pick.integer(0, 31))
    return seed, (seed + 1 + pick.integer(0, 2**32 - 3)) % (2**32 - 1)


def _shares(counted: Counts, p: float) -> Sides:
    trials = [n for _, n in counted]
    return np.array([count / n for count, n in counted]), chance.shares(trials, p)


def _shape(problem: Problem, pick: Pick) -> Shape:
    """Of 4096 draws: of images and channels, or of any axes."""
    flat = ((64, 64), (16, 256), (512, 8))
    return pick.one_of(flat if problem.shared_axes else ((4, 4, 16, 16), (4096,), (8, 4, 2, 64), *flat))


@law("DO-01, DO-03, DO-06, L100")
def the_share_of_zeros_is_p(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """Of many elements (or channels) the share p is zero, as far as chance allows: p is not what is kept."""
    draws = pick.one_of(((64, 64), (256, 256), (1024, 1024)), (90, 7, 3))
    usual = (0.1, 0.25, 0.5, 0.9, 0.75, 0.3, 0.6)
    p = pick.one_of((0.01, 0.1, 0.99) if np.prod(draws) == HUGE else usual)
    found = kept(run, posed(self, draws, p, pick.integer(0, 2**32 - 1)))
    return _shares([(found.size - int(np.count_nonzero(found)), found.size)], p)


@law("DO-01, DO-03")
def a_small_share_is_drawn(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """A p near 0 or 1 is kept to: of 131072 draws with p = 0.001 about 131 are zero, with p = 0.999 as many are not."""
    # So many that none at all, and twice as many, are both further off than chance allows: see chance.py.
    draws, small = pick.one_of((((128, 256), 0.004), ((256, 512), 0.001)), (80, 20))
    p = 1 - small if pick.flag() else small
    found = kept(run, posed(self, draws, p, pick.integer(0, 2**32 - 1)))
    return _shares([(found.size - int(np.count_nonzero(found)), found.size)], p)


@law("DO-11, LAW-A1")
def the_mean_is_x(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """The mean of y over many draws is x, whatever x is: 3 elements of 4 times 4/3 for p = 1/4."""
    p, problem, groups = _groups(self, pick)
    y = run(problem).rearranged(lambda a: _by_value(a, groups))
    x = np.array([value for value, _ in groups])
    n = y.shape[1]
    # The sum over n elements is x/(1 - p) times how many were kept.
    share = chance.shares([_draws(self, n)] * len(groups), 1 - p)
    return y.sum(1) * (1 / n), Measured(x, np.abs(x) / (1 - p) * share.tolerance + 2.0**-50 * np.abs(x))


@law("DO-11, LAW-A1")
def the_variance_is_that_of_the_mask(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """The mean of (y - x)^2 over many draws is x^2 p/(1 - p): 3 for x = 3 and p = 1/4."""
    p, problem, groups = _groups(self, pick)
    x = np.array([value for value, _ in groups])
    off = run(problem).rearranged(lambda a: _by_value(a, groups)) - x[:, None]
    e = off.tolerance
    squares = Measured(off.value**2, (2 * np.abs(off.value) + e) * e + 2.0**-50 * off.value**2)
    n = squares.shape[1]
    # x^2 for each dropped element, x^2 (p/(1 - p))^2 for each kept one.
    share = chance.shares([_draws(self, n)] * len(groups), p)
    odds = p / (1 - p)
    due = Measured(x**2 * odds, x**2 * (abs(1 - odds**2) * share.tolerance + 2.0**-48 * odds))
    return squares.sum(1) * (1 / n), due


def _groups(problem: Problem, pick: Pick) -> tuple[float, Problem, list[tuple[float, int]]]:
    """A p, a problem whose x has four values, and those values with how often each is there."""
    p = pick.one_of((0.25, 0.5, 0.1, 0.9, 0.7))
    posing = posed(problem, (64, 64), p, pick.integer(0, 2**32 - 1))
    values = (3.0, -0.5, 1.0, -40.0)
    x = np.repeat(np.resize(np.array(values), MANY), posing.x.size // MANY).reshape(posing.x.shape)
    return p, posing.but(x=x.astype(problem.dtype)), [(v, posing.x.size // 4) for v in values]


def _by_value(a: npt.NDArray[np.float64], groups: list[tuple[float, int]]) -> npt.NDArray[np.float64]:
    """The elements of each group in a row of their own."""
    return a.reshape(MANY // len(groups), len(groups), -1).transpose(1, 0, 2).reshape(len(groups), -1)


def _draws(problem: Problem, elements: int) -> int:
    """How many draws so many elements of `_groups` hold: two elements share one where channels are dropped."""
    return elements // 2 if problem.shared_axes else elements


@law("DO-08, DO-06")
def neighbours_are_independent(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """Draws that lie side by side, or some way apart, along any axis agree as often as independent ones do: neither
    images nor channels nor rows nor columns have a mask between them."""
    p = pick.one_of((0.5, 0.25, 0.1, 0.9))
    found = kept(run, posed(self, _shape(self, pick), p, pick.integer(0, 2**32 - 1)))
    counted: Counts = []
    for axis, length in enumerate(found.shape):
        far = pick.integer(2, max(length - 1, 2))
        counted += [c for lag in {1, far} if lag < length for c in chance.agreements(found, axis, lag)]
    return _shares(counted, chance.agree(p))


@law("DO-08")
def the_mask_does_not_repeat(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """Draws that lie a power of two apart, in the order of memory, or any other number, are independent."""
    draws = pick.one_of(((64, 64), (512, 512)), (95, 5))
    p = pick.one_of((0.5, 0.3, 0.8))
    found = kept(run, posed(self, draws, p, pick.integer(0, 2**32 - 1))).reshape(-1)
    lags = {2**k for k in range(found.size.bit_length() - 1)} | {pick.integer(3, found.size // 2)}
    counted = [c for lag in sorted(lags) for c in chance.agreements(found, 0, lag)]
    return _shares(counted, chance.agree(p))


@law("DO-08, DO-09")
def seeds_are_independent(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """The masks of two seeds, such as s and s + 1, agree as often as independent ones do, also if one is shifted."""
    p = pick.one_of((0.5, 0.25, 0.1, 0.9))
    seed, other = seeds(pick)
    shape = _shape(self, pick)
    first, second = (kept(run, posed(self, shape, p, s)).reshape(-1) for s in (seed, other))
    counted: Counts = []
    # Element i + shift of one mask with element i of the other: no element is in two pairs of the same shift.
    for shift in sorted({0, 1, pick.integer(2, 300), shape[-1] % MANY}):
        for ahead, behind in ((first, second), (second, first)):
            equal = ahead[shift:] == behind[: behind.size - shift]
            counted.append((int(np.count_nonzero(equal)), equal.size))
    return _shares(counted, chance.agree(p))


@law("DO-09", STRICT)
def different_seeds_give_different_masks(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """No two seeds below 2^32 have the same mask of 256 draws at p = 1/2: two are alike with probability 2^-256."""
    first, second = (kept(run, posed(self, (8, 32), 0.5, seed)) for seed in seeds(pick))
    return np.array([float(np.array_equal(first, second))]), np.zeros(1)


@law("DO-09", STRICT)
def seeds_are_told_apart_beyond_32_bits(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """Seeds that differ in one of the bits 32 to 62 have different masks too."""
    seed = pick.integer(0, 2**32 - 1)
    other = seed + (1 << pick.integer(32, 62))
    first, second = (kept(run, posed(self, (8, 32), 0.5, s)) for s in (seed, other))
    return np.array([float(np.array_equal(first, second))]), np.zeros(1)


@law("DO-08")
def counts_vary(self: Problem, run: Run, pick: Pick) -> Sides | None:
    """How many of 64 draws are zero is as often within 2 of 32 as it is for independent draws: in rows and columns of
    one call, and from seed to seed. Dropping just half of them each time is not dropping each on its own."""
    if pick.flag(0.3):
        start = pick.integer(0, 2**32 - 65)
        found = np.stack([kept(run, posed(self, (8, 8), 0.5, start + k)).reshape(-1) for k in range(64)])
        lines = [found]
    else:
        found = kept(run, posed(self, (64, 64), 0.5, pick.integer(0, 2**32 - 1)))
        lines = [found, found.T]
    close = [np.abs(np.count_nonzero(line, axis=1) - 32) <= 2 for line in lines]
    return _shares([(int(np.count_nonzero(c)), c.size) for c in close], chance.central(64, 2))
