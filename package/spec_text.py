"""`convspec spec`: the specification in the terminal, as plain text."""

from __future__ import annotations

import difflib
import inspect
import shutil
import textwrap
from collections.abc import Iterable, Iterator

from convspec.conformance import entries
from convspec.conformance.checks import all_clauses, clauses_of
from convspec.reference import SPECIFIED, Clause, Op

HEADINGS = {"check": "Checks", "rule": "Rules", "law": "Laws", "example": "Worked examples", "edge": "Edges"}


class Unknown(LookupError):
    """No operation or clause has this name; the message is one line, with the nearest name."""


def text(name: str) -> str:
    """The table of contents for "", an operation, a clause, or the clauses that a shell pattern fits.

    Raises Unknown.
    """
    if not name:
        return "\n".join(_contents())
    for op in SPECIFIED:
        if name in (op.name, op.__name__):
            return "\n".join(_operation(op))
    found = entries.named(name)
    if len(found) == 1:
        return "\n".join(_clause(found[0]))
    if found:
        return "\n".join([*_list(found), "", f"{len(found)} of {len(all_clauses())} clauses"])
    raise Unknown(_unknown(name))


def _contents() -> Iterator[str]:
    rows = [(op.name, entries.counts(clauses_of(op)), _first_line(op)) for op in SPECIFIED]
    width = max(len(name) for name, _, _ in rows)
    columns = [f"{kind}s" for kind in entries.KINDS]
    yield " ".join([" " * width, "clauses", *columns])
    for name, counts, first in [*rows, ("in all", entries.counts(all_clauses()), "")]:
        numbers = [str(counts[kind]).rjust(len(head)) for kind, head in zip(entries.KINDS, columns, strict=True)]
        room = _columns() - width - 10 - sum(len(head) + 1 for head in columns)
        line = " ".join([name.ljust(width), str(sum(counts.values())).rjust(7), *numbers])
        yield f"{line}  {textwrap.shorten(first, room, placeholder=' ...') if room > 30 else ''}".rstrip()
    yield ""
    yield "convspec spec conv2d, convspec spec conv2d.groups_are_separate, convspec spec 'conv2d.groups_*'"


def _operation(op: type[Op]) -> Iterator[str]:
    clauses = clauses_of(op)
    yield f"{op.name}: {_first_line(op)}"
    yield from (inspect.getdoc(op) or "").splitlines()[1:]
    yield ""
    yield "Fields"
    fields = entries.fields_of(op)
    widths = [max(len(getattr(f, part)) for f in fields) for part in ("name", "kind")]
    for f in fields:
        default = f" = {f.default}" if f.default else ""
        meaning = f"{f.meaning}{default}".strip()
        yield f"  {f.name.ljust(widths[0])}  {f.kind.ljust(widths[1])}  {meaning}".rstrip()
    for kind, heading in HEADINGS.items():
        same = [c for c in clauses if c.kind == kind]
        if same:
            yield ""
            yield f"{heading} ({len(same)})"
            yield from _list(same, inside=True)


def _clause(clause: Clause) -> Iterator[str]:
    yield clause.name
    yield f"{clause.kind}, {clause.level}; source: {clause.source or 'none'}"
    for paragraph in clause.text.split("\n\n"):
        yield ""
        yield textwrap.fill(paragraph, min(_columns(), 100))
    if clause.kind == "rule":
        breaking = entries.breaking(clause)
        if breaking:
            yield ""
            yield f"Breaks it: {breaking}"
    if clause.kind == "example":
        yield ""
        yield from entries.shown(clause)


def _list(clauses: Iterable[Clause], inside: bool = False) -> Iterator[str]:
    """A line or two for each clause: its name, and what it says in short."""
    for c in clauses:
        name = c.name.split(".")[1] if inside else c.name
        tags = [*([] if inside else [c.kind]), *(["strict"] if c.level == "strict" else [])]
        yield f"  {name}{' (' + ', '.join(tags) + ')' if tags else ''}"
        yield textwrap.indent(textwrap.fill(c.title, max(min(_columns(), 100) - 6, 20)), " " * 6)


def _first_line(op: type[Op]) -> str:
    return (inspect.getdoc(op) or "").partition("\n")[0]


def _columns() -> int:
    return shutil.get_terminal_size((120, 24)).columns


def _unknown(name: str) -> str:
    names = [clause.name for clause in all_clauses()] + [op.name for op in SPECIFIED]
    whole = [full for full in names if full.split(".")[-1] == name][:3]  # a clause without its operation
    near = whole or difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    if any(letter in name for letter in "*?["):
        return f"no clause fits {name!r}"
    return f"no operation or clause {name!r}" + (f"; did you mean {', '.join(near)}?" if near else "")
