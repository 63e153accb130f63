"""A run: the backends, the cells to try, the folder that they are written to."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from convspec.adapters import Backend, load_apart
from convspec.reference import OPS, SPECIFIED, Clause
from convspec.reference.formats import FORMATS
from convspec.reports.drawn import Drawn
from convspec.reports.grade import Grade
from convspec.reports.page import write_page
from convspec.reports.record import (
    BackendInfo,
    Cell,
    ClauseInfo,
    Failure,
    RunFolder,
    RunInfo,
    read_run,
    write_json,
)
from convspec.reports.summary import write_summary

from .checks import clauses_of
from .engine import Engine
from .expectations import BadExpectations, expectations_for
from .options import Options


@dataclass(frozen=True)
class Item:
    """One cell to try."""

    clause: Clause
    dtype: str
    backend: Backend

    @property
    def id(self) -> str:
        return f"{self.clause.name}-{self.dtype}-{self.backend.key}"

    def error(self, text: str) -> Cell:
        """The cell of an item in which the suite itself failed."""
        return Cell(
            backend=self.backend.key,
            op=self.clause.op,
            clause=self.clause.name,
            dtype=self.dtype,
            level=self.clause.level,
            status="error",
            reason=text,
            arithmetic=self.backend.declares(self.clause.op, self.dtype),
        )


class Session:
    """One run, in the controlling process or in a worker of it."""

    def __init__(self, options: Options, worker: str) -> None:
        self.options = options
        self.is_worker = bool(worker)
        memory = int(options.memory_limit * (1 << 30))
        self.backends = [load_apart(s, options.isolate, options.case_timeout, memory) for s in options.backends]
        try:
            expected = {b.key: expectations_for(b.key, options.expect) for b in self.backends}
        except BadExpectations as error:
            raise ValueError(str(error)) from error
        self.engine = Engine(options.settings, expected)
        self.planned = 0
        self.report: Path | None = None
        self.cells: list[Cell] = []
        self.failures: dict[str, Failure] = {}
        self.grades: list[Grade] = []
        self.stages: dict[str, float] = {}
        self._worker = worker
        self._folder: RunFolder | None = None
        self._info: RunInfo | None = None
        self._began = time.monotonic()
        self._cases: dict[str, str] = {}
        self._drawn: dict[tuple[str, str], Drawn] = {}

    def items(self) -> list[Item]:
        """Every cell that was asked for and that a backend has: by operation and dtype, so that problems are shared."""
        chosen = []
        for op in SPECIFIED:
            for dtype in self._dtypes():
                for clause in clauses_of(op, self.options.settings.level):
                    if self.options.wants(op.name, clause.name):
                        chosen += [
                            Item(clause, dtype, b)
                            for b in self.backends
                            if b.offers(op.name) and dtype in self.dtypes_of(b)
                        ]
        return chosen

    def dtypes_of(self, backend: Backend) -> tuple[str, ...]:
        """The dtypes in which a backend is tried: those asked for; else those it declares, in smoke the first."""
        if self.options.dtypes:
            return tuple(d for d in self.options.dtypes if d in backend.dtypes)
        if self.options.settings.profile.name == "smoke":
            return ("float32",) if "float32" in backend.dtypes else backend.dtypes[:1]
        return backend.dtypes

    def _dtypes(self) -> list[str]:
        order = ("float32", "float64", "float16", "bfloat16")
        return [d for d in order if any(d in self.dtypes_of(b) for b in self.backends)]

    @property
    def started(self) -> bool:
        return self._folder is not None

    @property
    def folder(self) -> RunFolder:
        assert self._folder is not None
        return self._folder

    def plan(self, count: int) -> None:
        """How many cells there will be."""
        self.planned = count

    def create(self) -> None:
        """Make the run folder, once, in the controlling process."""
        if self._folder is not None:
            return
        self._info = self._header()
        level = self.options.settings.level
        clauses = [c for op in SPECIFIED for c in clauses_of(op, level) if self.options.wants(op.name, c.name)]
        self._folder = RunFolder.create(self.options.results_dir, self._info, [_clause_info(c) for c in clauses])

    def attach(self, path: str) -> None:
        """In a worker: append to the controlling process's folder."""
        self._folder = RunFolder.attach(Path(path), self._worker)

    def run(self, item: Item) -> Cell:
        """Try one cell and write it down, with its failure first if it has one."""
        verdict = self.engine.run(item.clause, item.backend, item.dtype)
        if verdict.failure is not None:
            self.folder.add_failure(verdict.failure, verdict.script)
        self.write(verdict.cell)
        return verdict.cell

    def write(self, cell: Cell) -> None:
        self.folder.add_cell(cell)

    def measured(self) -> dict[str, Any]:
        """From this process, as plain data: seconds per stage, the fingerprints of the frozen lists, what they hold."""
        drawn = msgspec.to_builtins(self.engine.drawn())
        return {"stages": dict(self.engine.clock.seconds), "cases": dict(self.engine.fingerprints), "drawn": drawn}

    def add_worker(self, measured: dict[str, Any]) -> None:
        """Add what a process measured; of an operation and dtype in several processes, the longest list counts."""
        for name, seconds in measured.get("stages", {}).items():
            self.stages[name] = self.stages.get(name, 0.0) + seconds
        self._cases |= measured.get("cases", {})
        for one in msgspec.convert(measured.get("drawn", []), list[Drawn]):
            known = self._drawn.get((one.op, one.dtype))
            if known is None or one.problems > known.problems:
                self._drawn[one.op, one.dtype] = one

    @property
    def drawn(self) -> list[Drawn]:
        """What was drawn, by operation and dtype, in the order of the specification."""
        order = [op.name for op in SPECIFIED]
        return sorted(self._drawn.values(), key=lambda d: (order.index(d.op), list(FORMATS).index(d.dtype)))

    def finish(self, interrupted: bool) -> list[Cell]:
        """Gather the record, write the page, and return the cells."""
        assert self._info is not None
        self.add_worker(self.measured())
        info = self._info
        gathered = self.folder.gather()
        if self.options.grade and not interrupted:
            self._grade(gathered)
        info.finished = _now()
        info.duration_s = round(time.monotonic() - self._began, 3)
        info.stages = {name: round(seconds, 3) for name, seconds in self.stages.items()}
        info.planned_cells = self.planned
        info.interrupted = interrupted
        write_json(self.folder.path / "cases.json", dict(sorted(self._cases.items())))
        write_json(self.folder.path / "coverage.json", self.drawn)
        info.complete = not interrupted and len(gathered) >= self.planned
        self.folder.finish(info)
        run = read_run(self.folder.path)
        self.cells, self.failures = list(run.cells), {f.id: f for f in run.failures}
        if self.options.report:
            self.report = write_page(self.folder.path)
            write_summary(self.folder.path)
        return self.cells

    def _grade(self, cells: list[Cell]) -> None:
        """Grade what was asked for, with a remark where these cells have a warning, and write it down."""
        from .grading import grade  # which a run without grades does not need
        from .grading.warned import remark_warnings

        began = time.perf_counter()
        self.grades = [
            grade(backend, op, dtype)
            for backend in self.backends
            for op in OPS
            if op.name in self.options.ops and backend.offers(op.name)
            for dtype in self.dtypes_of(backend)
        ]
        remark_warnings(self.grades, cells)
        self.stages["grading"] = time.perf_counter() - began
        write_json(self.folder.path / "grades.json", self.grades)

    @property
    def exercised(self) -> bool:
        """Was any clause tried on anything?"""
        return any(cell.status not in ("unsupported", "not run") for cell in self.cells)

    def close(self) -> None:
        self.folder.close()

    def close_backends(self) -> None:
        for backend in self.backends:
            backend.close()

    def _header(self) -> RunInfo:
        settings = self.options.settings
        relaxed = [f"{b.key}: arithmetic declared: {b.relaxed}" for b in self.backends if b.relaxed]
        warnings = [line for b in self.backends for line in b.warnings]
        return RunInfo(
            run_id="",
            suite=_version("convspec"),
            started=_now(),
            command=f"pytest {self.options.command}",
            profile=settings.profile.name,
            examples=settings.examples,
            seed=settings.seed,
            level=settings.level,
            planned_cells=self.planned,
            backends=[_backend_info(b, self.dtypes_of(b)) for b in self.backends],
            environment=environment(),
            stamps=relaxed + warnings,
        )


def environment() -> dict[str, str]:
    """What a reader needs to know of the machine: no host name, no user, no path."""
    facts = {
        "operating system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "python": sys.version.split()[0],
    }
    for package in ("numpy", "ml_dtypes", "hypothesis", "pytest", "torch"):
        if package in sys.modules or package == "hypothesis":  # loaded when a failure is to be made smaller
            facts[package] = _version(package)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CC"):
        if variable in os.environ:
            facts[variable] = os.environ[variable]
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _backend_info(backend: Backend, dtypes: tuple[str, ...]) -> BackendInfo:
    return BackendInfo(
        key=backend.key,
        name=backend.name,
        version=backend.version,
        kind=backend.kind,
        device=backend.device,
        arithmetic=backend.relaxed or "ieee",
        fingerprint=backend.fingerprint,
        dtypes=list(dtypes),
        operations=[op.name for op in SPECIFIED if backend.offers(op.name)],
        conventions=dict(backend.conventions),
        notes=backend.notes,
    )


def _clause_info(clause: Clause) -> ClauseInfo:
    return ClauseInfo(
        name=clause.name,
        op=clause.op,
        kind=clause.kind,
        level=clause.level,
        title=clause.title,
        text=clause.text,
        source=clause.source,
    )
