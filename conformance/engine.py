"""One cell of the matrix: a clause on a backend in a dtype, tried on its cases, and the smallest failure if it
fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from convspec.adapters import Backend, Unsupported
from convspec.reference import SPECIFIED, Clause, Composition, Op
from convspec.reference.formats import name_of
from convspec.reference.pick import Pick, ReplayPick
from convspec.reports.drawn import Drawn
from convspec.reports.record import FAR_FROM_RANDOM, Cases, Cell, Failure

from .checks import DATA_OF
from .compare import Violation
from .cover.drawn import drawn
from .cover.table import Classes
from .expectations import ENOUGH_TO_BE_FIXED, Expectation
from .reproduce import Found, describe
from .settings import THIN, Settings
from .sweep import Clock, Oracle, Sweep
from .trial import Trial, outcome, tried_on

# How far past the frozen list to draw, in multiples of its length, for a backend or a law whose domain is narrow.
MORE = 4

# After so many failures of one backend in one operation, further ones are shrunk in few calls; in fewer still where the
# smallest case of another clause fails too. So many of these are tried.
CAREFUL, HASTY_CALLS = 10, 80
KNOWN, KNOWN_CALLS = 4, 20

# A backend that hangs costs the whole time limit each time: a clause ends with its first hang, and after so many of an
# operation its other clauses are not run. While a hang is made smaller, an answer is awaited for so many seconds only.
MOST_HANGS, IMPATIENT, HANG_SECONDS = 3, 1.0, 15.0

# What a call leaves behind may decide about the next: a case that fails and, tried so often, does not always fail, is
# of a backend whose every case is tried so often before it is said to pass.
AGAIN = 4


@dataclass
class Verdict:
    """The cell, and the failure with its reproducer if there is one."""

    cell: Cell
    failure: Failure | None = None
    script: str = ""


@dataclass
class _Failed:
    """A case that failed: its size, and what it was drawn from."""

    elements: int
    choices: list[int]
    violation: Violation
    budget: int = 0


@dataclass
class _Tried:
    cases: Cases = field(default_factory=Cases)
    failures: list[_Failed] = field(default_factory=list)
    explained: list[str] = field(default_factory=list)
    survived: int = 0  # cases that passed though a known deviation was to be expected of them
    reasons: dict[str, str] = field(default_factory=dict)  # the first of each result


class Engine:
    """Holds what all cells share: the settings, the frozen lists, the truths, the clock."""

    def __init__(self, settings: Settings, expected: dict[str, list[Expectation]] | None = None) -> None:
        self.settings = settings
        self.expected = expected or {}
        self.fingerprints: dict[str, str] = {}
        self.classes: dict[tuple[str, str], list[Classes]] = {}  # of the problems of each operation and dtype
        self.kinds: dict[tuple[str, str], Counter[str]] = {}  # of data of these problems
        self.tried: Counter[tuple[str, str]] = Counter()  # how far down the list of problems clauses went
        self.clock = Clock()
        self.oracle = Oracle(self.clock)
        self._failed: Counter[tuple[str, str]] = Counter()
        self._small: dict[tuple[str, str, str], list[list[int]]] = {}  # choices of the smallest cases of clauses
        self._hung: Counter[tuple[str, str]] = Counter()
        self._sweeps: dict[tuple[str, str], Sweep] = {}

    def sweep(self, op: type[Op], dtype: str) -> Sweep:
        """The frozen list of an operation and dtype. Only the latest is kept: cells come in that order."""
        key = op.name, dtype
        if key not in self._sweeps:
            self._sweeps = {key: Sweep(op, dtype, self.settings, self.clock)}
            self.fingerprints[f"{op.name} {dtype}"] = self._sweeps[key].fingerprint()
            self.classes[key] = self._sweeps[key].classes() if op.features else []
            self.kinds[key] = self._sweeps[key].kinds(DATA_OF.values() if self.settings.by_kind else ())
        return self._sweeps[key]

    def drawn(self) -> list[Drawn]:
        """What the problems were that clauses could try, of each operation and dtype that says so."""
        triples = self.settings.profile.name == "thorough"
        return [
            drawn(
                op,
                dtype,
                classes[: self.tried[op, dtype]],
                self.kinds[op, dtype],
                every_kind=self.settings.by_kind,
                triples=triples,
            )
            for (op, dtype), classes in self.classes.items()
            if classes and self.tried[op, dtype]
        ]

    def run(self, clause: Clause, backend: Backend, dtype: str) -> Verdict:
        """Try a clause on its cases. Never raises for what a backend does."""
        op = operation_named(clause.op)
        trial = Trial(clause, op, backend, dtype, self.oracle, self.clock)
        if self._hung[backend.key, op.name] >= MOST_HANGS:
            cell = self._cell(trial, _Tried(), dtype)
            cell.reason = f"{MOST_HANGS} clauses of {op.name} had already ended without an answer in time"
            return Verdict(cell)
        tried = self._examples(trial) if clause.kind == "example" else self._cases(trial, self.sweep(op, dtype))
        cell = self._cell(trial, tried, dtype)
        if not tried.failures:
            return Verdict(cell)
        failure, script = self._smallest(trial, tried, dtype)
        self._failed[backend.key, clause.op] += 1
        cell.failure, cell.reason = failure.id, failure.message
        return Verdict(cell, failure, script)

    def _cases(self, trial: Trial, sweep: Sweep) -> _Tried:
        tried, wanted = _Tried(), self.settings.examples
        listed = sweep.whole if trial.clause.kinds else wanted
        here = trial.op.name, name_of(trial.dtype)
        self.tried[here] = max(self.tried[here], listed)
        kinds = trial.clause.kinds if self.settings.by_kind else ()
        cases = tried.cases
        index = 0
        while index < listed or (cases.executed < wanted and index < MORE * wanted):
            problem, choices = sweep.row(index, kinds)
            pick = sweep.pick(f"{self.settings.seed}/{trial.clause.name}/{sweep.dtype}/{index}")
            result, violation, reason = outcome(trial, problem, pick)
            cases.drawn += 1
            cases.extra += index >= listed
            setattr(cases, result, getattr(cases, result) + 1)
            cases.executed = cases.passed + cases.failed
            tried.reasons.setdefault(result, reason)
            explanation = None if violation is None else self._explanation(trial, violation, problem)
            if explanation is not None:
                tried.explained.append(explanation)
            elif violation is None and result == "passed":
                tried.survived += self._awaited(trial, problem)
            elif violation is not None:
                own = pick.choices if trial.clause.kind == "edge" else choices + pick.choices
                budget = sweep.budget(None if trial.clause.kind == "edge" else index)
                tried.failures.append(_Failed(_elements(violation, problem), own, violation, budget))
                cases.to_failure = cases.to_failure or cases.executed
                if violation.status == "timeout":
                    self._hung[trial.backend.key, trial.op.name] += 1
                    break
            index += 1
        return tried

    def _explanation(self, trial: Trial, violation: Violation, problem: Op) -> str | None:
        """The reason of the known deviation that explains this failure, if one does."""
        case = violation.case
        shown = problem if case is None else case.problem
        for known in self.expected.get(trial.backend.key, []):
            if known.explains(trial.clause.name, shown):
                return known.reason
        return None

    def _examples(self, trial: Trial) -> _Tried:
        tried = _Tried()
        cases = tried.cases
        for problem, output in trial.examples():
            cases.drawn += 1
            try:
                trial.worked(problem, output, ReplayPick([], trial.dtype, 0))
                cases.passed += 1
            except Unsupported as error:
                cases.unsupported += 1
                tried.reasons["unsupported"] = str(error)
            except Violation as violation:
                cases.failed += 1
                explanation = self._explanation(trial, violation, problem)
                if explanation is not None:
                    tried.explained.append(explanation)
                else:
                    tried.failures.append(_Failed(problem.elements(), [], violation))
            cases.executed = cases.passed + cases.failed
            cases.to_failure = cases.to_failure or cases.executed * bool(tried.failures)
        return tried

    def _cell(self, trial: Trial, tried: _Tried, dtype: str) -> Cell:
        clause, cases = trial.clause, tried.cases
        cell = Cell(
            backend=trial.backend.key,
            op=clause.op,
            clause=clause.name,
            dtype=dtype,
            level=clause.level,
            status="pass",
            cases=cases,
            worst=trial.tally.worst,
            worst_case=trial.tally.where,
            rms=trial.tally.rms,
            rms_case=trial.tally.rms_where,
            growth=trial.tally.growth.recorded(),
            arithmetic=trial.backend.declares(clause.op, dtype),
        )
        if trial.tally.rms is not None and not issubclass(trial.op, Composition):
            cell.rms_limit = FAR_FROM_RANDOM
        if tried.failures:
            cell.status = _worst(tried)
        elif tried.explained:
            cell.status, cell.reason = "deviation", tried.explained[0]
        elif tried.survived >= ENOUGH_TO_BE_FIXED:
            cell.status, cell.reason = "fixed", "a known deviation was not seen"
        elif not cases.executed:
            cell.status = "unsupported" if cases.unsupported else "not run"
            cell.reason = tried.reasons.get("unsupported") or next(iter(tried.reasons.values()), "")
        elif self.settings.profile.name == "default" and cases.executed < self._enough(clause, cases):
            cell.status = "thin"
            cell.reason = f"only {cases.executed} cases could be tried"
        return cell

    def _awaited(self, trial: Trial, problem: Op) -> bool:
        """Does a known deviation speak of this clause and this problem?"""
        return any(e.explains(trial.clause.name, problem) for e in self.expected.get(trial.backend.key, []))

    def _enough(self, clause: Clause, cases: Cases) -> int:
        return cases.drawn if clause.kind == "example" else min(THIN, self.settings.examples)

    def _smallest(self, trial: Trial, tried: _Tried, dtype: str) -> tuple[Failure, str]:
        worst = _worst(tried)
        first = min((f for f in tried.failures if f.violation.status == worst), key=lambda f: f.elements)
        found = Found(trial, first.violation, first.choices, first.elements, budget=first.budget)
        if trial.clause.kind != "example":
            with self.clock.stage("shrinking"):
                found = self._shrunk(trial, found)
        return describe(found, dtype, self.settings.command(trial.backend.key, trial.clause.name, dtype))

    def _shrunk(self, trial: Trial, found: Found) -> Found:
        from .shrink import WAITING, shrink  # takes Hypothesis with it, which a run without failures does not need

        # The first failures of an operation are shrunk with care; a backend that fails everything, quickly.
        calls = self.settings.shrink_calls if self._failed[trial.backend.key, trial.op.name] < CAREFUL else HASTY_CALLS
        hangs = found.violation.status == "timeout"

        def alike_once(pick: Pick) -> Violation | None:
            violation = tried_on(trial, pick)
            if (
                violation is None
                or violation.status != found.violation.status
                or self._explanation(trial, violation, trial_problem(violation)) is not None
            ):
                return None
            return violation

        def again(choices: list[int], times: int) -> Iterator[Violation | None]:
            return (alike_once(ReplayPick(choices, trial.dtype, found.budget)) for _ in range(times))

        steady = hangs or None not in again(found.choices, AGAIN)

        def alike(pick: Pick) -> Violation | None:
            violation = alike_once(pick)
            if violation is not None or steady:
                return violation
            return next((one for one in again(pick.choices, AGAIN - 1) if one is not None), None)

        def fails(pick: Pick) -> int | None:
            violation = alike(pick)
            return None if violation is None else _elements(violation, None)

        small = self._small.setdefault((trial.backend.key, trial.op.name, name_of(trial.dtype)), [])
        start = found.choices
        with trial.backend.patience(IMPATIENT) if hangs else nullcontext():
            for known in small[:KNOWN] if trial.clause.kind != "edge" and not hangs else ():
                violation = alike(ReplayPick(known, trial.dtype, found.budget))
                if (
                    violation is not None
                    and violation.cause == found.violation.cause
                    and _elements(violation, None) <= found.first_elements
                ):
                    start, calls = known, KNOWN_CALLS
                    break
            shrunk = shrink(
                start,
                fails,
                trial.dtype,
                found.budget,
                most_calls=min(self.settings.shrink_calls, calls),
                most_seconds=HANG_SECONDS / WAITING if hangs else self.settings.shrink_seconds,
                made=trial.made if calls >= self.settings.shrink_calls and not hangs else None,
            )
        violation = alike(ReplayPick(shrunk.choices, trial.dtype, found.budget))
        if violation is None or _elements(violation, None) > found.first_elements:
            return replace(found, calls=shrunk.calls)
        if trial.clause.kind != "edge" and shrunk.choices not in small:
            small.append(shrunk.choices)
        return replace(found, violation=violation, choices=shrunk.choices, calls=shrunk.calls)


def _worst(tried: _Tried) -> str:
    """What became of a clause with failures: to lose the process is worse than a wrong answer."""
    seen = {failed.violation.status for failed in tried.failures}
    return next(status for status in ("crash", "timeout", "fail") if status in seen)


def trial_problem(violation: Violation) -> Op:
    """The problem on which a violation was seen."""
    problem: Op = violation.case.problem
    return problem


def operation_named(name: str) -> type[Op]:
    """The operation class of a snake_case name. Raises KeyError for a name that is none."""
    return {op.name: op for op in SPECIFIED}[name]


def _elements(violation: Violation, problem: Op | None) -> int:
    case = violation.case
    shown = case.problem if case is not None else problem
    return 0 if shown is None else int(shown.elements())
