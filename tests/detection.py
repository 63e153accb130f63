"""How soon the suite catches a backend: run on an operation clause by clause until one fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from convspec.adapters import Backend
from convspec.conformance.checks import clauses_of
from convspec.conformance.engine import Engine, operation_named

from .broken.known import KNOWN
from .broken.legal import LEGAL

DTYPE = "float32"
MAY_PASS = ("pass", "unsupported", "not run", "thin")


@dataclass(frozen=True)
class Result:
    """What became of one backend on one operation with one seed."""

    seed: int
    kind: str  # known or legal
    id: str  # B001, or the name of a legal backend
    op: str
    caught: str = ""  # the first clause that failed
    cases: int = 0  # executed until then, that one included; all, if none failed
    seconds: float = 0.0
    elements: int = 0  # of the smallest failing case
    told: str = ""  # the first line that a user reads
    mark: str = ""  # of the backend's sources

    @property
    def key(self) -> tuple[int, str, str, str]:
        return self.seed, self.kind, self.id, self.op


def subjects(op: str) -> Iterator[tuple[str, str, type]]:
    """Kind, id and class of every backend that is tried on an operation."""
    for bug in KNOWN:
        if op in bug.ops:
            yield "known", bug.id, bug.backend
    for backend, ops in LEGAL:
        if op in ops:
            yield "legal", backend.__name__, backend


def dtype_of(backend: type) -> str:
    """float32, or the first of its own where it has no float32."""
    dtypes: tuple[str, ...] = getattr(backend, "dtypes", (DTYPE,))
    return DTYPE if DTYPE in dtypes else dtypes[0]


def tried(engine: Engine, kind: str, id: str, op: str, backend: type) -> Result:
    """One backend on one operation, until a clause fails."""
    held = Backend.of(f"{id} {op}", backend(), "test")
    dtype = dtype_of(backend)
    began, cases = time.perf_counter(), 0
    for clause in clauses_of(operation_named(op)):
        verdict = engine.run(clause, held, dtype)
        cell = verdict.cell
        if cell.status not in MAY_PASS:
            failure = verdict.failure
            return Result(
                seed=engine.settings.seed,
                kind=kind,
                id=id,
                op=op,
                caught=clause.name,
                cases=cases + cell.cases.to_failure,
                seconds=round(time.perf_counter() - began, 2),
                elements=failure.elements if failure else 0,
                told=cell.reason[:200],
            )
        cases += cell.cases.executed
    spent = round(time.perf_counter() - began, 2)
    return Result(seed=engine.settings.seed, kind=kind, id=id, op=op, cases=cases, seconds=spent)
