"""The frozen list of problems, and what is true of each: drawn and computed once, shared by all backends and
clauses."""

from __future__ import annotations

import hashlib
import random
import time
import zlib
from collections import Counter, OrderedDict
from collections.abc import Iterable

import numpy as np

from convspec.reference import Op
from convspec.reference.data import KINDS
from convspec.reference.features import classes_of
from convspec.reference.formats import dtype_named, name_of
from convspec.reference.pick import RandomPick
from convspec.reference.rounding import Arithmetic, Bound

from . import cover
from .compare import Array, Truth
from .settings import Settings

Values = dict[str, tuple[Array, Array]]  # hi and lo of every output

STAGES = ("drawing", "reference", "bound", "backend", "judging", "shrinking")


class Clock:
    """Where the time goes: seconds per stage, the inner stage not counted in the outer one."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.inner = 0.0

    def stage(self, name: str) -> Stage:
        return Stage(self, name)


class Stage:
    """One stay in a stage. A class, since a generator takes three times as long to enter and to leave."""

    __slots__ = ("_clock", "_name", "_outer", "_start")

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock = clock
        self._name = name

    def __enter__(self) -> None:
        self._outer, self._clock.inner = self._clock.inner, 0.0
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = time.perf_counter() - self._start
        self._clock.seconds[self._name] += spent - self._clock.inner
        self._clock.inner = self._outer + spent


class Oracle:
    """The truth and the bound of problems, remembered by their content, the least recently used forgotten first."""

    def __init__(self, clock: Clock, most_elements: int = 8_000_000) -> None:
        self._clock = clock
        self._room = most_elements
        self._values: OrderedDict[bytes, Values] = OrderedDict()
        self._bounds: OrderedDict[bytes, dict[str, Bound]] = OrderedDict()
        self._held = 0

    def truths(self, problem: Op, arithmetic: Arithmetic) -> dict[str, Truth]:
        """hi, lo and the bound of every output of a valid problem, by its name."""
        return {
            name: Truth(hi, lo, lambda name=name: self.bounds(problem, arithmetic)[name])  # type: ignore[misc]
            for name, (hi, lo) in self.values(problem).items()
        }

    def values(self, problem: Op) -> Values:
        key = digest(problem)
        if key not in self._values:
            with self._clock.stage("reference"):
                self._values[key] = problem.truths()
            self._held += _size_of_values(self._values[key])
            self._forget()
        self._values.move_to_end(key)
        return self._values[key]

    def bounds(self, problem: Op, arithmetic: Arithmetic) -> dict[str, Bound]:
        key = digest(problem) + repr(arithmetic).encode()
        if key not in self._bounds:
            with self._clock.stage("bound"):
                self._bounds[key] = problem.judgements(arithmetic)
            problem.forget()
            self._held += _size_of_bounds(self._bounds[key])
            self._forget()
        self._bounds.move_to_end(key)
        return self._bounds[key]

    def _forget(self) -> None:
        while self._held > self._room and len(self._values) + len(self._bounds) > 2:
            if len(self._values) > len(self._bounds):
                self._held -= _size_of_values(self._values.popitem(last=False)[1])
            else:
                self._held -= _size_of_bounds(self._bounds.popitem(last=False)[1])


def _size_of_values(values: Values) -> int:
    return sum(2 * hi.size for hi, _ in values.values())


def _size_of_bounds(bounds: dict[str, Bound]) -> int:
    return sum(3 * bound.tolerance.size for bound in bounds.values())


def digest(problem: Op) -> bytes:
    """A key by content: two problems with equal arrays and parameters have the same."""
    key = problem.__dict__.get("_digest")
    if key is None:
        read_as = {k: v for k, v in problem.reading.items() if not isinstance(v, np.ndarray)}
        parts = hashlib.blake2b(repr((problem.name, problem.parameters(), read_as)).encode(), digest_size=16)
        arrays = problem.arrays() | {k: v for k, v in problem.reading.items() if isinstance(v, np.ndarray)}
        for name, array in arrays.items():
            parts.update(f"{name}{name_of(array.dtype)}{array.shape}".encode())
            parts.update(array.tobytes())
        key = parts.digest()
        problem.__dict__["_digest"] = key
    return bytes(key)


def _noted(problem: Op, pick: RandomPick) -> tuple[Op, list[int]]:
    """A problem, which now knows what kind of data it has, and the choices that it was drawn from."""
    problem.note_kind(bool(pick.kinds) and pick.kinds[-1].unstructured)
    return problem, pick.choices


class Sweep:
    """The list of problems of one operation and dtype: equal seeds give equal lists, whatever the backend.

    First come the stored rows, whose parameters hold every pair of classes (in the thorough profile every triple), with
    values of this seed; then problems drawn at random, the first of them with one of each kind of data.
    """

    def __init__(self, op: type[Op], dtype: str, settings: Settings, clock: Clock) -> None:
        self.op = op
        self.dtype = dtype_named(dtype)
        self.rows = cover.rows_of(op.name, settings.profile.name == "thorough")
        self.whole = max(settings.examples, len(self.rows) if settings.whole_rows else 0)
        self._budget = settings.profile.budget // (4 if dtype == "float64" else 1)
        self._seed = f"{settings.seed}/{op.name}/{dtype}"
        self._clock = clock
        self._drawn: list[tuple[Op, list[int]]] = []
        self._kinds: list[tuple[str, ...]] = []  # of the data of each; of some it is no matter of choice
        self._first = list(range(len(KINDS)))  # of the problems drawn at random the first have one of each
        random.Random(self._seed).shuffle(self._first)
        self._of_kinds: dict[tuple[int, tuple[str, ...]], tuple[Op, list[int]]] = {}

    def problem(self, index: int) -> tuple[Op, list[int]]:
        """The problem at this place in the list, and the choices that it was drawn from."""
        while len(self._drawn) <= index:
            with self._clock.stage("drawing"):
                at = len(self._drawn)
                seed = f"{self._seed}/{at}"
                if at < len(self.rows):
                    problem, pick = self._of_row(at, seed)
                else:
                    pick = RandomPick(seed, self.dtype, self._budget, self._first)
                    problem = self.op.draw(pick)
                self._drawn.append(_noted(problem, pick))
                self._kinds.append(tuple(kind.name for kind in pick.kinds))
        return self._drawn[index]

    def _of_row(self, index: int, seed: str, kinds: tuple[str, ...] = ()) -> tuple[Op, RandomPick]:
        return cover.problem_of(self.op, self.rows[index], self.dtype, seed, kinds)

    def row(self, index: int, kinds: tuple[str, ...]) -> tuple[Op, list[int]]:
        """The problem at this place in the list, if it is one of the rows, with data of these kinds in turn."""
        if index >= len(self.rows) or not kinds:
            return self.problem(index)
        key = index, kinds
        if key not in self._of_kinds:
            turn = self._turn(index, kinds)
            with self._clock.stage("drawing"):
                seed = f"{self._seed}/{index}/{kinds[0]}"
                problem, pick = self._of_row(index, seed, (turn,))
                self._of_kinds[key] = _noted(problem, pick)
        return self._of_kinds[key]

    def _turn(self, index: int, kinds: tuple[str, ...]) -> str:
        """The kind whose turn it is: the rows that choose one take them in order, from another one with every seed."""
        self.problem(index)
        earlier = sum(bool(had) for had in self._kinds[:index])
        return kinds[(earlier + zlib.crc32(self._seed.encode())) % len(kinds)]

    def kinds(self, in_turn: Iterable[tuple[str, ...]]) -> Counter[str]:
        """How many problems have data of each kind, as far as clauses may try them: those of the list, and those of the
        rows with kinds that are taken in turn."""
        self.problem(self.whole - 1)
        found = Counter(kind for had in self._kinds[: self.whole] for kind in set(had))
        for kinds in in_turn:
            rows = range(min(len(self.rows), self.whole))
            found.update(self._turn(index, kinds) for index in rows if self._kinds[index])
        return found

    def budget(self, index: int | None = None) -> int:
        """The multiplications that a problem may take: one at this place in the list, or any other."""
        return self._budget if index is None or index >= len(self.rows) else cover.BUDGET

    def pick(self, seed: str) -> RandomPick:
        """A generator of further choices about one case of a clause."""
        return RandomPick(seed, self.dtype, self._budget)

    def classes(self) -> list[tuple[str | None, ...]]:
        """The classes of the problems of the list, as far as clauses may try them."""
        return [classes_of(self.problem(index)[0]) for index in range(self.whole)]

    def fingerprint(self) -> str:
        """SHA-256 of the problems of the list, as far as clauses may try them."""
        whole = hashlib.sha256()
        for index in range(self.whole):
            whole.update(digest(self.problem(index)[0]))
        return whole.hexdigest()
