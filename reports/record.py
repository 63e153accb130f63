"""The results schema: what a run folder holds, and how it is written while the run goes.

    run.json              header; rewritten at the end with "complete": true
    clauses.json          the text of every clause that the run names, so that a reader needs nothing else
    cells-<worker>.jsonl  one flushed line per finished cell; gathered into cells.jsonl when the run ends
    cells.jsonl           one line per (backend, clause, dtype), sorted
    failures/<id>.json    one failure with its smallest case, and beside it the reproducer <id>.py
    cases.json            the SHA-256 of the frozen list of problems of each operation and dtype
    coverage.json         which classes of parameters and sizes those problems had, and which pairs of them
    report.html, summary.md

Numbers that JSON lacks are written as the strings "nan", "inf", "-inf"; array elements as hexadecimal floats.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from convspec.reports.drawn import Drawn
from convspec.reports.grade import Grade

SCHEMA = "convspec-results/1"

# Errors are told of where their root mean square is so many times what a model of rounding gives, in which every
# rounding is a random number of its own. A warning and no verdict: of numbers with structure right kernels reach 40.
# In networks right backends stay below 2, products of 11 bits give thousands.
FAR_FROM_THE_MODEL = 10.0

# Of a single sum of products. Of 30 outputs and more, whose squares add up like chi-squared, a mean square of 9 has no
# chance that anyone will live to see (below 1e-30); right kernels stay below 2, products of 11 bits start at 14.
FAR_FROM_RANDOM = 3.0

T = TypeVar("T")


class BackendInfo(msgspec.Struct, kw_only=True):
    """One implementation under test, a column of the report."""

    key: str
    name: str
    version: str = ""
    kind: str = ""
    device: str = "cpu"
    arithmetic: str = "ieee"
    fingerprint: str = ""
    dtypes: list[str] = []
    operations: list[str] = []
    conventions: dict[str, str] = {}
    notes: str = ""


class RunInfo(msgspec.Struct, kw_only=True):
    """The header of a run."""

    schema: str = SCHEMA
    run_id: str
    suite: str
    started: str
    finished: str = ""
    duration_s: float = 0.0
    complete: bool = False
    interrupted: bool = False
    command: str = ""
    profile: str = "default"
    examples: int = 0
    seed: int = 0
    level: str = "strict"
    planned_cells: int = 0
    backends: list[BackendInfo] = []
    environment: dict[str, str] = {}
    stages: dict[str, float] = {}  # seconds: drawing, reference, bound, backend, judging, shrinking
    stamps: list[str] = []


class ClauseInfo(msgspec.Struct, kw_only=True):
    """One entry of the specification, as the run knew it."""

    name: str
    op: str
    kind: str
    level: str
    title: str
    text: str
    source: str = ""


class Cases(msgspec.Struct, kw_only=True):
    """How hard a clause was tried."""

    drawn: int = 0
    executed: int = 0
    passed: int = 0
    failed: int = 0
    unsupported: int = 0
    inapplicable: int = 0
    vacuous: int = 0
    extra: int = 0  # drawn past the frozen list, for a backend whose domain left it too few
    to_failure: int = 0  # executed until the first failure, that one included; 0 if none failed


class GrowthBin(msgspec.Struct, kw_only=True):
    """The errors of the outputs that add up so many terms, in units of u*M.

    u is the unit roundoff of the dtype, M the largest partial sum that any order of summation can have: half of |y| and
    the moduli of all terms together.
    """

    terms: int  # from so many, a power of two, to below twice as many; terms that are zero do not count
    outputs: int  # whose result no rule forces
    exact: int = 0  # of them without any error
    largest: float = 0.0
    rms: float = 0.0  # the root of the mean square of all of them


class Cell(msgspec.Struct, kw_only=True):
    """The verdict of one clause on one backend in one dtype."""

    backend: str
    op: str
    clause: str
    dtype: str
    level: str
    status: str  # pass, thin, fail, unsupported, not run, error, crash, timeout, flaky, deviation, fixed
    reason: str = ""
    cases: Cases = msgspec.field(default_factory=Cases)
    worst: float | str | None = None  # largest error over bound among executed cases
    worst_case: str = ""
    rms: float | str | None = None  # root mean square of error over its modelled deviation in a case, the largest
    rms_case: str = ""
    rms_limit: float = FAR_FROM_THE_MODEL  # an rms above it is a warning
    growth: list[GrowthBin] = []  # of cases whose errors may be roundings
    arithmetic: str = ""  # what the backend declares it computes in, where it is other than ieee
    failure: str = ""  # id of the failure, if there is one


def warning_of(cell: Cell) -> str:
    """What to say where a cell's errors are far larger than a model of rounding makes them; else nothing."""
    try:
        rms = float(cell.rms or 0.0)
    except ValueError:
        return ""
    if rms <= cell.rms_limit:
        return ""
    times = f"{rms:.2g}" if rms < 100 else f"{rms:,.0f}"
    return (
        f"errors are {times} times what rounding in a random order gives (limit {cell.rms_limit:g}): reduced precision?"
    )


class ArrayInfo(msgspec.Struct, kw_only=True):
    """A whole array: floats as hexadecimal strings, exact."""

    dtype: str
    shape: list[int]
    values: list[str]


class Failure(msgspec.Struct, kw_only=True):
    """One failed clause with the smallest case that was found for it."""

    id: str
    backend: str
    op: str
    clause: str
    dtype: str
    status: str = "fail"  # fail, crash or timeout
    cause: str  # short and the same for failures alike: "wrong values", "wrong shape", "raised TypeError"
    message: str
    summary: str  # one line: the problem
    code: str  # the problem as code that can be pasted
    parameters: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    inputs: dict[str, ArrayInfo] = {}
    expected: ArrayInfo | None = None
    actual: ArrayInfo | None = None
    bound: ArrayInfo | None = None
    worst_index: list[int] | None = None
    wrong: int = 0
    elements: int = 0  # input elements of the smallest case
    first_elements: int = 0  # of the failing case that shrinking started from
    shrink_calls: int = 0
    output: str = ""  # which output of an operation with several `expected` and `actual` are
    arithmetic: str = ""  # what the backend declares it computes in, where it is other than ieee
    script: str = ""  # path of the reproducer within the run folder
    note: str = ""


class NotARun(Exception):
    """A folder that does not hold a run which this version can read. One line says why."""


@dataclass(frozen=True)
class Run:
    """A run folder as read: finished, or cut short at any point."""

    folder: Path
    info: RunInfo
    clauses: list[ClauseInfo]
    cells: list[Cell]
    failures: list[Failure]
    drawn: list[Drawn] = field(default_factory=list)
    grades: list[Grade] = field(default_factory=list)


def new_run_id() -> str:
    """A name for a run folder: the time in UTC, to the second, and six random hexadecimal digits."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-{secrets.token_hex(3)}"


class RunFolder:
    """Writes a run folder while the run goes on, so that a killed run keeps every finished cell."""

    def __init__(self, path: Path, worker: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.]+", worker):
            raise ValueError(f"worker {worker!r} cannot be part of a file name; letters, digits, _ and . can")
        self.path = path
        self.worker = worker
        self._cells: IO[bytes] | None = None

    @classmethod
    def create(cls, results_dir: Path, info: RunInfo, clauses: list[ClauseInfo]) -> RunFolder:
        """Make `<results_dir>/<info.run_id>/` and point `latest` at it. An empty run_id is filled in.

        A folder that exists already is an error: a run never writes over another.
        """
        info.run_id = info.run_id or new_run_id()
        path = results_dir / _file_name(info.run_id)
        path.mkdir(parents=True)
        (path / "failures").mkdir()
        write_json(path / "clauses.json", clauses)
        write_json(path / "run.json", info)
        _point_latest(results_dir, path.name)
        return cls(path, "main")

    @classmethod
    def attach(cls, path: Path, worker: str) -> RunFolder:
        """Join a folder that another process made, to write `cells-<worker>.jsonl` in it."""
        return cls(path, worker)

    def add_cell(self, cell: Cell) -> None:
        """Append one line and hand it to the operating system at once."""
        if self._cells is None:
            self._cells = (self.path / f"cells-{self.worker}.jsonl").open("ab")
        self._cells.write(_line(cell))
        self._cells.flush()

    def add_failure(self, failure: Failure, script: str) -> None:
        """Write `failures/<id>.json` and its reproducer `failures/<id>.py`; `failure.script` is filled in."""
        name = _file_name(failure.id)
        failure.script = failure.script or f"failures/{name}.py"
        (self.path / "failures").mkdir(exist_ok=True)
        write_whole(self.path / "failures" / f"{name}.py", _clean(script).encode(), executable=True)
        write_json(self.path / "failures" / f"{name}.json", failure)

    def gather(self) -> list[Cell]:
        """Put all workers' cells into a sorted cells.jsonl, and return them. Once, when all are done."""
        self.close()
        parts = sorted(self.path.glob("cells-*.jsonl"))
        gathered = _in_order(_read_cells([self.path / "cells.jsonl", *parts]))
        if parts:
            write_whole(self.path / "cells.jsonl", b"".join(_line(cell) for cell in gathered))
        for part in parts:
            part.unlink()
        return gathered

    def finish(self, info: RunInfo) -> None:
        """Gather what there is, rewrite run.json. Once, when all are done."""
        self.gather()
        write_json(self.path / "run.json", info)

    def close(self) -> None:
        """Close this process's file of cells; a later `add_cell` opens it again."""
        if self._cells is not None:
            self._cells.close()
            self._cells = None


def read_run(path: Path) -> Run:
    """Read a run folder, finished or killed. A half-written last line is dropped; so are unknown fields."""
    header = path / "run.json"
    if not header.is_file():
        raise NotARun(f"{path} is not a run folder: it has no run.json")
    try:
        schema = msgspec.json.decode(header.read_bytes(), type=_Header).schema
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotARun(f"{header} cannot be read: {error}") from None
    if _major(schema) != _major(SCHEMA):
        raise NotARun(f"{header} has schema {schema!r}; this version of convspec reads {SCHEMA!r}")
    clauses_file = path / "clauses.json"
    clauses = _decode(clauses_file, list[ClauseInfo]) if clauses_file.is_file() else []
    cells = _in_order(_read_cells([path / "cells.jsonl", *sorted(path.glob("cells-*.jsonl"))]))
    failures = [_decode(file, Failure) for file in sorted((path / "failures").glob("*.json"))]
    coverage = path / "coverage.json"
    drawn = _decode(coverage, list[Drawn]) if coverage.is_file() else []
    graded = path / "grades.json"
    grades = _decode(graded, list[Grade]) if graded.is_file() else []
    return Run(path, _decode(header, RunInfo), clauses, cells, failures, drawn, grades)


def write_schemas(folder: Path) -> list[Path]:
    """Write the JSON Schema of each kind of file: a run, its clauses, one line of cells.jsonl, a failure, coverage,
    grades."""
    types: dict[str, Any] = {
        "run": RunInfo,
        "clauses": list[ClauseInfo],
        "cell": Cell,
        "failure": Failure,
        "coverage": list[Drawn],
        "grades": list[Grade],
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, type_ in types.items():
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"{SCHEMA} {name}"}
        path = folder / f"{name}.schema.json"
        write_json(path, schema | msgspec.json.schema(type_))
        written.append(path)
    return written


def write_json(path: Path, value: object) -> None:
    """Write a struct, or plain data, as indented JSON, in one step."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, indent=1)
    write_whole(path, text.encode() + b"\n")


def write_whole(path: Path, data: bytes, executable: bool = False) -> None:
    """Write a file beside its place, then move it there in one step: it is never seen half-written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(data)
    if executable:
        part.chmod(part.stat().st_mode | 0o111)
    part.replace(path)


class _Header(msgspec.Struct):
    schema: str


def _major(schema: str) -> str:
    return schema.partition(".")[0]


def _plain(value: object) -> Any:
    """What JSON can hold: NaN and infinities as strings, text that UTF-8 can encode, arrays as lists."""
    return _finite(msgspec.to_builtins(value, str_keys=True, enc_hook=_unwrap))


def _unwrap(value: Any) -> Any:
    """NumPy scalars and arrays, which may stand among a problem's parameters."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {_clean(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _clean(text: str) -> str:
    """Write lone surrogates, which an exception's message may hold, as escapes: UTF-8 lacks them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _line(cell: Cell) -> bytes:
    text = json.dumps(_plain(cell), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"


def _in_order(cells: Iterable[Cell]) -> list[Cell]:
    """One cell per (operation, clause, dtype, backend), sorted so, whichever worker wrote it."""
    by_key: dict[tuple[str, str, str, str], Cell] = {}
    for cell in cells:
        key = cell.op, cell.clause, cell.dtype, cell.backend
        known = by_key.get(key)
        by_key[key] = cell if known is None else max(known, cell, key=_line)
    return [by_key[key] for key in sorted(by_key)]


def _read_cells(files: Iterable[Path]) -> list[Cell]:
    cells = []
    for file in files:
        if not file.is_file():
            continue
        lines = file.read_bytes().split(b"\n")  # a complete file ends in a newline: the last piece is empty
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                cells.append(msgspec.json.decode(line, type=Cell))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if number == len(lines):
                    continue  # cut off by a kill in the middle of a write
                raise NotARun(f"{file}, line {number}, cannot be read: {error}") from None
    return cells


def _decode(file: Path, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(file.read_bytes(), type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotARun(f"{file} cannot be read: {error}") from None


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", name):
        raise ValueError(f"{name!r} cannot be a file name; letters, digits and _ . + - can")
    return name


def _point_latest(results_dir: Path, name: str) -> None:
    """Make `latest` lead to the newest run; where links are not possible, do without."""
    part = results_dir / f".latest.{os.getpid()}.part"
    with contextlib.suppress(OSError, NotImplementedError):
        part.unlink(missing_ok=True)
        part.symlink_to(name, target_is_directory=True)
        part.replace(results_dir / "latest")
    with contextlib.suppress(OSError):
        part.unlink(missing_ok=True)
