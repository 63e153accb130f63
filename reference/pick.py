"""Choices: the one thing a problem is drawn from, whoever makes them.

A seeded generator makes them in the sweep, Hypothesis while a failing case is shrunk, a stored list in a replay, a
stored list and a generator together where parameters are wanted again with other values.
Every choice is a whole number with 0 the simplest, so that shrinking towards zeros simplifies the problem.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from .data import KINDS, Data, Kind

T = TypeVar("T")


class Pick(ABC):
    """Makes choices. `dtype` is the dtype of the arrays; `budget` bounds the multiplications of a problem."""

    varied: bool = False  # whether `unlike` is honoured; not while shrinking, where small and equal is simplest

    def __init__(self, dtype: np.dtype[Any], budget: int) -> None:
        self.dtype = dtype
        self.budget = budget
        self.choices: list[int] = []
        self.kinds: list[Kind] = []  # of the data that were made

    @abstractmethod
    def choose(self, count: int, weights: Sequence[float] | None) -> int:
        """A number in [0, count); `weights` say how often each is wanted."""

    def integer(self, low: int, high: int, *, unlike: Sequence[int] = ()) -> int:
        """A whole number in [low, high], `low` the simplest; away from the values in `unlike`, if that is possible."""
        value = low + self.choose(high - low + 1, None)
        for _ in range(3):
            if not self.varied or value not in unlike:
                break
            self.choices.pop()
            value = low + self.choose(high - low + 1, None)
        return value

    def away(self, value: int, unlike: Sequence[int]) -> int:
        """`value`, or up to three more, so as to keep away from the values in `unlike`."""
        free = [float(value + step not in unlike) for step in range(4)]
        first = free.index(1.0) if 1.0 in free else 0
        return value + self.choose(4, [float(step == first) for step in range(4)])

    def one_of(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of the options, the first the simplest."""
        return options[self.choose(len(options), weights)]

    def flag(self, chance: float = 0.5) -> bool:
        """True with the given chance; False is the simplest."""
        return bool(self.choose(2, (1 - chance, chance)))

    def data(self, terms: int) -> Data:
        """A source of array values, of one kind throughout; `terms` are summed in one output element."""
        kind = KINDS[self.kind()]
        self.kinds.append(kind)
        return Data(kind.name, self.seed(), self.dtype, terms)

    def kind(self) -> int:
        """Which kind of data: one of KINDS."""
        return self.choose(len(KINDS), _WEIGHTS)

    def seed(self) -> int:
        """A seed of values: it decides no shape and no parameter."""
        return self.choose(1 << 16, None)


_WEIGHTS = tuple(k.weight for k in KINDS)

# Kinds of data that show in every output which elements it was made of: those of most stored rows.
TELLING = ("integers", "integers", "wide", "normal")


class RandomPick(Pick):
    """Choices from a plain seeded generator: the frozen list of the sweep."""

    varied = True

    def __init__(self, seed: str, dtype: np.dtype[Any], budget: int, next_kinds: list[int] | None = None) -> None:
        super().__init__(dtype, budget)
        self._random = random.Random(seed)
        self._next_kinds = next_kinds or []  # kinds of data that come first; what is taken is taken off

    def kind(self) -> int:
        if not self._next_kinds:
            return super().kind()
        self.choices.append(self._next_kinds.pop())
        return self.choices[-1]

    def choose(self, count: int, weights: Sequence[float] | None) -> int:
        if weights is None:
            index = int(self._random.random() * count)
        else:
            left = self._random.random() * sum(weights)
            for index, weight in enumerate(weights):  # noqa: B007
                left -= weight
                if left < 0:
                    break
        self.choices.append(index)
        return index


class ReplayPick(Pick):
    """The choices of an earlier pick again; past the end of the list, the simplest."""

    def __init__(self, choices: Sequence[int], dtype: np.dtype[Any], budget: int) -> None:
        super().__init__(dtype, budget)
        self._stored = list(choices)

    def choose(self, count: int, weights: Sequence[float] | None) -> int:
        at = len(self.choices)
        index = min(self._stored[at], count - 1) if at < len(self._stored) else 0
        self.choices.append(index)
        return index


class RowPick(RandomPick):
    """The parameters of a stored row, with values of their own: kinds and seeds of data come from the generator.

    A row is the list of the choices that are not about values. Past its end, the simplest.
    """

    varied = False

    def __init__(
        self, row: Sequence[int], seed: str, dtype: np.dtype[Any], budget: int, kinds: Sequence[str] = ()
    ) -> None:
        super().__init__(seed, dtype, budget)
        self._row = row
        self._kinds = kinds  # of these, if there are any
        self.made: list[int] = []  # the row as it was used

    def choose(self, count: int, weights: Sequence[float] | None) -> int:
        at = len(self.made)
        index = min(self._row[at], count - 1) if at < len(self._row) else self.beyond(count)
        self.made.append(index)
        self.choices.append(index)
        return index

    def beyond(self, count: int) -> int:
        """What is chosen past the end of the row."""
        return 0

    def kind(self) -> int:
        if not self._kinds and self._random.random() < 0.125:
            return super().choose(len(KINDS), _WEIGHTS)
        kinds = self._kinds or TELLING
        name = kinds[int(self._random.random() * len(kinds))]
        self.choices.append(next(number for number, kind in enumerate(KINDS) if kind.name == name))
        return self.choices[-1]

    def seed(self) -> int:
        return super().choose(1 << 16, None)
