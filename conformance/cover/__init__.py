"""The stored rows: parameters that together hold every pair of classes of an operation, and every triple.

A row is the list of the choices from which a problem is drawn, without those that make values. The rows of an operation
are in `<operation>.json`, made by `python -m convspec.conformance.cover`; the first of them hold every class and every
pair that its rules allow, all of them every triple that was ever met. Where there is no file there are no rows.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from convspec.reference import Op
from convspec.reference.features import classes_of
from convspec.reference.pick import RowPick

HERE = Path(__file__).parent
FLOAT32 = np.dtype(np.float32)

# The multiplications that the problem of a row may take, in every profile and dtype, so that it has the same sizes.
BUDGET = 20_000


class Rows(msgspec.Struct, kw_only=True):
    """What a file holds."""

    op: str
    pairs: int = 0  # so many rows, the first, hold every pair
    problems: str = ""  # SHA-256 of the classes that they had when they were made
    unmet: list[str] = []  # triples that the rules may allow and that no draw has had
    rows: list[str] = []  # choices, with blanks between them


@cache
def stored(name: str) -> Rows:
    """The rows of the operation of this name."""
    path = HERE / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=Rows) if path.is_file() else Rows(op=name)


@cache
def rows_of(name: str, triples: bool) -> tuple[tuple[int, ...], ...]:
    """The choices of the rows that hold every pair, or every triple."""
    found = stored(name)
    kept = found.rows if triples else found.rows[: found.pairs]
    return tuple(tuple(int(choice) for choice in row.split()) for row in kept)


def problem_of(
    op: type[Op],
    row: tuple[int, ...],
    dtype: np.dtype[Any] = FLOAT32,
    seed: str = "",
    kinds: tuple[str, ...] = (),
) -> tuple[Op, RowPick]:
    """A problem with the parameters of a row and data of these kinds, or of any, and what it was drawn with."""
    pick = RowPick(row, seed, dtype, BUDGET, kinds)
    return op.draw(pick), pick


def fingerprint(op: type[Op]) -> str:
    """SHA-256 of the classes of the problems that the stored rows make now, of those that do not follow from values."""
    whole = hashlib.sha256(repr([(f.name, f.classes, f.alone) for f in op.features]).encode())
    for row in rows_of(op.name, True):
        problem, pick = problem_of(op, row)
        classes = [one for feature, one in zip(op.features, classes_of(problem), strict=True) if not feature.formats]
        whole.update(repr((classes, pick.made, problem.summary())).encode())
    return whole.hexdigest()
