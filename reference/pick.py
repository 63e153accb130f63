"""Choices: the one thing a problem is drawn from, whoever makes them.

A seeded generator makes them in the sweep, Hypothesis while a failing case is shrunk, a stored list in a replay.
Every choice is a whole number with 0 the simplest, so that shrinking towards zeros simplifies the problem.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from .data import KINDS, Data

T = TypeVar("T")


class Pick(ABC):
    """Makes choices. `dtype` is the dtype of the arrays; `budget` bounds the multiplications of a problem."""

    varied: bool = False  # whether `unlike` is honoured; not while shrinking, where small and equal is simplest

    def __init__(self, dtype: np.dtype[Any], budget: int) -> None:
        self.dtype = dtype
        self.budget = budget
        self.choices: list[int] = []

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
        kind = self.one_of(KINDS, _WEIGHTS)
        return Data(kind.name, self.choose(1 << 16, None), self.dtype, terms)


_WEIGHTS = tuple(k.weight for k in KINDS)


class RandomPick(Pick):
    """Choices from a plain seeded generator: the frozen list of the sweep."""

    varied = True

    def __init__(self, seed: str, dtype: np.dtype[Any], budget: int) -> None:
        super().__init__(dtype, budget)
        self._random = random.Random(seed)

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
