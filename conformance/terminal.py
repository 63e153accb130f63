"""What the terminal says: what is run, a table of verdicts, and each failure by its smallest case."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from convspec.reports.grade import alike, where
from convspec.reports.record import Cell, warning_of
from convspec.reports.status import worst_status
from convspec.reports.text import ratio_text, variant

from .session import Session

SHOWN = 10  # failures told at most; the page has them all


def header(session: Session) -> list[str]:
    """The lines under pytest's own header."""
    settings = session.options.settings
    version = session.engine.__module__.split(".")[0]
    lines = [f"{version}: profile {settings.profile.name} ({settings.examples} cases per clause), seed {settings.seed}"]
    for b in session.backends:
        relaxed = f" · arithmetic declared: {b.relaxed}" if b.relaxed else ""
        named = f"{b.name} {b.version}".strip()
        lines.append(
            f"  {b.key}: {named} · {b.device} · {' '.join(session.dtypes_of(b))} · "
            f"{_count(len(b.operations), 'operation')}{f' · {b.place}' if b.place else ''}{relaxed}"
        )
        lines += [f"  warning: {line}" for line in b.warnings]
    return lines


def summarise(session: Session, terminal: Any) -> None:
    """The table, the failures, where the time went, where the page is."""
    cells = session.cells
    terminal.section("conformance")
    if len(cells) < session.planned:
        terminal.write_line(f"INCOMPLETE: {len(cells)} of {session.planned} cells were run")
    for line in _table(session, cells):
        terminal.write_line(line)
    told = _failures(session, cells)
    for lines in told[:SHOWN]:
        terminal.write_line("")
        for line in lines:
            terminal.write_line(line)
    if len(told) > SHOWN:
        terminal.write_line(f"\n{len(told) - SHOWN} more groups of failures are on the page")
    for line in _arithmetic(session):
        terminal.write_line(line)
    for line in _notes(cells):
        terminal.write_line(line)
    terminal.write_line("")
    for line in _lacking(session):
        terminal.write_line(line)
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in session.stages.items())
    terminal.write_line(f"time     {stages}")
    if session.report is not None:
        size = session.report.stat().st_size / 1e6
        terminal.write_line(f"report   {_shown(session.report)}  ({size:.1f} MB, works offline)")


def _arithmetic(session: Session) -> list[str]:
    """What was found of the arithmetic, where that was asked for: what falls short of its declaration, once for all
    that it holds of; else one line."""
    if not session.grades:
        return []
    short = alike(session.grades)
    told = [f"GRADE {backend}  {where(those)}: {found}" for backend, found, those in short]
    known = sum(made.grade != "-" for made in session.grades)
    fine = known - sum(len(those) for _, _, those in short)
    return ["", *told, f"grades   {fine} of {known} as declared: an operation in a dtype on a backend each"]


def _table(session: Session, cells: list[Cell]) -> list[str]:
    """One row per backend. The unit is the clause; a clause's dtypes are variants of it, the worst one counts."""
    wide = max(len(b.key) for b in session.backends)
    head = "clauses  pass  thin  fail  crash  deviates  unsupported  not run   cases  worst error / bound"
    rows = [f"{'backend':{wide}}  {head}"]
    for b in session.backends:
        mine = [c for c in cells if c.backend == b.key]
        by_clause: dict[str, list[str]] = defaultdict(list)
        for c in mine:
            by_clause[c.clause].append(c.status)
        count: dict[str, int] = defaultdict(int)
        for statuses in by_clause.values():
            count[worst_status(statuses).word] += 1
        worst = max((c for c in mine if isinstance(c.worst, float)), key=lambda c: float(c.worst or 0), default=None)
        ratio = f"{ratio_text(float(worst.worst or 0))}  {worst.op} {worst.dtype}" if worst is not None else "-"
        cases = sum(c.cases.executed for c in mine)
        failed, lost = count["fail"] + count["error"], count["crash"] + count["timeout"]
        deviates = count["deviation"] + count["fixed"]
        rows.append(
            f"{b.key:{wide}}  {len(by_clause):7}  {count['pass']:4}  {count['thin']:4}  {failed:4}  {lost:5}  "
            f"{deviates:8}  {count['unsupported']:11}  {count['not run']:7}  {cases:6}  {ratio}"
        )
    return [*rows, *(f"{b.key}: arithmetic declared: {b.relaxed}" for b in session.backends if b.relaxed)]


def _failures(session: Session, cells: list[Cell]) -> list[list[str]]:
    """Failures grouped by backend and operation, wrong answers apart from invalid problems that were accepted: the
    first clause in full, the others by name."""
    items = {item.clause.name: (k, item.clause) for k, item in enumerate(session.items())}
    groups: dict[tuple[str, str, str, bool], list[Cell]] = defaultdict(list)
    for c in sorted((c for c in cells if c.status in ("fail", "crash", "timeout")), key=lambda c: items[c.clause][0]):
        groups[c.status, c.backend, c.op, items[c.clause][1].kind == "rule"].append(c)
    told = []
    for (status, backend, op, accepts), group in groups.items():
        first = group[0]
        failure = session.failures.get(first.failure)
        failed = f"{first.cases.failed} of {first.cases.executed} cases"
        of = variant(first.dtype, first.arithmetic)
        lines = [f"{status.upper():5} {backend}  {first.clause}  [{of}]  {failed}"]
        if failure is not None:
            lines += [f"      {failure.summary}", f"      {failure.message}"]
            lines += [f"      {failure.note}"] if failure.note else []
            lines.append(f"      python {_shown(session.folder.path / failure.script)}")
        others = list(dict.fromkeys(c.clause.split(".")[1] for c in group if c.clause != first.clause))
        if others:
            named = ", ".join(others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
            what = "more rule" if accepts else "more clause"
            lines.append(f"      {_count(len(others), what)} of {op}: {named}")
        told.append(lines)
    for c in cells:
        if c.status == "error":
            of = variant(c.dtype, c.arithmetic)
            told.insert(0, [f"ERROR {c.backend}  {c.clause}  [{of}]: the suite itself failed", *c.reason.splitlines()])
    return told


def _notes(cells: list[Cell]) -> list[str]:
    """Known deviations, and those that are gone; errors that are far larger than a model of rounding makes them."""
    lines = []
    for status, word in (("deviation", "DEVIATES"), ("fixed", "FIXED")):
        seen: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
        for c in cells:
            if c.status == status:
                seen[c.backend, c.clause, c.arithmetic, c.reason].append(c.dtype)
        for (backend, clause, arithmetic, reason), dtypes in seen.items():
            lines.append(f"{word}  {backend}  {clause}  [{variant(', '.join(dtypes), arithmetic)}]: {reason}")
    warned = [(c, warning_of(c)) for c in cells if warning_of(c)]
    lines += [f"warning  {c.backend} {c.op} {variant(c.dtype, c.arithmetic)}: {warning}" for c, warning in warned]
    return ["", *lines] if lines else []


def _lacking(session: Session) -> list[str]:
    """One line, if classes or pairs of classes were not drawn that the rules allow."""
    lacking = {f"{d.op} {d.dtype}": len(d.unmet) + len(d.unmet_pairs) for d in session.drawn}
    lacking = {name: count for name, count in lacking.items() if count}
    if not lacking:
        return []
    worst = sorted(lacking, key=lambda name: -lacking[name])[:3]
    named = ", ".join(f"{name} {lacking[name]}" for name in worst) + (", ..." if len(lacking) > 3 else "")
    return [f"drawn    {sum(lacking.values())} classes and pairs that the rules allow were not: {named}"]


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def _shown(path: Path) -> str:
    """Relative to the current folder where that is shorter."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)
