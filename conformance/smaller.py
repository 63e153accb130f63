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
from convspec.reference.data import KINDS
from convspec.reference.pick import Pick, ReplayPick

# Input elements that can be taken in at a glance: a case of no more is small enough.
ENOUGH = 20

# Of choices with more options than these, none other than simpler ones are made: they are seeds of values.
FEW = 32

# So many pairs of changes are made, at random, where no change alone helps.
PAIRS = 1500

# So often the same case is made by other choices, from which other changes lead elsewhere.
OTHERWISE = 4

# Data in which every element differs from its neighbours, so that a case need not be large to show where one went.
TELLING = [number for number, kind in enumerate(KINDS) if kind.name in ("iota", "integers")]

Change = tuple[int, int]  # which choice, and what is chosen


class _Again(ReplayPick):
    """A replay that remembers among how many options each choice was made; with data of one kind, if one is given."""

    def __init__(self, choices: Sequence[int], dtype: np.dtype[Any], budget: int, data: int | None) -> None:
        super().__init__(choices, dtype, budget)
        self.counts: list[int] = []
        self._data = data

    def choose(self, count: int, weights: Sequence[float] | None) -> int:
        self.counts.append(count)
        return super().choose(count, weights)

    def kind(self) -> int:
        chosen = super().kind()
        if self._data is not None:
            self.choices[-1] = chosen = self._data
        return chosen


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
    data: int | None = None

    def again(of: list[int]) -> _Again:
        return _Again(of, dtype, budget, data)

    def failing(of: list[int]) -> list[int] | None:
        """The choices as they were made, if the case fails."""
        pick = again(of)
        return None if fails(pick) is None else pick.choices

    def first(start: list[int], changes: list[tuple[Change, ...]]) -> list[int] | None:
        """The changed choices of the smallest case not met so far that has fewer elements and fails."""
        found = []
        for change in changes:
            if not may_go_on():
                return None
            changed = _with(start, change)
            less = made(again(changed))
            if less.elements() < here.elements() and less.summary() not in seen:
                found.append((less.elements(), changed))
                seen.add(less.summary())
        tried = (failing(changed) for _, changed in sorted(found) if may_go_on())
        return next((one for one in tried if one is not None), None)

    def otherwise(idle: list[Change], seed: int) -> list[int]:
        """The same case by other choices where they make no difference: after another change they may."""
        found = best
        for change in random.Random(seed).sample(idle, len(idle)):
            changed = _with(found, (change,))
            if made(again(changed)).summary() == here.summary():
                found = changed
        return found

    def simple(case: list[int]) -> list[int]:
        """Choices that matter no more are made the simplest."""
        for at in range(len(case)):
            changed = _with(case, ((at, 0),))
            if case[at : at + 1] > [0] and may_go_on() and made(again(changed)).elements() <= here.elements():
                case = failing(changed) or case
        return case

    best, here = choices, made(again(choices))
    seen: set[str] = set()
    if here.elements() > ENOUGH and may_go_on():
        for kind in (*TELLING, None):
            data = kind
            better = failing(best)
            if better is not None:
                best = better
                break
    told_otherwise = 0
    start = best
    while here.elements() > ENOUGH and may_go_on():
        pick, told = again(start), here.summary()
        made(pick)
        moves = list(_moves(start, pick.counts))
        better = first(start, [(move,) for move in moves])
        if better is None:
            active = [move for move in moves if made(again(_with(start, (move,)))).summary() != told]
            better = first(start, _pairs(active))
        if better is not None:
            best = start = better
            here = made(again(best))
        elif told_otherwise < OTHERWISE:
            told_otherwise += 1
            start = otherwise([m for m in moves if m not in active and pick.counts[m[0]] <= FEW], told_otherwise)
        else:
            break
    return best if best is choices else simple(best)


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
