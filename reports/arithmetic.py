"""The arithmetic of each backend as a table: what was found of every operation in every dtype."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .grade import Grade, alike, where
from .record import BackendInfo


@dataclass
class Short:
    """What falls short of its declaration, told once for all that it holds of."""

    where: str
    found: str


@dataclass
class Graded:
    """A backend's grades: for each operation one for each dtype, None where there is none."""

    name: str
    dtypes: list[str]
    rows: list[tuple[str, list[Grade | None]]]
    short: list[Short]


def by_backend(grades: Iterable[Grade], backends: Iterable[BackendInfo]) -> list[Graded]:
    """In the order of the backends; those without a grade are left out."""
    made = list(grades)
    found = []
    for backend in backends:
        mine = {(one.op, one.dtype): one for one in made if one.backend == backend.key}
        dtypes = list(dict.fromkeys(dtype for _, dtype in mine))
        rows = [(op, [mine.get((op, dtype)) for dtype in dtypes]) for op in dict.fromkeys(op for op, _ in mine)]
        short = [Short(where(those), said) for _, said, those in alike(mine.values())]
        if mine:
            found.append(Graded(backend.name, dtypes, rows, short))
    return found
