"""The page made of a run folder: one file that works offline, and the same bytes for the same folder.

Everything in a run folder is hostile input: backends name themselves and write their own messages. Text is
escaped, control and bidirectional characters are shown as escapes, and the page's own policy lets nothing
run but the one script whose digest it names.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from convspec.reports.arithmetic import Graded, by_backend
from convspec.reports.drawn import DrawnOp, by_operation
from convspec.reports.failures import Group, grouped
from convspec.reports.growth import GrowthOp, Key, keys, plotted
from convspec.reports.record import (
    BackendInfo,
    Cases,
    Cell,
    ClauseInfo,
    Failure,
    Run,
    RunInfo,
    read_run,
    warning_of,
    write_whole,
)
from convspec.reports.status import BY_WORD, STAGES, STATUSES, Status, status_of, worst_status
from convspec.reports.text import anchor, clause_anchor, ratio_text, seconds_text, value_text, visible
from convspec.reports.verdict import Tally, banners, sentence

HERE = Path(__file__).parent


@dataclass
class Box:
    """One backend's verdict on one clause: a cell of the matrix."""

    status: Status
    executed: int
    drawn: int
    backend: str
    link: str = ""
    warning: str = ""


@dataclass
class Variant:
    """One line of a clause's table: a backend in one dtype."""

    backend: str
    cell: Cell
    status: Status
    ratio: Ratio | None
    link: str
    warning: str = ""


@dataclass
class ClauseRow:
    clause: ClauseInfo
    anchor: str
    boxes: list[Box]
    variants: list[Variant]

    @property
    def failing(self) -> bool:
        return any(box.status.tone == "bad" for box in self.boxes)

    @property
    def differing(self) -> bool:
        """Whether the backends that exercised the clause disagree."""
        seen = {box.status.word for box in self.boxes if box.status.exercised or box.status.word == "error"}
        return len(seen) > 1


@dataclass
class OpRow:
    op: str
    anchor: str
    rows: list[ClauseRow]
    tallies: list[Tally]

    @property
    def eventful(self) -> bool:
        return any(tally.worst.tone in ("bad", "warn") for tally in self.tallies)


@dataclass
class Ratio:
    """The largest error over bound among some cells, and where it was found."""

    value: float
    cell: Cell

    @property
    def text(self) -> str:
        return ratio_text(self.value)

    @property
    def over(self) -> bool:
        return not self.value <= 1

    @property
    def width(self) -> int:
        """Of a bar 120 wide, in which the bound stands at 80."""
        return 120 if not self.value < 1.5 else max(1, round(80 * self.value))

    @property
    def clipped(self) -> bool:
        return not self.value < 1.5


@dataclass
class Card:
    """The verdict on one backend."""

    backend: BackendInfo
    anchor: str
    tone: str
    glyph: str
    sentence: str
    tally: Tally
    worst: Ratio | None


@dataclass
class Warned:
    """A cell whose errors are far from what a model of rounding makes of them, whatever its verdict."""

    backend: str
    cell: Cell
    clause_anchor: str
    warning: str


@dataclass
class Page:
    """What the template and the summary show."""

    info: RunInfo
    banners: list[str]
    backends: list[BackendInfo]
    cards: list[Card]
    ops: list[OpRow]
    groups: list[Group]
    ratios: list[tuple[str, list[Ratio | None]]]
    growth: list[GrowthOp]
    growth_keys: list[Key]
    warnings: list[Warned]
    graded: list[Graded]
    drawn_ops: list[DrawnOp]
    stages: list[tuple[str, float, int]]
    files: list[str]
    executed: int
    drawn: int


def write_page(run_folder: Path) -> Path:
    """Write `<run>/report.html`, from a finished or a killed run."""
    page = lay_out(read_run(run_folder))
    css = _source("page.css") + f":root{{--backends:{len(page.backends)}}}\n"
    script = _source("page.js")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["value"] = value_text
    environment.filters["seconds"] = seconds_text
    environment.filters["number"] = lambda number: f"{number:,}"
    text = environment.get_template("page.html.j2").render(
        page=page,
        statuses=STATUSES,
        css=Markup(css),  # our own file, not input
        script=Markup(script),
        css_digest=_digest(css),
        script_digest=_digest(script),
    )
    path = run_folder / "report.html"
    write_whole(path, text.encode("utf-8"))
    return path


def lay_out(run: Run) -> Page:
    """Work out everything that the page shows."""
    backends = _backends(run)
    clauses = _clauses(run)
    failure_ids = {failure.id for failure in run.failures}
    every = _with_failures(run)
    cells: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in every:
        cells[cell.backend, cell.clause].append(cell)

    ops: dict[str, OpRow] = {}
    totals = [Tally() for _ in backends]
    for clause in clauses:
        row = ClauseRow(clause, clause_anchor(clause.name), [], [])
        if clause.op not in ops:
            ops[clause.op] = OpRow(clause.op, anchor("op", clause.op), [], [Tally() for _ in backends])
        op = ops[clause.op]
        op.rows.append(row)
        for number, backend in enumerate(backends):
            found = cells[backend.key, clause.name]
            box = _box(backend, clause, found, failure_ids)
            row.boxes.append(box)
            row.variants += [_variant(backend, cell, failure_ids) for cell in found]
            op.tallies[number].add(box.status)
            totals[number].add(box.status)

    cards = []
    for backend, tally in zip(backends, totals, strict=True):
        tone, glyph, said = sentence(tally, run.info.complete)
        worst = _ratio(cell for cell in every if cell.backend == backend.key)
        cards.append(Card(backend, anchor("backend", backend.key), tone, glyph, said, tally, worst))
    ratios: list[tuple[str, list[Ratio | None]]] = []
    for name in ops:
        of_op = [cell for cell in run.cells if cell.op == name]
        ratios.append((name, [_ratio(cell for cell in of_op if cell.backend == b.key) for b in backends]))
    return Page(
        info=run.info,
        banners=banners(run),
        backends=backends,
        cards=cards,
        ops=list(ops.values()),
        groups=grouped(run, backends, clauses),
        ratios=[line for line in ratios if any(line[1])],
        growth=plotted((cell for name in ops for cell in run.cells if cell.op == name), backends),
        growth_keys=keys(backends),
        warnings=_warned(every, backends),
        graded=by_backend(run.grades, backends),
        drawn_ops=by_operation(run.drawn),
        stages=_stages(run.info.stages),
        files=_raw_files(run.folder),
        executed=sum(cell.cases.executed for cell in run.cells),
        drawn=sum(cell.cases.drawn for cell in run.cells),
    )


def _backends(run: Run) -> list[BackendInfo]:
    """The columns: those that the header names, then any that only a cell names."""
    known = {backend.key for backend in run.info.backends}
    others = sorted({item.backend for item in _named(run)} - known)
    return [*run.info.backends, *(BackendInfo(key=key, name=key) for key in others)]


def _with_failures(run: Run) -> list[Cell]:
    """The cells, and `fail` for each failure whose cell is missing, or denies it."""
    cells = {(cell.backend, cell.clause, cell.dtype): cell for cell in run.cells}
    for failure in run.failures:
        key = failure.backend, failure.clause, failure.dtype
        known = cells.get(key)
        if known is None or known.status in ("pass", "thin", "unsupported", "not run"):
            cells[key] = Cell(
                backend=failure.backend,
                op=failure.op,
                clause=failure.clause,
                dtype=failure.dtype,
                level=known.level if known else "",
                status="fail",
                reason="a failure was recorded, but not its verdict",
                cases=known.cases if known else Cases(),
                failure=failure.id,
            )
    return list(cells.values())


def _clauses(run: Run) -> list[ClauseInfo]:
    """The rows, in the specification's order, then any that only a cell or a failure names."""
    clauses = {clause.name: clause for clause in run.clauses}
    for item in _named(run):
        level = item.level if isinstance(item, Cell) else ""
        unknown = ClauseInfo(name=item.clause, op=item.op, kind="", level=level, title="", text="")
        clauses.setdefault(item.clause, unknown)
    return list(clauses.values())


def _named(run: Run) -> list[Cell | Failure]:
    """All that names a backend and a clause."""
    return [*run.cells, *run.failures]


def _box(backend: BackendInfo, clause: ClauseInfo, cells: list[Cell], failure_ids: set[str]) -> Box:
    if not cells:
        lacks = backend.operations and clause.op not in backend.operations
        return Box(BY_WORD["unsupported" if lacks else "not run"], 0, 0, backend.name)
    status = worst_status(cell.status for cell in cells)
    links = [_link(cell, failure_ids) for cell in cells if cell.status == status.word]
    executed = sum(cell.cases.executed for cell in cells)
    drawn = sum(cell.cases.drawn for cell in cells)
    warnings = [f"{cell.dtype}: {warning_of(cell)}" for cell in cells if warning_of(cell)]
    return Box(status, executed, drawn, backend.name, next(filter(None, links), ""), "; ".join(warnings))


def _variant(backend: BackendInfo, cell: Cell, failure_ids: set[str]) -> Variant:
    ratio, link = _ratio([cell]), _link(cell, failure_ids)
    return Variant(backend.name, cell, status_of(cell.status), ratio, link, warning_of(cell))


def _warned(cells: list[Cell], backends: list[BackendInfo]) -> list[Warned]:
    """In the order of the backends."""
    found = [(cell, warning_of(cell)) for cell in cells]
    return [
        Warned(backend.name, cell, clause_anchor(cell.clause), warning)
        for backend in backends
        for cell, warning in found
        if warning and cell.backend == backend.key
    ]


def _link(cell: Cell, failure_ids: set[str]) -> str:
    return "#" + anchor("failure", cell.failure) if cell.failure in failure_ids else ""


def _ratio(cells: Iterable[Cell]) -> Ratio | None:
    """The worst of the cells that have one; NaN is worse than infinity."""
    worst: Ratio | None = None
    for cell in cells:
        if cell.worst is None:
            continue
        try:
            value = float(cell.worst)
        except ValueError:
            continue
        if worst is None or math.isnan(value) or value > worst.value:
            worst = Ratio(value, cell)
        if math.isnan(value):
            break
    return worst


def _stages(stages: dict[str, float]) -> list[tuple[str, float, int]]:
    """Stage, seconds, length of its bar; the known ones in the order in which they happen."""
    names = [name for name in STAGES if name in stages] + sorted(set(stages) - set(STAGES))
    longest = max(stages.values(), default=0.0)
    return [(name, stages[name], round(160 * stages[name] / longest) if longest > 0 else 0) for name in names]


def _raw_files(folder: Path) -> list[str]:
    fixed = ("run.json", "clauses.json", "cells.jsonl", "cases.json", "coverage.json", "grades.json")
    found = [*(folder / name for name in fixed), *sorted(folder.glob("cells-*.jsonl"))]
    names = [path.name for path in found if path.is_file()]
    return [*names, "failures/"] if (folder / "failures").is_dir() else names


def _source(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
