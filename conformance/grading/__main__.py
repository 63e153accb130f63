"""`python -m convspec.conformance.grading BACKEND`: a table of grades."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from rich import box
from rich.console import Console
from rich.table import Table

from convspec.adapters import CannotLoad, load_apart
from convspec.reference import OPS
from convspec.reference.rounding import FORMATS

from .grade import grade
from .record import Grade

NAMES = tuple(op.name for op in OPS)
HEADINGS = ("operation", "dtype", "grade", "inputs", "products", "sums", "radius", "norm", "subnormals", "found")


@click.command()
@click.argument("backend")
@click.option("--op", "ops", multiple=True, type=click.Choice(NAMES), metavar="OP", help="An operation; repeatable.")
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(tuple(FORMATS)), help="A dtype; repeatable.")
@click.option("--isolate", type=click.Choice(("auto", "process", "none")), default="auto", show_default=True)
def main(backend: str, ops: tuple[str, ...], dtypes: tuple[str, ...], isolate: str) -> None:
    """Grade what BACKEND computes: found by probes from outside, compared with what it declares.

    Exits 1 where less was found than is declared, 4 where the backend cannot be loaded.
    """
    try:
        under_test = load_apart(backend, isolate)
    except CannotLoad as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(4)
    table = Table(box=box.SIMPLE)
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    short = False
    try:
        for op in OPS:
            for dtype in under_test.dtypes:
                if (ops and op.name not in ops) or (dtypes and dtype not in dtypes) or not under_test.offers(op.name):
                    continue
                made = grade(under_test, op, dtype)
                short |= not made.agrees and made.grade != "-"
                table.add_row(*_row(made), style=None if made.agrees else "bold")
    finally:
        under_test.close()
    Console().print(table)
    sys.exit(1 if short else 0)


def _row(made: Grade) -> Iterator[str]:
    """One cell after the other; empty where there is nothing to say."""
    yield made.op
    yield made.dtype
    yield made.grade
    for number in (made.input_bits, made.product_bits, made.accumulator_bits, made.radius):
        yield "" if number is None else str(number)
    yield " ".join(part for part in (made.variance, made.output_form, made.statistics) if part)
    yield made.flush
    yield "; ".join([made.found, *(note for note in made.notes if note not in made.found)])


if __name__ == "__main__":
    main()
