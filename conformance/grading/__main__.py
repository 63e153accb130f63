"""`python -m convspec.conformance.grading BACKEND`, or `convspec grade BACKEND`: a table of grades."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import compress
from pathlib import Path
from typing import NoReturn

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from convspec.adapters import Backend, CannotLoad, load_apart
from convspec.reference import OPS
from convspec.reference.rounding import FORMATS

from .grade import grade
from .page import Graded, page
from .record import Grade

NAMES = tuple(op.name for op in OPS)
HEADINGS = (
    "operation",
    "dtype",
    "grade",
    "inputs",
    "products",
    "sums",
    "radius",
    "norm",
    "subnormals",
    "0 x inf",
    "found",
)
WIDTH = 150  # below it, nothing is left of the last column


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("backends", metavar="BACKEND...", nargs=-1, required=True)
@click.option("--op", "ops", multiple=True, type=click.Choice(NAMES), metavar="OP", help="An operation; repeatable.")
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(tuple(FORMATS)), help="A dtype; repeatable.")
@click.option("--isolate", type=click.Choice(("auto", "process", "none")), default="auto", show_default=True)
@click.option("--write", type=click.Path(dir_okay=False, path_type=Path), help="A page in Markdown, and no table.")
def main(
    backends: tuple[str, ...], ops: tuple[str, ...], dtypes: tuple[str, ...], isolate: str, write: Path | None
) -> None:
    """Grade what BACKEND computes: found by probes from outside, compared with what it declares.

    Exits 1 where less was found than is declared, 4 where a backend cannot be loaded or has nothing to grade.
    """
    if write is not None and not write.parent.is_dir():
        _refuse(f"--write: there is no folder {write.parent}")
    done = []
    for spec in backends:
        try:
            under_test = load_apart(spec, isolate)
        except CannotLoad as error:
            _refuse(str(error))
        try:
            grades = list(_grades(under_test, ops, dtypes))
        finally:
            under_test.close()
        if not grades:
            _refuse(f"{spec}: has none of these operations in these dtypes; it has {' '.join(under_test.dtypes)}")
        done.append(Graded(spec, under_test.version, under_test.device, grades))
        if write is None:
            _show(done[-1], heading=len(backends) > 1)
    if write is not None:
        write.write_text(page(done))
        click.echo(write)
    sys.exit(1 if any(made.falls_short for each in done for made in each.grades) else 0)


def _refuse(why: str) -> NoReturn:
    click.echo(f"error: {why}", err=True)
    sys.exit(4)


def _grades(backend: Backend, ops: tuple[str, ...], dtypes: tuple[str, ...]) -> Iterator[Grade]:
    """One after the other, of what was asked for and the backend has."""
    for op in OPS:
        for dtype in backend.dtypes:
            if (not ops or op.name in ops) and (not dtypes or dtype in dtypes) and backend.offers(op.name):
                yield grade(backend, op, dtype)


def _show(graded: Graded, heading: bool) -> None:
    """A table of the columns that have anything in them."""
    rows = [list(_row(made)) for made in graded.grades]
    some = [any(cells) for cells in zip(*rows, strict=True)]
    table = Table(box=box.SIMPLE, title=escape(f"{graded.backend} {graded.version}") if heading else None)
    for name in compress(HEADINGS, some):
        table.add_column(name, no_wrap=name != HEADINGS[-1], overflow="fold")
    for made, cells in zip(graded.grades, rows, strict=True):
        table.add_row(*map(escape, compress(cells, some)), style=None if made.agrees else "bold")
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(table)


def _row(made: Grade) -> Iterator[str]:
    """One cell after the other; empty where there is nothing to say."""
    yield made.op
    yield made.dtype
    yield made.grade
    for number in (made.input_bits, made.product_bits, made.accumulator_bits, made.radius):
        yield "" if number is None else str(number)
    yield " ".join(part for part in (made.variance, made.output_form, made.statistics) if part)
    yield made.flush
    yield made.zeros_told
    yield "; ".join([made.found, *(note for note in made.notes if note not in made.found)])


if __name__ == "__main__":
    main()
