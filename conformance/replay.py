"""One stored case of one clause again."""

from __future__ import annotations

from convspec.adapters import Backend, Unsupported
from convspec.reference.pick import ReplayPick

from .checks import all_clauses
from .compare import Violation
from .engine import operation_named
from .sweep import Clock, Oracle
from .trial import Trial, tried_on


def replay(clause: str, backend: Backend, dtype: str, choices: list[int], budget: int) -> int:
    """Try a clause on the case that these choices make; print what is seen; 1 if it fails, else 0."""
    named = {c.name: c for c in all_clauses()}[clause]
    clock = Clock()
    trial = Trial(named, operation_named(named.op), backend, dtype, Oracle(clock), clock)
    if named.kind == "example":
        violation = _worked(trial)
    else:
        violation = tried_on(trial, ReplayPick(choices, trial.dtype, budget))
    if violation is None:
        print(f"{clause} holds for {backend.key} on this case")
        return 0
    case = violation.case
    declared = backend.declares(named.op, dtype)
    print(f"{clause}: {violation.message}" + (f" (arithmetic declared: {declared})" if declared else ""))
    if case is not None:
        print(case.problem.summary())
        if case.note:
            print(case.note)
    return 1


def _worked(trial: Trial) -> Violation | None:
    """The violation of the first worked problem that fails."""
    for problem, output in trial.examples():
        try:
            trial.worked(problem, output, ReplayPick([], trial.dtype, 0))
        except Violation as violation:
            return violation
        except Unsupported:
            continue
    return None
