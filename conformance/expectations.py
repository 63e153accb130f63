"""Known deviations: what a backend is expected to get wrong, declared before the run.

A TOML file, one table of entries per clause::

    [["conv2d.no_channels"]]
    reason = "returns no channels instead of K"          # required
    when = "x.shape[1] == 0"                             # optional: a condition on the failing problem
    case = "Conv2d(x=np.zeros((1, 0, 1, 1), ...), ...)"  # the smallest case known
    issue = "https://..."                                # optional

A failure that an entry explains is a `deviation` and does not fail the run; a failure of the same clause that none
explains does. An entry whose clause passes on at least 100 cases is reported as `fixed`.
"""

from __future__ import annotations

import ast
import difflib
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import CodeType
from typing import Any

from convspec.reference import SPECIFIED, Op

from .checks import all_clauses

FIELDS = {"reason", "when", "case", "issue", "dtype"}
ENOUGH_TO_BE_FIXED = 100


class BadExpectations(Exception):
    """A file of expectations that cannot be used: one line that says why."""


@dataclass(frozen=True)
class Expectation:
    """One known deviation of one backend from one clause."""

    clause: str
    reason: str
    case: str
    issue: str
    condition: CodeType | None

    def explains(self, clause: str, problem: Op) -> bool:
        """Is a failure of this clause on this problem the one that is expected?"""
        if clause != self.clause:
            return False
        if self.condition is None:
            return True
        names: dict[str, Any] = {**vars(problem), **CALLED, "dtype": str(problem.dtype)}
        try:
            return bool(eval(self.condition, {"__builtins__": IMPORT, **names}))
        except Exception:  # an array that is absent, say
            return False


# What a condition may call, besides the methods of arrays; these import what they need when they are first called.
CALLED = {"max": max, "min": min, "abs": abs, "any": any, "all": all, "sum": sum, "len": len}
IMPORT = {"__import__": __import__}


def expectations_for(backend: str, file: Path | None) -> list[Expectation]:
    """What is expected of a backend: the file given, else expectations/<backend>.toml here, else what ships with us."""
    name = backend.split("[")[0]
    if file is not None:
        return _read(file.name, _text(file))
    local = Path("expectations") / f"{Path(name).name}.toml"
    if local.is_file():
        return _read(str(local), _text(local))
    shipped = resources.files("convspec.conformance").joinpath(f"deviations-{name}.toml")
    return _read(shipped.name, shipped.read_text()) if name.isidentifier() and shipped.is_file() else []


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise BadExpectations(f"--expect: cannot read {file}: {error.strerror}") from error


def _read(name: str, text: str) -> list[Expectation]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadExpectations(f"{name}: not TOML: {error}") from error
    known = [c.name for c in all_clauses()]
    found = []
    for clause, entries in tables.items():
        if clause not in known:
            near = difflib.get_close_matches(clause, known, n=1)
            raise BadExpectations(f"{name}: no clause {clause!r}" + (f"; did you mean {near[0]}?" if near else ""))
        if not isinstance(entries, list):
            raise BadExpectations(f'{name}: write [["{clause}"]] with two brackets')
        found += [_entry(name, clause, entry) for entry in entries]
    return found


def _entry(name: str, clause: str, entry: dict[str, str]) -> Expectation:
    unknown = sorted(set(entry) - FIELDS)
    if unknown:
        raise BadExpectations(f"{name}: {clause}: unknown field {unknown[0]!r}; known are {', '.join(sorted(FIELDS))}")
    if not entry.get("reason"):
        raise BadExpectations(f"{name}: {clause}: a reason is required")
    conditions = [f"({entry['when']})"] if "when" in entry else []
    conditions += [f"dtype == {entry['dtype']!r}"] if "dtype" in entry else []
    try:
        code = compile(" and ".join(conditions), f"{name}: {clause}", "eval") if conditions else None
        strangers = _names(" and ".join(conditions)) - {*_fields(clause), *CALLED, "dtype"} if conditions else set()
    except SyntaxError as error:
        raise BadExpectations(f"{name}: {clause}: when is not an expression: {entry['when']}") from error
    if strangers:
        known = ", ".join((*_fields(clause), "dtype", *CALLED))
        raise BadExpectations(f"{name}: {clause}: when speaks of {sorted(strangers)[0]!r}; known are {known}")
    return Expectation(clause, entry["reason"], entry.get("case", ""), entry.get("issue", ""), code)


def _names(expression: str) -> set[str]:
    """The names that an expression reads and does not make itself."""
    nodes = [node for node in ast.walk(ast.parse(expression, mode="eval")) if isinstance(node, ast.Name)]
    made = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    return {node.id for node in nodes} - made


def _fields(clause: str) -> tuple[str, ...]:
    """The fields of the operation that a clause is about."""
    return next(op.field_names() for op in SPECIFIED if op.name == clause.split(".")[0])
