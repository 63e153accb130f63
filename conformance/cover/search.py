"""The search for rows: few of them, that together hold every pair and every triple of classes.

Libraries that build such arrays (allpairspy, covertable) combine values of independent parameters. Ours follow from one
another - a length from a kernel, groups from channels - and can only be met by drawing: so problems are drawn, changed
in one choice or several, and taken greedily by how many new combinations each has.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import Op
from convspec.reference.data import Data
from convspec.reference.features import classes_of
from convspec.reference.op import Shape
from convspec.reference.pick import RowPick

from . import BUDGET, problem_of
from .table import Mask, Table

F32 = np.dtype(np.float32)
SMALL = 400  # elements, below which problems cost alike
DEAR = 1.5  # combinations that a problem of twice the elements must have more
CLIMB = 1500  # changes tried on a row before it is taken: one row fewer is saved in every run


class _Blank(Data):
    """Arrays of zeros that take no memory: what is drawn with is all that matters here."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def array(self, shape: Shape, role: str = "x") -> npt.NDArray[Any]:
        return np.broadcast_to(np.zeros((), self.dtype), shape)


class _Wander(RowPick):
    """The choices of a row; past its end any, all equally often."""

    blank = False  # whether values play no part

    def data(self, terms: int) -> Data:
        return _Blank(self.dtype) if self.blank else super().data(terms)

    def beyond(self, count: int) -> int:
        return int(self._random.random() * count)


@dataclass(frozen=True)
class Candidate:
    row: tuple[int, ...]
    numbers: npt.NDArray[np.int64]
    cost: int  # elements, in and out: what a problem costs, more or less


class Search:
    """Draws, changes and chooses the problems of one operation."""

    def __init__(self, op: type[Op], seed: int = 0) -> None:
        self.op = op
        self.random = random.Random(f"{op.name} {seed}")
        self.tables = {k: Table(op, k) for k in (1, 2, 3)}
        self.drawn = 0
        # Where values play a part, a class counts that the same parameters have with any values.
        self._by_value = [k for k, f in enumerate(op.features) if f.formats]
        kinds = (F32, np.dtype(np.float64), np.dtype(np.float16))
        self._others = [(seed, dtype) for seed in "abc" for dtype in kinds]

    def draw(self, row: tuple[int, ...] = ()) -> Candidate:
        self.drawn += 1
        pick = _Wander(row, str(self.random.random()), F32, BUDGET)
        pick.blank = not self._by_value
        problem = self.op.draw(pick)
        outputs = sum(int(np.prod(shape)) for shape in problem.output_shapes().values())
        cost = max(problem.elements() + outputs, SMALL)
        numbers = self.tables[1].numbers(classes_of(problem))
        for seed, dtype in self._others if (numbers[self._by_value] != self.tables[1].none).any() else ():
            other, _ = problem_of(self.op, tuple(pick.made), dtype, seed)
            again = self.tables[1].numbers(classes_of(other))
            numbers = np.where((again == numbers) | (again == self.tables[1].none), numbers, self.tables[1].none)
        return Candidate(tuple(pick.made), numbers, cost)

    def changed(self, parent: Candidate) -> Candidate:
        """Like the parent in all but a few choices, or in all before one of them."""
        row = list(parent.row)
        if self.random.random() < 0.15:
            return self.draw(tuple(row[: self.random.randrange(len(row) + 1)]))
        other: tuple[int, ...] = ()
        for _ in range(self.random.choice((1, 1, 1, 2, 2, 3, 5))):
            at = self.random.randrange(len(row)) if row else 0
            other = other or self.draw(tuple(row[:at])).row
            if at < len(other) and row:
                row[at] = other[at]
        return self.draw(tuple(row))

    def pool(self, count: int) -> list[Candidate]:
        return [self.draw() for _ in range(count)]

    def reach(self, place: int, strength: int, pool: list[Candidate], steps: int) -> Iterator[Candidate]:
        """Candidates on the way to one that has this combination, the last one if it was found."""
        wanted = set(self.tables[strength].ids(place))

        def had(one: Candidate) -> int:
            return len(wanted.intersection(one.numbers.tolist()))

        best = max(self.random.sample(pool, min(len(pool), 300)), key=had)
        for _ in range(steps):
            if had(best) == len(wanted):
                return
            one = self.changed(best)
            if had(one) >= had(best):
                best = one
                yield one

    def extended(self, rows: Iterable[tuple[int, ...]], pairs: int, *, draws: int, steps: int) -> list[Candidate]:
        """Rows that hold the classes and pairs which the first of the stored rows, those of the pairs, do not."""
        kept = [self.draw(row) for row in rows]
        pool = [*self.pool(draws), *kept]
        met: dict[int, Mask] = {k: np.zeros_like(t.possible) for k, t in self.tables.items()}
        for one in pool:
            self._note(one, met)
        held = {k: np.zeros_like(self.tables[k].possible) for k in (1, 2)}
        for one in kept[:pairs]:
            for k, mask in held.items():
                mask[self.tables[k].places(one.numbers)] = True
        for strength, mask in held.items():
            for place in np.flatnonzero(self.tables[strength].possible & ~mask).tolist():
                pool += [one for one in self.reach(place, strength, pool, steps) if self._note(one, met)]
        return self._greedy((1, 2), pool, kept[:pairs], met, 10_000)[pairs:]

    def rows(self, *, most: int, draws: int, steps: int, tries: int) -> tuple[list[Candidate], int, list[str]]:
        """The rows, how many of them hold the pairs, and the triples that none of them holds."""
        pool = self.pool(draws)
        met: dict[int, Mask] = {k: np.zeros_like(t.possible) for k, t in self.tables.items()}
        for one in pool:
            self._note(one, met)
        for strength in (1, 2, 3):
            table = self.tables[strength]
            for attempt in range(tries):
                left = np.flatnonzero(table.possible & ~met[strength])
                for place in left.tolist():
                    if met[strength][place]:
                        continue
                    for one in self.reach(place, strength, pool, steps * (1 + attempt)):
                        if self._note(one, met):
                            pool.append(one)
            left = np.flatnonzero(table.possible & ~met[strength])
            print(f"{self.op.name}: {table.possible.sum()} of strength {strength}, not met: {len(left)}", flush=True)
            if strength < 3:
                for place in left.tolist():
                    print(f"    {table.name(place)}", flush=True)
        chosen = self._pruned(self._greedy((1, 2), pool, [], met, 10_000))
        pairs = len(chosen)
        print(f"{self.op.name}: {pairs} rows hold every pair", flush=True)
        chosen = self._greedy((3,), pool, chosen, met, most)
        held = np.zeros_like(met[3])
        for one in chosen:
            held[self.tables[3].places(one.numbers)] = True
        unmet = np.flatnonzero(self.tables[3].possible & ~held).tolist()
        return chosen, pairs, [self.tables[3].name(place) for place in unmet]

    def _note(self, one: Candidate, met: dict[int, Mask]) -> bool:
        new = False
        for strength, table in self.tables.items():
            places = table.places(one.numbers)
            new = new or bool((table.possible[places] & ~met[strength][places]).any())
            met[strength][places] = True
        return new

    def _greedy(
        self,
        strengths: tuple[int, ...],
        pool: list[Candidate],
        chosen: list[Candidate],
        met: dict[int, Mask],
        most: int,
    ) -> list[Candidate]:
        """Take the candidate that has most of what is still open, again and again, each made better first."""
        chosen = list(chosen)
        open_ = {k: self.tables[k].possible & met[k] for k in strengths}

        def gain(one: Candidate) -> int:
            # A class that stands alone is as hard to come by as many pairs.
            return sum(
                (10 if k == 1 else 1) * int(open_[k][self.tables[k].places(one.numbers)].sum()) for k in strengths
            )

        def worth(one: Candidate) -> float:
            """Its gain, less what a large problem costs in every run."""
            return gain(one) - DEAR * math.log2(one.cost / SMALL)

        def take(one: Candidate) -> None:
            for k in strengths:
                open_[k][self.tables[k].places(one.numbers)] = False

        for one in chosen:
            take(one)
        bounds = np.array([worth(one) for one in pool])  # never below the true worth, which only falls
        while len(chosen) < most and any(mask.any() for mask in open_.values()):
            best, at = -math.inf, 0
            for k in np.argsort(-bounds, kind="stable").tolist():
                if bounds[k] <= best:
                    break
                bounds[k] = worth(pool[k]) if gain(pool[k]) else -math.inf
                if bounds[k] > best:
                    best, at = float(bounds[k]), k
            one = pool[at]
            for _ in range(CLIMB if 2 in strengths else 40):
                other = self.changed(one)
                if worth(other) > best and gain(other):
                    one, best = other, worth(other)
            chosen.append(one)
            take(one)
        return chosen

    def _pruned(self, chosen: list[Candidate]) -> list[Candidate]:
        """Without the rows whose pairs the others hold as well."""
        counts: dict[int, Any] = {k: np.zeros(self.tables[k].possible.size, int) for k in (1, 2)}
        for one in chosen:
            for k in (1, 2):
                np.add.at(counts[k], self.tables[k].places(one.numbers), 1)
        kept = []
        for one in reversed(chosen):
            places = {k: self.tables[k].places(one.numbers) for k in (1, 2)}
            if all((counts[k][p] > 1)[self.tables[k].possible[p]].all() for k, p in places.items()):
                for k, p in places.items():
                    np.subtract.at(counts[k], p, 1)
            else:
                kept.append(one)
        return kept[::-1]
