"""From a failing case to one of fewer input elements, by one choice or two made otherwise, be it larger.

Hypothesis ends with the simplest choices, and a smaller input may need less simple ones: much padding about one pixel
in place of many pixels. Cases are made, which takes little, and only those that are smaller are tried.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Trial:
    """How cases of a clause are made and tried."""

    made: Callable[[Pick], Op]  # the problem of a case
    fails: Callable[[Pick], int | None]  # tries a case; None if it passes
    dtype: np.dtype[Any]
    budget: int  # input elements of a case at most
    may_go_on: Callable[[], bool]


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


def smaller(choices: list[int], trial: Trial) -> list[int]:
    """Choices of a failing case with as few input elements as are found, from those of a failing case."""
    search = _Search(choices, trial)
    if search.here.elements() <= ENOUGH or not trial.may_go_on():
        return choices
    search.tell_apart()
    search.go_on()
    search.make_simple()
    return search.best


class _Search:
    """`best` are the choices of the smallest case that was tried and failed, `here` is its problem."""

    def __init__(self, choices: list[int], trial: Trial) -> None:
        self._trial = trial
        self._data: int | None = None  # the kind of all data
        self._seen: set[str] = set()  # of the problems that were tried, what they are but for their values
        self.best = choices
        self.here = self._problem(choices)

    def tell_apart(self) -> None:
        """Take data that tell elements apart, if the case fails with them too."""
        for self._data in (*TELLING, None):
            if (failing := self._failing(self.best)) is not None:
                self.best = failing
                return

    def go_on(self) -> None:
        """Change one choice or two until the case is small enough or nothing helps."""
        start, others = self.best, 0
        while self.here.elements() > ENOUGH and self._trial.may_go_on():
            pick = self._again(start)
            self._trial.made(pick)
            moves = list(_moves(start, pick.counts))
            better = self._first(start, [(move,) for move in moves])
            if better is None:
                active = {move for move in moves if not self._same(_with(start, (move,)))}
                better = self._first(start, _pairs([move for move in moves if move in active]))
            if better is not None:
                self.best = start = better
                self.here = self._problem(better)
            elif others < OTHERWISE:
                others += 1
                idle = [move for move in moves if move not in active and pick.counts[move[0]] <= FEW]
                start = self._otherwise(idle, others)
            else:
                return

    def make_simple(self) -> None:
        """Choices that do not matter are made the simplest."""
        for at in range(len(self.best)):
            changed = _with(self.best, ((at, 0),))
            if at < len(self.best) and self.best[at] and self._trial.may_go_on():
                problem = self._problem(changed)
                if problem.elements() <= self.here.elements() and (failing := self._failing(changed)) is not None:
                    self.best, self.here = failing, problem

    def _again(self, choices: list[int]) -> _Again:
        return _Again(choices, self._trial.dtype, self._trial.budget, self._data)

    def _problem(self, choices: list[int]) -> Op:
        return self._trial.made(self._again(choices))

    def _same(self, choices: list[int]) -> bool:
        """Do they make the problem that is here, but for its values?"""
        return self._problem(choices).summary() == self.here.summary()

    def _failing(self, choices: list[int]) -> list[int] | None:
        """The choices as they were made, if their case fails."""
        pick = self._again(choices)
        return None if self._trial.fails(pick) is None else pick.choices

    def _first(self, start: list[int], changes: list[tuple[Change, ...]]) -> list[int] | None:
        """The changed choices of the smallest case not met so far that has fewer elements and fails."""
        found = []
        for change in changes:
            if not self._trial.may_go_on():
                return None
            changed = _with(start, change)
            less = self._problem(changed)
            if less.elements() < self.here.elements() and less.summary() not in self._seen:
                found.append((less.elements(), changed))
                self._seen.add(less.summary())
        tried = (self._failing(changed) for _, changed in sorted(found) if self._trial.may_go_on())
        return next((one for one in tried if one is not None), None)

    def _otherwise(self, idle: list[Change], seed: int) -> list[int]:
        """The same case by other choices where they make no difference: after another change they may."""
        found = self.best
        for change in random.Random(seed).sample(idle, len(idle)):
            changed = _with(found, (change,))
            if self._same(changed):
                found = changed
        return found


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
