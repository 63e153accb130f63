"""How far counts of independent trials may be from what is expected, with a chance of error that is proved.

No normal approximation: the bound is Chernoff's (1952), which holds for every n and p. Let S be the number of successes
in n independent trials of probability p. For a > p and every t > 0, Markov's inequality on exp(t*S) gives

    P(S >= a*n) <= exp(-t*a*n) * (1 - p + p*exp(t))^n,

and the best t, exp(t) = a*(1-p) / (p*(1-a)), makes the right side exp(-n * KL(a || p)) with

    KL(a || p) = a*ln(a/p) + (1-a)*ln((1-a)/(1-p)).

Failures are such trials too, so that P(S <= a*n) <= exp(-n * KL(a || p)) for a < p. KL grows with |a - p| on either
side: a distance s at which both exponents reach ln(2/delta) is passed with a probability of at most delta.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import comb, inf, log

import numpy as np
import numpy.typing as npt

from .measured import Measured

# The chance that one case of one clause accuses a right implementation. A clause is tried on 1000 problems in the
# thorough profile, of up to four times as many drawn, in four dtypes: 16,000 cases, and fewer than 1.6e-10 errors.
FALSE_ALARM = 1e-14

# A uniform number of float32 has 24 bits, so that a probability is met to 2^-24; that of two draws agreeing, to twice
# as much.
GRANULARITY = 2.0**-23


def divergence(a: float, p: float) -> float:
    """KL(a || p) of two probabilities, in nats; infinite where a trial of probability p cannot come out so."""
    if not 0 <= a <= 1:
        return inf
    parts = [(a, p), (1 - a, 1 - p)]
    return sum(inf if q <= 0 else v * log(v / q) for v, q in parts if v > 0)


@lru_cache(maxsize=4096)
def distance(n: int, p: float, chance: float) -> float:
    """The s with P(|S/n - p| > s) <= chance, by bisection; S counts the successes of n trials of probability p."""
    wanted = log(2 / chance) * (1 + 1e-9) / n
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        enough = min(divergence(p - middle, p), divergence(p + middle, p)) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


def shares(trials: Sequence[int], p: float | Sequence[float]) -> Measured:
    """The share of successes that each of several counts has: p, and how far from it all of them stay together.

    The chance of error is divided evenly among them, which needs no independence of one count from another.
    """
    wanted = np.broadcast_to(np.asarray(p, np.float64), (len(trials),))
    each = FALSE_ALARM / max(len(trials), 1)
    far = [distance(n, float(q), each) + GRANULARITY for n, q in zip(trials, wanted, strict=True)]
    return Measured(wanted, np.array(far))


def central(n: int, reach: int) -> float:
    """P(|S - n/2| <= reach) for n trials of probability 1/2, n even: summed exactly."""
    return float(sum(comb(n, n // 2 + k) for k in range(-reach, reach + 1)) / 2**n)


def agreements(draws: npt.NDArray[np.bool_], axis: int, lag: int) -> list[tuple[int, int]]:
    """How many of the pairs of draws that lie `lag` apart along an axis agree, and how many pairs there are, twice.

    Position i belongs to block floor(i / lag). The pairs (i, i + lag) with i in an even block are disjoint, for i + lag
    lies in an odd one; so are those with i in an odd block. Each of the two families consists of independent trials
    if the draws are independent, as all pairs together do not.
    """
    line = np.moveaxis(draws, axis, 0)
    equal = line[:-lag] == line[lag:]
    even = np.arange(len(equal)) // lag % 2 == 0
    families = [equal[even], equal[~even]]
    return [(int(np.count_nonzero(f)), f.size) for f in families if f.size]


def agree(p: float) -> float:
    """The probability that two independent draws of probability p come out alike."""
    return p * p + (1 - p) * (1 - p)
