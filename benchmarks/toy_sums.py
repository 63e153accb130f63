"""Legitimate ways to add up products, as simulated on a toy machine, one column of terms after the other.

Each takes the exact terms (outputs, terms) - products, and the bias as one more - and gives the sums (outputs,). A
term is rounded before it is added, or, where the way is fused, together with the sum.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .toy import Array, Machine

Way = Callable[[Array, Machine, np.random.Generator], Array]


def one_by_one(terms: Array, machine: Machine, random: np.random.Generator) -> Array:
    rounded = machine.round(terms)
    total = rounded[:, 0]
    for t in range(1, terms.shape[1]):
        total = machine.round(total + rounded[:, t])
    return total


def fused(terms: Array, machine: Machine, random: np.random.Generator) -> Array:
    total = machine.round(terms[:, 0])
    for t in range(1, terms.shape[1]):
        total = machine.round(total + terms[:, t])
    return total


def random_tree(terms: Array, machine: Machine, random: np.random.Generator) -> Array:
    """One tree for all outputs, over another order of the terms for each."""
    shuffled = machine.round(random.permuted(terms, axis=1))
    return joined([shuffled[:, t] for t in range(terms.shape[1])], machine, random)


def tree_of_chains(terms: Array, machine: Machine, random: np.random.Generator) -> Array:
    """Fused chains of random lengths, put together by a random tree."""
    ends = np.flatnonzero(random.random(terms.shape[1] - 1) < 0.4) + 1
    parts = [fused(part, machine, random) for part in np.split(random.permuted(terms, axis=1), ends, axis=1)]
    return joined(parts, machine, random)


def joined(parts: list[Array], machine: Machine, random: np.random.Generator) -> Array:
    while len(parts) > 1:
        first = parts.pop(int(random.integers(len(parts))))
        second = parts.pop(int(random.integers(len(parts))))
        parts.append(machine.round(first + second))
    return parts[0]


def pairwise(terms: Array, machine: Machine, random: np.random.Generator) -> Array:
    rest = machine.round(terms)
    while rest.shape[1] > 1:
        even = rest.shape[1] // 2 * 2
        rest = np.concatenate([machine.round(rest[:, 0:even:2] + rest[:, 1:even:2]), rest[:, even:]], axis=1)
    return rest[:, 0]


def lanes(terms: Array, machine: Machine, random: np.random.Generator) -> Array:
    """Four fused lanes from zero, added up at the end."""
    return one_by_one(
        np.stack([fused(terms[:, k::4], machine, random) for k in range(min(4, terms.shape[1]))], 1), machine, random
    )


def smallest_first(terms: Array, machine: Machine, random: np.random.Generator) -> Array:
    return one_by_one(np.take_along_axis(terms, np.argsort(np.abs(terms), axis=1), axis=1), machine, random)


def largest_first(terms: Array, machine: Machine, random: np.random.Generator) -> Array:
    return one_by_one(np.take_along_axis(terms, np.argsort(-np.abs(terms), axis=1), axis=1), machine, random)


def positive_first(terms: Array, machine: Machine, random: np.random.Generator) -> Array:
    """All that is positive, then all that is negative: the largest partial sums there are."""
    return one_by_one(-np.sort(-terms, axis=1), machine, random)


def worst_next(terms: Array, machine: Machine, random: np.random.Generator) -> Array:
    """The term next whose addition is rounded up the most, greedily: the errors of all steps have one sign."""
    rounded = machine.round(terms)
    left = np.ones(terms.shape, bool)
    rows = np.arange(len(terms))
    first = np.argmax(rounded - terms, axis=1)
    total, left[rows, first] = rounded[rows, first], False
    for _ in range(1, terms.shape[1]):
        exact = total[:, None] + rounded
        sums = machine.round(exact)
        gained = np.where(left, np.where(np.isfinite(sums), sums - exact, -1e300), -np.inf)
        best = np.argmax(gained, axis=1)
        total, left[rows, best] = sums[rows, best], False
    return total


WAYS: dict[str, Way] = {
    "one by one": one_by_one,
    "fused chain": fused,
    "random tree": random_tree,
    "tree of fused chains": tree_of_chains,
    "pairwise": pairwise,
    "four fused lanes": lanes,
    "smallest first": smallest_first,
    "largest first": largest_first,
    "positive then negative": positive_first,
    "worst next": worst_next,
}
