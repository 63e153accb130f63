"""`python -m convspec.conformance.grading BACKEND`, or `convspec grade BACKEND`: a table of grades."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
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
from convspec.reference.formats import FORMATS

from .figures import HEADINGS as FIGURES
from .figures import Graded, cells, data
from .grade import grade
from .page import page
from .record import Grade

NAMES = tuple(op.name for op in OPS)
HEADINGS = ("operation", "dtype", "grade", *FIGURES, "found")
WIDTH = 150  # below it, nothing is left of the last column
STDOUT = Path("-")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("backends", metavar="BACKEND...", nargs=-1, required=True)
@click.option("--op", "ops", multiple=True, type=click.Choice(NAMES), metavar="OP", help="An operation; repeatable.")
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(tuple(FORMATS)), help="A dtype; repeatable.")
@click.option("--isolate", type=click.Choice(("auto", "process", "none")), default="auto", show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="A page in Markdown, and no table.")
@click.option(
    "--json", "json", type=click.Path(path_type=Path), help="All grades for machines; - is stdout, and no table."
)
def main(
    backends: tuple[str, ...],
    ops: tuple[str, ...],
    dtypes: tuple[str, ...],
    isolate: str,
    write: Path | None,
    json: Path | None,
) -> None:
    """Grade what BACKEND computes: found by probes from outside, compared with what it declares.

    Exits 1 where less was found than is declared, 4 where a backend cannot be loaded or has nothing to grade, or a file
    cannot be written.
    """
    if write is not None:
        _writable("--write", write)
    if json is not None and json != STDOUT:
        _writable("--json", json)
    done = []
    with _apart() if json == STDOUT else nullcontext():
        for spec in backends:
            done.append(_graded(spec, ops, dtypes, isolate))
            if write is None and json != STDOUT:
                _show(done[-1], heading=len(backends) > 1)
    if write is not None:
        _write("--write", write, page(done))
        click.echo(write, err=json == STDOUT)
    if json == STDOUT:
        click.echo(data(done), nl=False)
    elif json is not None:
        _write("--json", json, data(done))
    sys.exit(1 if any(made.falls_short for each in done for made in each.grades) else 0)


def _graded(spec: str, ops: tuple[str, ...], dtypes: tuple[str, ...], isolate: str) -> Graded:
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
    return Graded(spec, under_test.version, under_test.device, grades)


@contextmanager
def _apart() -> Iterator[None]:
    """Whatever a backend prints goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _writable(option: str, path: Path) -> None:
    """Told before anything is graded, as far as that can be known."""
    if not path.parent.is_dir():
        _refuse(f"{option}: there is no folder {path.parent}")
    if path.is_dir():
        _refuse(f"{option}: {path} is a folder")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        _refuse(f"{option}: {path} cannot be written")


def _write(option: str, path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        _refuse(f"{option}: {path} cannot be written: {error.strerror}")


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
    some = [any(column) for column in zip(*rows, strict=True)]
    table = Table(box=box.SIMPLE, title=escape(f"{graded.backend} {graded.version}") if heading else None)
    for name in compress(HEADINGS, some):
        table.add_column(name, no_wrap=name != HEADINGS[-1], overflow="fold")
    for made, row in zip(graded.grades, rows, strict=True):
        table.add_row(*map(escape, compress(row, some)), style=None if made.agrees else "bold")
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(table)


def _row(made: Grade) -> Iterator[str]:
    """One cell after the other; empty where there is nothing to say."""
    yield from (made.op, made.dtype, made.grade)
    yield from cells(made)
    yield "; ".join([made.found, *(note for note in made.notes if note not in made.found)])


if __name__ == "__main__":
    main()
