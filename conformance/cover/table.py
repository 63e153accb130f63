"""Which combinations of classes there are, and which of them problems have."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import numpy.typing as npt

from convspec.reference import Op
from convspec.reference.features import Feature

Classes = tuple[str | None, ...]  # of one problem, in the order of the features
Mask = npt.NDArray[np.bool_]


class Table:
    """The combinations of `strength` classes of different features: those that the rules allow.

    Features that stand alone are combined with none: their classes are among the combinations of strength 1 only. A
    combination is a place in an array, the product of the numbers of its classes.
    """

    def __init__(self, op: type[Op], strength: int) -> None:
        self.features: tuple[Feature, ...] = op.features
        self.strength = strength
        together = [k for k, f in enumerate(self.features) if strength == 1 or not f.alone]
        self.number: list[dict[str | None, int]] = []  # of each feature: the numbers of its classes
        self.names: list[str] = []
        for f in self.features:
            self.number.append({one: len(self.names) + k for k, one in enumerate(f.classes)})
            self.names += [f"{f.name}={one}" for one in f.classes]
        self.none = len(self.names)  # the number of a class that a problem has not
        self._base = self.none + 1
        self._of = np.array(list(combinations(together, strength)), np.int64).reshape(-1, strength)
        self._weights = self._base ** np.arange(strength - 1, -1, -1)
        self.possible: Mask = np.zeros(self._base**strength, bool)
        for chosen in self._of.tolist():
            places = np.zeros(1, np.int64)
            for k, weight in zip(chosen, self._weights.tolist(), strict=True):
                places = (places[:, None] + np.array(list(self.number[k].values())) * weight).ravel()
            self.possible[places] = True
        self.excluded: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        at = {name: k for k, name in enumerate(self.names)}
        for exclusion in op.excluded:
            given = sorted(at[f"{name}={one}"] for name, one in exclusion.combination)
            if len(given) <= strength:
                for place in self._with(given):
                    if self.possible[place]:
                        self.possible[place] = False
                        if len(given) == strength:
                            told = self.left_out if exclusion.left_out else self.excluded
                            told[self.name(place)] = exclusion.why

    def _at(self, ids: Iterable[int]) -> int:
        return int(np.dot(self._weights, sorted(ids)))

    def _with(self, given: list[int]) -> Iterable[int]:
        """The places of the combinations that hold these classes."""
        for others in combinations(range(self.none), self.strength - len(given)):
            yield self._at([*given, *others])

    def place(self, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where the pairs of the classes of these numbers are, those of an earlier feature first."""
        return np.asarray(first * self._base + second)

    def name(self, place: int) -> str:
        return " ".join(self.names[one] for one in self.ids(place))

    def ids(self, place: int) -> list[int]:
        return [place // int(w) % self._base for w in self._weights]

    def numbers(self, classes: Classes) -> npt.NDArray[np.int64]:
        """The numbers of the classes of a problem."""
        known = [number.get(one, self.none) for number, one in zip(self.number, classes, strict=True)]
        return np.array(known, np.int64)

    def places(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where the combinations of a problem are, or of several: (..., features) -> (..., combinations).

        Those with a class that a problem has not are where nothing is possible.
        """
        return np.asarray(numbers[..., self._of] @ self._weights)

    def counts(self, problems: Iterable[Classes]) -> npt.NDArray[np.int64]:
        """How many problems have each combination."""
        numbers = [self.numbers(classes) for classes in problems]
        if not numbers:
            return np.zeros(self.possible.size, np.int64)
        return np.bincount(self.places(np.array(numbers)).ravel(), minlength=self.possible.size)

    def missing(self, counts: npt.NDArray[np.int64]) -> list[str]:
        """The combinations that the rules allow and that no problem has."""
        return [self.name(int(place)) for place in np.flatnonzero(self.possible & (counts == 0))]
