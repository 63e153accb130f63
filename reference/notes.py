"""What a page about an operation tells beside its class: formulas in LaTeX, and what libraries do where they differ.

One file per operation in `notes/`, named like the operation. The versions that they speak of are in `libraries.toml`.
"""

from __future__ import annotations

import importlib
import inspect
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from .op import Op


@dataclass(frozen=True)
class Difference:
    """A question that libraries answer differently: the answer here, and theirs as (libraries, answer)."""

    question: str
    ours: str
    libraries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Notes:
    """formula, size: LaTeX, "" where there is none. where: what the symbols of the formula mean beyond the usual.
    bound: the functions and modules of the reference whose docstrings derive the bound."""

    formula: str = ""
    size: str = ""
    where: str = ""
    bound: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()


def notes_of(op: type[Op] | str) -> Notes:
    """The notes on an operation; empty ones where there is no file."""
    file = resources.files(__package__).joinpath("notes", f"{op if isinstance(op, str) else op.name}.toml")
    if not file.is_file():
        return Notes()
    read = tomllib.loads(file.read_text("utf-8"))
    differences = tuple(
        Difference(d["question"], d["ours"], tuple((who, what) for who, what in d["libraries"]))
        for d in read.pop("differences", ())
    )
    bound = tuple(read.pop("bound", ()))
    return Notes(**{key: str(text).strip() for key, text in read.items()}, bound=bound, differences=differences)


def noted() -> tuple[str, ...]:
    """The names of the operations that there are notes on."""
    files = resources.files(__package__).joinpath("notes").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def versions() -> dict[str, str]:
    """The libraries that the notes speak of: their versions, and whether they were run or read."""
    table = tomllib.loads(resources.files(__package__).joinpath("libraries.toml").read_text("utf-8"))
    return {str(name): str(version) for name, version in table["versions"].items()}


def derivation(name: str) -> str:
    """The docstring of `module` or of `module.function` of the reference. Raises LookupError where there is none."""
    module, *path = name.split(".")
    try:
        found: Any = importlib.import_module(f"{__package__}.{module}")
        for part in path:
            found = getattr(found, part)
    except (ImportError, AttributeError):
        found = None
    text = inspect.getdoc(found) if found is not None else None
    if not text:
        raise LookupError(f"the reference has no docstring {name}")
    return text
