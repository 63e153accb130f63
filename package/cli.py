"""The convspec command: run the suite from anywhere, look at what there is, render a run again."""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

USAGE = 4  # the exit code of pytest for a command line that cannot be used


class _OneLine(click.Group):
    """A wrong command line is told in one line, with exit code 4, as the suite does under pytest."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **(kwargs | {"standalone_mode": False}))
        except click.exceptions.Abort:
            sys.exit(2)
        except click.ClickException as error:
            click.echo(f"convspec: {error.format_message()}", err=True)
            sys.exit(USAGE)


@click.group(cls=_OneLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="convspec")
def main() -> None:
    """Check kernels for convolutional networks against their specification."""


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(arguments: tuple[str, ...]) -> None:
    """Run the suite: the options of `pytest conformance/`, isolated from the current folder's configuration."""
    import pytest

    with resources.as_file(resources.files("convspec.conformance").joinpath("isolated.ini")) as config:
        isolated = [
            "-c",
            str(config),
            "--rootdir",
            str(Path.cwd()),
            "--noconftest",
            "-p",
            "convspec.conformance.plugin",
        ]
        sys.exit(pytest.main([*isolated, "--pyargs", "convspec.conformance", *arguments]))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Render the page of a run again, also of one that was interrupted or killed."""
    from convspec.reports.page import write_page
    from convspec.reports.record import NotARun
    from convspec.reports.summary import write_summary

    try:
        page = write_page(folder)
        write_summary(folder)
    except NotARun as error:
        raise click.ClickException(str(error)) from error
    click.echo(page)


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def grade(arguments: tuple[str, ...]) -> None:
    """Grade how exactly a backend computes, from outside: BACKEND [--op OP] [--dtype DTYPE]."""
    from convspec.conformance.grading.__main__ import main as table

    table.main(list(arguments), prog_name="convspec grade", standalone_mode=False)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def backends(as_json: bool) -> None:
    """The shipped backends: version, device, arithmetic, dtypes, or why one is not available here."""
    from convspec.adapters import SHIPPED, CannotLoad, load

    rows = []
    for name in SHIPPED:
        try:
            b = load(name)
        except CannotLoad as error:
            rows.append({"name": name, "available": False, "why": str(error)})
            continue
        rows.append(
            {
                "name": name,
                "available": True,
                "version": b.version,
                "device": b.device,
                "arithmetic": b.relaxed or "ieee",
                "dtypes": list(b.dtypes),
                "operations": list(b.operations),
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("backend", "version", "device", "arithmetic", "dtypes", box=None)
    for row in rows:
        if row["available"]:
            table.add_row(*(str(row[k]) for k in ("name", "version", "device", "arithmetic")), " ".join(row["dtypes"]))  # type: ignore[arg-type]
        else:
            table.add_row(str(row["name"]), escape(str(row["why"])))
    Console().print(table)


@main.command()
@click.argument("name", default="")
def spec(name: str) -> None:
    """The text of an operation, of a clause, or of the clauses that fit a pattern; else the table of contents."""
    from convspec.spec_text import Unknown, text

    try:
        click.echo(text(name))
    except Unknown as error:
        raise click.ClickException(str(error)) from error


@main.command()
def env() -> None:
    """What a bug report should say about this machine."""
    from convspec.conformance.session import environment

    for fact, value in environment().items():
        click.echo(f"{fact}: {value}")


if __name__ == "__main__":
    main()
