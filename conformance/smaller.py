"""From a failing case to one of fewer input elements, by one choice or two made otherwise, be it larger.

Hypothesis ends with the simplest choices, and a smaller input may need less simple ones: much padding about one pixel
in place of many pixels. Cases are made, which takes little, and only those that are smaller are tried.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from convspec.reference import Op
from convspec.reference.pick import Pick, ReplayPick

# Input elements that can be taken in at a glance: a case of no more is small enough.
ENOUGH = 20

# Of choices with more options than these, none other than simpler ones are made: they are seeds of values.
FEW = 32

# So many pairs of changes are made, at random, where no change alone helps.
PAIRS = 3000

Change = tuple[int, int]  # which choice, and what is chosen


class _CountingPick(ReplayPick):
    """A replay that remembers among how many options each choice was made."""

    def __init__(self, choices: Sequence[int], dtype: np.dtype[Any], budget: int) -> None:
        super().__init__(choices, dtype, budget)
        self.counts: list[int] = []

    def choose(self, count: int, weights: Sequence[float] | None) -> int:
        self.counts.append(count)
        return super().choose(count, weights)


def smaller(
    choices: list[int],
    made: Callable[[Pick], Op],
    fails: Callable[[Pick], int | None],
    dtype: np.dtype[Any],
    budget: int,
    *,
    may_go_on: Callable[[], bool],
) -> list[int]:
    """Choices of a failing case with as few input elements as are found, from those of a failing case.

    `made(pick)` is the problem of a case; `fails(pick)` tries the case and gives None if it passes.
    """

    def problem(of: list[int]) -> Op:
        return made(ReplayPick(of, dtype, budget))

    def first(changes: list[tuple[Change, ...]]) -> list[int] | None:
        """The changed choices of the smallest case not met so far that has fewer elements and fails."""
        found = []
        for change in changes:
            if not may_go_on():
                return None
            changed = _with(best, change)
            less = problem(changed)
            if less.elements() < here.elements() and less.summary() not in seen:
                found.append((less.elements(), changed))
                seen.add(less.summary())
        tried = (c for _, c in sorted(found) if may_go_on())
        return next((c for c in tried if fails(ReplayPick(c, dtype, budget)) is not None), None)

    seen: set[str] = set()
    best, here = choices, problem(choices)
    while here.elements() > ENOUGH and may_go_on():
        counting = _CountingPick(best, dtype, budget)
        made(counting)
        moves = list(_moves(best, counting.counts))
        better = first([(move,) for move in moves])
        if better is None:
            told = here.summary()
            better = first(_pairs([m for m in moves if problem(_with(best, (m,))).summary() != told]))
        if better is None:
            break
        best, here = better, problem(better)
    return best


def _with(choices: list[int], change: tuple[Change, ...]) -> list[int]:
    changed = list(choices) + [0] * (max(at for at, _ in change) + 1 - len(choices))
    for at, option in change:
        changed[at] = option
    return changed


def _moves(choices: list[int], counts: list[int]) -> Iterator[Change]:
    for at, count in enumerate(counts):
        chosen = choices[at] if at < len(choices) else 0
        yield from ((at, option) for option in range(min(count, FEW)) if option != chosen)


def _pairs(moves: list[Change]) -> list[tuple[Change, ...]]:
    """Some of the pairs of changes of two choices, always the same ones."""
    pairs = [pair for pair in combinations(moves, 2) if pair[0][0] != pair[1][0]]
    return list(random.Random(0).sample(pairs, min(PAIRS, len(pairs))))
