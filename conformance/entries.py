"""The specification as it is read: fields and their meaning, what breaks a rule, examples, what answers a label."""

from __future__ import annotations

import ast
import dataclasses
import fnmatch
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import SPECIFIED, Clause, Op
from convspec.reference.lecture import labels, sources
from convspec.reference.pick import Pick, RandomPick, ReplayPick

from .checks import all_clauses

KINDS = ("check", "rule", "law", "example", "edge")
MOST_SHOWN = 100  # elements of an array that is shown
BUDGET = 10_000  # multiplications of a problem drawn to be shown


@dataclass(frozen=True)
class Field:
    """A field of a problem. default: as Python writes it, "" where it must be given."""

    name: str
    kind: str
    default: str
    meaning: str


def fields_of(op: type[Op]) -> tuple[Field, ...]:
    """The fields in their order, with the comment that stands beside each in its class."""
    comments: dict[str, str] = {}
    for home in reversed(op.__mro__):
        if issubclass(home, Op) and home is not Op:
            comments |= dict(_comments(home))
    found = []
    for field in dataclasses.fields(op):  # type: ignore[arg-type]
        shape, meaning = _parted(comments.get(field.name, ""))
        default = "" if field.default is dataclasses.MISSING else repr(field.default)
        found.append(Field(field.name, _kind(str(field.type), shape), default, meaning))
    return tuple(found)


def _comments(home: type) -> Iterator[tuple[str, str]]:
    source = textwrap.dedent(inspect.getsource(home))
    lines = source.splitlines()
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.end_lineno:
            rest = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
            yield node.target.id, rest.partition("#")[2].strip()


def _parted(comment: str) -> tuple[str, str]:
    """(shape, meaning) of `(N, C, H, W) images`; a shape is what stands in brackets, or has no blank."""
    if comment.startswith("("):
        depth = 0
        for at, letter in enumerate(comment):
            depth += (letter == "(") - (letter == ")")
            if depth == 0:
                return comment[: at + 1], comment[at + 1 :].strip()
    first, _, rest = comment.partition(", ")
    return (first, rest) if "." in first and " " not in first else ("", comment)


def _kind(annotation: str, shape: str) -> str:
    optional = " or None" if "None" in annotation else ""
    sort = annotation.replace(" | None", "")
    if shape:
        return shape + optional
    return {"Tensor": "array", "Pair": "pair", "int": "whole number", "float": "number", "bool": "flag"}.get(
        sort, sort
    ) + optional


def named(pattern: str) -> tuple[Clause, ...]:
    """The clauses whose name is this, or fits it as a shell pattern."""
    return tuple(c for c in all_clauses() if fnmatch.fnmatchcase(c.name, pattern))


def op_of(clause: Clause) -> type[Op]:
    return next(op for op in SPECIFIED if op.name == clause.op)


def breaking(clause: Clause) -> str:
    """One line on a problem that breaks this rule, as few others as possible, and is small; "" if none was drawn."""
    best: tuple[int, str] | None = None
    for problem in _broken(clause):
        broken = problem.broken_rules()
        if clause.name.split(".")[1] in broken:
            found = problem.elements() + 50 * (len(broken) - 1), problem.summary()
            best = min(best or found, found)
    return best[1] if best else ""


def _broken(clause: Clause) -> Iterator[Any]:
    dtype = np.dtype(np.float32)
    picks: list[Pick] = [ReplayPick([], dtype, BUDGET)]
    picks += [RandomPick(f"{clause.name} {number}", dtype, BUDGET) for number in range(12)]
    for pick in picks:
        if clause.broken:
            yield clause.broken(op_of(clause).draw(pick), pick)


def worked(clause: Clause) -> list[tuple[Any, Any]]:
    """The problems of a worked example, in float64, each with the outputs that must come back."""
    return list(clause.enforce(np.dtype(np.float64)))


@cache
def answers() -> dict[str, tuple[Clause, ...]]:
    """For each label, item and reading: the clauses that answer it."""
    found: dict[str, list[Clause]] = {}
    by_name = {clause.name: clause for clause in all_clauses()}
    for clause in by_name.values():
        for name in sources(clause):
            found.setdefault(name, []).append(clause)
    for name, label in labels().items():
        also = [by_name[other] for other in label.by if other in by_name]
        found[name] = [*found.get(name, []), *(c for c in also if c not in found.get(name, []))]
    return {name: tuple(clauses) for name, clauses in found.items() if clauses}


@dataclass(frozen=True)
class Answer:
    """What a row of the coverage has come to: clauses, equations, and lines that say why there is nothing more."""

    clauses: tuple[Clause, ...]
    sums: tuple[str, ...]
    told: tuple[str, ...]


def answer(name: str, of: Iterable[str], operations: tuple[str, ...] = (), why: str = "") -> Answer:
    """The answer to an item or label: clauses that name it or one of its labels, of these operations where there are
    such, and what the labels tell beside clauses."""
    known, answered = labels(), answers()
    wanted = list(dict.fromkeys([name, *of]))
    clauses = {c.name: c for one in wanted for c in answered.get(one, ())}
    narrowed = tuple(c for c in clauses.values() if c.op in operations) or tuple(clauses.values())
    sums = tuple(s for one in of for s in known[one].sums)
    told = [f"{one}: {known[one].why}" if one != name else known[one].why for one in of if known[one].why]
    coming = [f"{one}: coming" if one != name else "coming" for one in of if one in pending()]
    return Answer(narrowed, sums, (*told, *coming, *filter(None, [why])))


@cache
def pending() -> tuple[str, ...]:
    """The labels that no clause answers, no equation, and no reason why not."""
    answered = answers()
    return tuple(n for n, label in labels().items() if n not in answered and not label.sums and not label.why)


def shown(clause: Clause) -> Iterator[str]:
    """The problems of a worked example: what differs from the one before, and what must come back."""
    before: dict[str, Any] = {}
    for count, (problem, expected) in enumerate(worked(clause)):
        if count:
            yield ""
        yield problem.summary().rsplit(" ", 1)[0]
        for name, array in problem.arrays().items():
            if name not in before or not _same(before[name], array):
                yield from _array(name, array)
        before = problem.arrays()
        several = expected if isinstance(expected, tuple) else (expected,)
        for name, array in zip(problem.outputs, several, strict=False):
            if array is not None:
                yield from _array(f"gives {name}", array)


def _same(one: Any, other: Any) -> bool:
    return np.shape(one) == np.shape(other) and bool(np.array_equal(one, other, equal_nan=True))


def _array(name: str, array: Any) -> Iterator[str]:
    seen = np.asarray(array, np.float64)
    if seen.size > MOST_SHOWN:
        yield f"{name} {seen.shape}: {seen.size} elements"
    elif np.size(seen) and seen.size == np.prod(seen.shape[-1:]):
        yield f"{name}: " + " ".join(map(number, seen.ravel().tolist()))
    else:
        yield f"{name}:"
        yield from matrix(seen)


def matrix(array: npt.NDArray[Any]) -> Iterator[str]:
    """An array as rows of numbers in columns; the leading indices stand above each matrix where there are several."""
    seen = np.asarray(array)
    if seen.ndim < 2:
        seen = seen.reshape(1, -1)
    texts = np.array([number(v) for v in seen.ravel().tolist()], object).reshape(seen.shape)
    width = max((len(t) for t in texts.ravel()), default=0)
    for index in np.ndindex(*seen.shape[:-2]):
        if np.prod(seen.shape[:-2]) > 1:
            yield f"[{', '.join(map(str, index))}]"
        for row in texts[index]:
            yield "  " + " ".join(t.rjust(width) for t in row)


def number(value: Any) -> str:
    """Six significant digits, and a sign for minus zero."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def counts(clauses: Iterable[Clause]) -> dict[str, int]:
    """How many clauses there are of each kind."""
    of_kind = [clause.kind for clause in clauses]
    return {kind: of_kind.count(kind) for kind in KINDS}
