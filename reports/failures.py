"""The failures of a run as the page shows them: the smallest case in pictures, its parameters and its script."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from convspec.reports.grids import Comparison, Grid, compare, draw
from convspec.reports.record import ArrayInfo, BackendInfo, ClauseInfo, Failure, Run
from convspec.reports.text import anchor, clause_anchor, slug, value_text


@dataclass
class Parameter:
    name: str
    value: str
    default: str
    usual: bool


@dataclass
class Picture:
    """One array of a failure, as grids."""

    name: str
    kind: str
    note: str
    grids: list[Grid]


@dataclass
class FailureView:
    failure: Failure
    anchor: str
    clause: ClauseInfo
    clause_anchor: str
    parameters: list[Parameter]
    outputs: list[Picture]
    inputs: list[Picture]
    command: str
    script: str
    wrong: str


@dataclass
class Group:
    """Failures alike: one backend, one operation, one cause."""

    backend: str
    op: str
    cause: str
    failures: list[FailureView]


def grouped(run: Run, backends: list[BackendInfo], clauses: list[ClauseInfo]) -> list[Group]:
    """In the order of the backends and of the specification."""
    column = {backend.key: number for number, backend in enumerate(backends)}
    names = {backend.key: backend.name for backend in backends}
    place = {clause.name: number for number, clause in enumerate(clauses)}
    by_name = {clause.name: clause for clause in clauses}
    groups: dict[tuple[int, int, str, str, str], list[FailureView]] = defaultdict(list)
    for failure in sorted(run.failures, key=lambda f: (place[f.clause], f.dtype, f.id)):
        clause = by_name[failure.clause]
        first = min(place[other.name] for other in clauses if other.op == clause.op)
        key = (column.get(failure.backend, len(column)), first, failure.op, failure.cause, failure.backend)
        groups[key].append(_failure_view(run.folder, failure, clause))
    return [
        Group(names.get(backend, backend), op, cause, views)
        for (_, _, op, cause, backend), views in sorted(groups.items(), key=lambda item: item[0])
    ]


def _failure_view(folder: Path, failure: Failure, clause: ClauseInfo) -> FailureView:
    comparison = compare(failure.actual, failure.expected, failure.bound, failure.worst_index)
    outputs = []
    for name, array in (("got", failure.actual), ("expected", failure.expected), ("bound", failure.bound)):
        if array is not None:
            outputs.append(_picture(name, array, comparison))
    inputs = [_picture(name, array, Comparison()) for name, array in failure.inputs.items()]
    script = folder / "failures" / f"{slug(failure.id)}.py"
    return FailureView(
        failure=failure,
        anchor=anchor("failure", failure.id),
        clause=clause,
        clause_anchor=clause_anchor(clause.name),
        parameters=_parameters(failure),
        outputs=outputs,
        inputs=inputs,
        command=f"python failures/{slug(failure.id)}.py",
        script=script.read_text("utf-8", errors="backslashreplace") if script.is_file() else "",
        wrong=_wrong(failure, comparison),
    )


def _picture(name: str, array: ArrayInfo, comparison: Comparison) -> Picture:
    grids, note = draw(array, name, comparison)
    return Picture(name, f"{array.dtype} {value_text(array.shape)}", note, grids)


def _wrong(failure: Failure, comparison: Comparison) -> str:
    if failure.actual is None:
        return ""
    total = math.prod(failure.actual.shape)
    count = failure.wrong or len(comparison.wrong)
    if not count:
        return ""
    text = f"{count:,} of {total:,} elements wrong"
    return text + (f"; the worst at {failure.worst_index}" if failure.worst_index is not None else "")


def _parameters(failure: Failure) -> list[Parameter]:
    lines = []
    for name, value in failure.parameters.items():
        usual = name in failure.defaults and failure.defaults[name] == value
        default = value_text(failure.defaults[name]) if name in failure.defaults else "none: always given"
        lines.append(Parameter(name, value_text(value), default, usual))
    return lines
