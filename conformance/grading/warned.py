"""What the cells of a run add to its grades: errors far larger than a model of rounding makes them."""

from __future__ import annotations

from collections.abc import Iterable

from convspec.reports.record import Cell, warning_of

from .drawn import ALWAYS
from .record import Grade


def remark_warnings(grades: Iterable[Grade], cells: Iterable[Cell]) -> None:
    """X and A become A-, with the warning of the clause that saw the largest errors: it changes no verdict, and no
    grade that is less already, and says nothing about what is declared."""
    worst: dict[tuple[str, str, str], Cell] = {}
    for cell in cells:
        key = cell.backend, cell.op, cell.dtype
        if warning_of(cell) and (key not in worst or float(cell.rms or 0) > float(worst[key].rms or 0)):
            worst[key] = cell
    for made in grades:
        warned = worst.get((made.backend, made.op, made.dtype))
        if warned is None:
            continue
        if made.grade in ("X", "A"):
            made.grade = "A-"
            made.found = f"{made.found.replace(ALWAYS, '')}; in {warned.clause} {warning_of(warned)}"
        else:
            made.notes.append(f"{warned.clause}: {warning_of(warned)}")
