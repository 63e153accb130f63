"""`make spec`: the specification as Markdown, a page for each operation, an index, and the coverage of the lecture.

    python -m convspec.conformance.spec_pages docs

Everything is generated from the classes and the tables of the reference. The anchor of a clause is its name, here
and in the page of a report.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jinja2

from convspec.reference import SPECIFIED, Clause, Op
from convspec.reference.lecture import Label, items, labels, readings, sources, title
from convspec.reference.notes import derivation, notes_of, versions
from convspec.reference.op import clause_text

from . import entries
from .checks import CHECKS, all_clauses, clauses_of

HERE = Path(__file__).parent
KINDS = {
    "check": "holds for every operation",
    "rule": "what a valid problem obeys; a problem that breaks it must be refused",
    "law": "two sides that must agree",
    "example": "a problem with the outputs that must come back",
    "edge": "a legal problem at a limit of the domain, which must be accepted",
}


def pages() -> dict[str, str]:
    """The text of every page, by its path within the folder of documents."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown; `prose` escapes what is not meant as such
    )
    environment.filters |= {"prose": prose, "cell": cell, "code": code}
    environment.globals |= {"links": links, "sources": sources, "labels": labels(), "KINDS": KINDS}
    page = environment.get_template("spec_page.md.j2")
    texts = {f"spec/{op.name}.md": page.render(_page(op)) for op in SPECIFIED}
    texts["spec/README.md"] = environment.get_template("spec_index.md.j2").render(_index())
    texts["coverage.md"] = environment.get_template("coverage.md.j2").render(_coverage())
    return {path: _tidy(text) for path, text in texts.items()}


def write(folder: Path) -> None:
    """Write the pages, and remove those of operations that are no more."""
    texts = pages()
    (folder / "spec").mkdir(parents=True, exist_ok=True)
    for old in (folder / "spec").glob("*.md"):
        if f"spec/{old.name}" not in texts:
            old.unlink()
    for path, text in texts.items():
        (folder / path).write_text(text, "utf-8")


def _page(op: type[Op]) -> dict[str, Any]:
    notes = notes_of(op)
    clauses = clauses_of(op)
    first, _, rest = (inspect.getdoc(op) or "").partition("\n")
    return {
        "op": op,
        "first": first,
        "rest": list(_paragraphs(rest)),
        "notes": notes,
        "fields": entries.fields_of(op),
        "clauses": {kind: [c for c in clauses if c.kind == kind] for kind in KINDS},
        "breaking": {c.name: entries.breaking(c) for c in clauses if c.kind == "rule"},
        "shown": {c.name: "\n".join(entries.shown(c)) for c in clauses if c.kind == "example"},
        "bounds": [(f"reference.{name}", derivation(name)) for name in notes.bound] or list(_own_bound(op)),
        "exact": op.judgement is Op.judgement and op.judgements is Op.judgements,
        "readings": {n: r for n, r in readings().items() if op.name in r.operations},
    }


def _own_bound(op: type[Op]) -> Iterator[tuple[str, str]]:
    """The derivation that stands in the class itself, if the notes name no other."""
    for method in (op.judgement, op.judgements):
        if method not in (Op.judgement, Op.judgements) and method.__doc__:
            yield f"{method.__module__.removeprefix('convspec.')}.{method.__qualname__}", inspect.getdoc(method) or ""


def _index() -> dict[str, Any]:
    rows = [(op, entries.counts(clauses_of(op)), (inspect.getdoc(op) or "").splitlines()[0]) for op in SPECIFIED]
    checks = [(check.__name__, level, clause_text(check)) for check, level, _ in CHECKS]
    return {"rows": rows, "total": entries.counts(all_clauses()), "checks": checks, "versions": versions()}


def _coverage() -> dict[str, Any]:
    families: dict[str, list[tuple[str, Label]]] = {}
    for name, label in labels().items():
        families.setdefault(re.split(r"\d", name)[0].rstrip("-"), []).append((name, label))
    return {
        "title": title(),
        "items": items(),
        "readings": readings(),
        "answer": entries.answer,
        "families": families,
        "hidden": {n: label for n, label in labels().items() if label.why.startswith("Not exposed")},
    }


def _paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a docstring; an indented one is a formula and stays as it is."""
    for part in filter(None, text.strip("\n").split("\n\n")):
        if part.startswith("    "):
            yield "```text\n" + inspect.cleandoc("\n" + part) + "\n```"
        else:
            yield prose(" ".join(part.split()))


def prose(text: str) -> str:
    """Words of a docstring, with what Markdown would read as marks escaped, outside `code`."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([\\*<>|$~]|(?<!\w)_|_(?!\w))", r"\\\1", p) for p in parts)


def cell(text: str) -> str:
    """Markdown in a cell of a table."""
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def links(clauses: Iterable[Clause], folder: str = "") -> str:
    """Links to clauses; those of one name in several operations are told together."""
    grouped: dict[str, list[Clause]] = {}
    for clause in clauses:
        grouped.setdefault(clause.name.split(".")[1], []).append(clause)
    told = []
    for name, same in grouped.items():
        if len(same) == 1:
            told.append(f"[{same[0].name}]({folder}{same[0].op}.md#{same[0].name})")
        else:
            told.append(f"{name} of " + " ".join(f"[{c.op}]({folder}{c.op}.md#{c.name})" for c in same))
    return "; ".join(told)


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in text.splitlines())).strip() + "\n"


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
