"""A failure told: the smallest case, what came and what was due, and the script that shows it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Unsupported
from convspec.reference import Composition, Op
from convspec.reference.pick import ReplayPick
from convspec.reports.record import ArrayInfo, Failure

from .call_checks import OF_CALLS
from .case import Case
from .compare import Evidence, Violation, accepted, judge
from .script import code, guarded, replayed, standalone
from .trial import Trial, tried_on

Tensor = npt.NDArray[Any]

# What is said of a failure that its script does not show.
RIGHT_ALONE = "alone this case is right, and so the script exits 0: calls before it or chance decide; again: {command}"

SHOWN = 20_000  # elements; a larger call of a law, as statistics need it, is not written out but tried again


@dataclass
class Found:
    """A violation, and how it was come by."""

    trial: Trial
    violation: Violation
    choices: list[int]
    first_elements: int
    calls: int = 0
    budget: int = 0


def describe(found: Found, dtype: str, command: str = "") -> tuple[Failure, str]:
    """The failure for the record, and its reproducer script. `command` tries the clause on all of its cases again."""
    trial, violation = found.trial, found.violation
    case = violation.case
    told = violation.evidence or Evidence(case.problem)
    network = isinstance(told.problem, Composition)
    blamed = None if told.direct and not network else _blamed(trial, violation)
    shown = blamed or (told if told.direct else _spoilt(violation, told))
    problem = shown.problem
    identity = f"{trial.backend.key} {trial.clause.name} {dtype} {problem.name} {code(problem)}"
    failure = Failure(
        id=f"{trial.clause.name}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}",
        backend=trial.backend.key,
        op=trial.clause.op,
        clause=trial.clause.name,
        dtype=dtype,
        cause=violation.cause,
        status=violation.status,
        message=violation.message,
        summary=problem.summary(),
        code=code(problem),
        parameters=_plain(problem.parameters()),
        defaults=_plain({f.name: f.default for f in problem._fields() if f.name in problem.parameters()}),
        inputs={name: _info(array) for name, array in problem.arrays().items()},
        expected=None if shown.expected is None else _info(shown.expected),
        actual=None if shown.actual is None else _info(shown.actual),
        bound=None if shown.bound is None else _info(shown.bound),
        worst_index=None if shown.worst is None else list(shown.worst),
        wrong=shown.wrong,
        elements=problem.elements(),
        first_elements=found.first_elements,
        shrink_calls=found.calls,
        note=case.note if case is not None else "",
        output=shown.output if len(problem.outputs) > 1 else "",
        arithmetic=trial.backend.declares(trial.op.name, dtype),
    )
    failure.script = f"failures/{failure.id}.py"
    # What is due of a drawn result follows from the answer itself: a script with this one's numbers would accuse a
    # backend that has been mended and draws otherwise.
    alone = trial.clause.kind == "rule" or (shown.direct and shown.expected is not None and not problem.random)
    if isinstance(problem, Composition) or (isinstance(case.problem, Composition) and not _repeats(case, shown)):
        alone = False
    if alone and trial.clause.kind != "rule" and violation.status == "fail":
        alone = _wrong_as_first(trial, shown)
    if alone:
        script = standalone(trial, failure, shown)
    else:
        script = replayed(trial, failure, found.choices, found.budget)
        if violation.status == "fail" and not _fails_as_first(found):
            failure.note = "; ".join(filter(None, [failure.note, RIGHT_ALONE.format(command=command)]))
    return failure, script if violation.status == "fail" else guarded(script, trial.backend.limit)


def _blamed(trial: Trial, violation: Violation) -> Evidence | None:
    """The first call of the case whose answer is wrong by itself: what a law's failure comes from, nearly always."""
    for problem, answers in violation.case.calls:
        if not _finite(problem) or problem.elements() > SHOWN:
            continue
        arithmetic = trial.backend.arithmetic_of(problem)
        for name, truth in violation.case.truths(problem, answers).items():
            ok, _ = accepted(answers[name], truth, arithmetic)
            if not ok.all():
                worst = tuple(int(k) for k in np.unravel_index(int(np.argmin(ok)), ok.shape))
                wrong = int((~ok).sum())
                due, most = truth.told()
                return Evidence(problem, answers[name], due, most, worst, wrong, output=name)
    return None


def _repeats(case: Any, shown: Evidence) -> bool:
    """Is this one call wrong by itself? A layer may go wrong only after those before it."""
    if shown.worst is None or shown.bound is None or shown.expected is None:
        return True
    try:
        again = case.answers(shown.problem)[shown.output]
    except (Violation, Unsupported):
        return True
    with np.errstate(all="ignore"):
        error = abs(float(again[shown.worst]) - float(shown.expected[shown.worst]))
    return not error <= float(shown.bound[shown.worst])


def _wrong_as_first(trial: Trial, shown: Evidence) -> bool:
    """Is this call wrong where none was made before it? Where that cannot be seen, those of clauses about calls, which
    have others around them, are taken not to be."""
    if not trial.backend.forget():
        return trial.clause.name.partition(".")[2] not in OF_CALLS
    problem = shown.problem
    case = Case(problem, trial.backend, trial.oracle, trial.clock, ReplayPick([], trial.dtype, 0))
    try:
        with np.errstate(all="ignore"):
            answers = case.answers(problem)
            if shown.bound is not None:
                judge(problem, answers, case.truths(problem, answers), case.arithmetic)
    except (Violation, Unsupported):
        return True
    return False


def _fails_as_first(found: Found) -> bool:
    """Does the clause fail on this case where no call was made before it? Taken for granted where it cannot be seen."""
    trial = found.trial
    if trial.clause.kind == "example" or not trial.backend.forget():
        return True
    return tried_on(trial, ReplayPick(found.choices, trial.dtype, found.budget)) is not None


def _spoilt(violation: Violation, told: Evidence) -> Evidence:
    """Where a NaN or an infinity was put into the problem, show that problem."""
    spoilt = [problem for problem, _ in violation.case.calls if not _finite(problem)]
    return replace(told, problem=spoilt[-1]) if spoilt else told


def _finite(problem: Op) -> bool:
    return all(np.isfinite(np.asarray(a, np.float64)).all() for a in problem.arrays().values())


def _info(array: Tensor) -> ArrayInfo:
    values = np.asarray(array, np.float64) if array.dtype.kind not in "c" else np.abs(array)
    text = [v.hex() if np.isfinite(v) else str(v) for v in map(float, values.reshape(-1))]
    return ArrayInfo(dtype=str(array.dtype), shape=list(array.shape), values=text)


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in parameters.items() if isinstance(v, (int, float, str, bool, tuple, type(None)))}
    return dict(json.loads(json.dumps(kept, default=str)))
