"""The figures of a grade, as cells of tables and as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress

import msgspec

from convspec.conformance.session import environment

from .record import Grade

SCHEMA = "convspec-grades/1"

HEADINGS = ("inputs", "products", "sums", "radius", "variance", "output", "subnormals", "0 x inf")


@dataclass(frozen=True)
class Graded:
    """A backend as it was typed, and its grades."""

    backend: str
    version: str
    device: str
    grades: list[Grade]


class Grades(msgspec.Struct, kw_only=True):
    """All that was found, for machines."""

    schema: str = SCHEMA
    environment: dict[str, str]
    backends: list[Graded]


def data(done: list[Graded]) -> str:
    """In JSON: a `Grades`."""
    made = msgspec.json.encode(Grades(environment=environment(), backends=done))
    return msgspec.json.format(made, indent=2).decode() + "\n"


def cells(made: Grade) -> Iterator[str]:
    """One figure after the other, in the order of the headings; empty where there is none."""
    for number in (made.input_bits, made.product_bits, made.accumulator_bits, made.radius):
        yield "" if number is None else str(number)
    yield " ".join(part for part in (made.variance, made.statistics) if part)
    yield made.output_form
    yield made.flush
    yield made.zeros_told


def table(graded: Graded) -> Iterator[str]:
    """In Markdown: a row for each operation and dtype that has figures, a column for each figure that any has."""
    rows = [(made, list(cells(made))) for made in graded.grades]
    rows = [(made, row) for made, row in rows if any(row)]
    if not rows:
        return
    some = [any(column) for column in zip(*(row for _, row in rows), strict=True)]
    yield f"| operation | dtype | {' | '.join(compress(HEADINGS, some))} |"
    yield f"|---|---|{'---|' * sum(some)}"
    yield from (f"| {made.op} | {made.dtype} | {' | '.join(compress(row, some))} |" for made, row in rows)
