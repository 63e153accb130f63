"""One clause tried on one case: made from choices, so that the sweep, the shrink and a replay make the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.adapters import Backend, Lost, Unsupported
from convspec.reference import Clause, Composition, Op
from convspec.reference.formats import dtype_named
from convspec.reference.pick import Pick, ReplayPick

from .case import Case, called, gone
from .compare import Evidence, Inapplicable, Tally, Truth, Vacuous, Violation, agree, judge, says_nothing
from .layer_checks import judge_calls
from .sweep import Clock, Oracle

RESULTS = ("passed", "failed", "unsupported", "inapplicable")


class Trial:
    """What a clause, a backend and a dtype have in common over all cases."""

    def __init__(
        self, clause: Clause, op: type[Op], backend: Backend, dtype: str, oracle: Oracle, clock: Clock
    ) -> None:
        self.clause = clause
        self.op = op
        self.backend = backend
        self.dtype = dtype_named(dtype)
        self.oracle = oracle
        self.clock = clock
        self.tally = Tally()

    def drawn(self, pick: Pick) -> Op:
        """The problem of a case drawn from nothing: a valid one of the operation."""
        return self.op.draw(pick)

    def made(self, pick: Pick) -> Op:
        """The problem of a case, of an edge the one on it; no backend is asked."""
        return self.clause.enforce(pick) if self.clause.kind == "edge" else self.drawn(pick)

    def judge(self, problem: Op, pick: Pick) -> Case:
        """Try the clause on a drawn problem, with further choices from `pick`.

        Raises Violation, Unsupported or Inapplicable; returning means that the clause was tried and held.
        """
        case = Case(problem, self.backend, self.oracle, self.clock, pick, self.tally)
        try:
            with self.clock.stage("judging"), np.errstate(all="ignore"):
                getattr(self, f"_{self.clause.kind}")(case)
        except Violation as violation:
            violation.case = case
            raise
        return case

    def examples(self) -> list[tuple[Op, Any]]:
        """The worked problems of an example, with their outputs: a tuple where there are several."""
        return list(self.clause.enforce(self.dtype))

    def worked(self, problem: Op, output: Any, pick: Pick) -> Case:
        """Try one worked example: the answer must be the printed output, to the bound."""
        case = Case(problem, self.backend, self.oracle, self.clock, pick, self.tally)
        declared = problem.declared(self.backend.conventions)
        if declared is problem:
            outputs = dict(zip(problem.outputs, output if len(problem.outputs) > 1 else (output,), strict=True))
        else:  # the printed output is that of the specification's own choice
            outputs = dict(declared.references())
        with self.clock.stage("judging"), np.errstate(all="ignore"):
            bounds = self.oracle.bounds(declared, case.arithmetic)
            truths = {
                name: Truth.of(np.asarray(due, np.float64), np.zeros(np.shape(due)), bounds[name])
                for name, due in outputs.items()
                if due is not None
            }
            try:
                judge(problem, case.answers(problem), truths, case.arithmetic)
            except Violation as violation:
                violation.case = case
                raise
        return case

    def _check(self, case: Case) -> None:
        self.clause.enforce(case)

    def _law(self, case: Case) -> None:
        sides = self.clause.enforce(case.problem, case, case.pick)
        if sides is None:
            raise Inapplicable("the law says nothing about this problem")
        if not np.size(sides[0].value if hasattr(sides[0], "value") else sides[0]):
            raise Inapplicable("nothing to compare")
        left, right = sides
        agree(case.problem, left, right, flushed=case.smallest)

    def _edge(self, case: Case) -> None:
        case.problem = self.clause.enforce(case.pick)
        try:
            answers = case.answers(case.problem)
        except Violation as violation:
            if self.clause.may_refuse and violation.cause.startswith("raised"):
                return
            raise
        if isinstance(case.problem, Composition):  # the end says little about a first layer
            judge_calls(case)
        truths = case.truths(case.problem, answers)
        judge(case.problem, answers, truths, case.arithmetic)
        if says_nothing(truths, answers):
            raise Vacuous

    def _rule(self, case: Case) -> None:
        """An invalid problem must be refused: any exception, and no result."""
        assert self.clause.broken is not None
        problem = case.problem = self.clause.broken(case.problem, case.pick)
        if not problem.broken_rules():
            raise Inapplicable("the change left the problem valid")
        with self.clock.stage("backend"):
            try:
                supported = self.backend.supports(problem)
            except Lost as lost:
                raise gone(lost, Evidence(problem)) from lost
            except Exception:  # a predicate written for valid problems may stumble over an invalid one
                supported = True
            if not supported:
                raise Unsupported("outside the backend's stated domain")
            try:
                result = called(self.backend, problem)
            except Unsupported:
                raise
            except Lost as lost:
                raise gone(lost, Evidence(problem)) from lost
            except (Exception, SystemExit):
                return
        seen = f"an array of shape {result.shape}" if isinstance(result, np.ndarray) else type(result).__name__
        actual = result if isinstance(result, np.ndarray) else None
        raise Violation("accepted", f"returned {seen} instead of refusing", Evidence(problem, actual=actual))


def outcome(trial: Trial, problem: Op, pick: Pick) -> tuple[str, Violation | None, str]:
    """One of RESULTS, the violation if there was one, and the reason if the case was not tried."""
    try:
        trial.judge(problem, pick)
    except Violation as violation:
        return "failed", violation, ""
    except Unsupported as error:
        return "unsupported", None, str(error)
    except Vacuous as error:
        return "vacuous", None, str(error)
    except Inapplicable as error:
        return "inapplicable", None, str(error)
    return "passed", None, ""


def tried_on(trial: Trial, pick: Pick) -> Violation | None:
    """Make a whole case from choices and try the clause on it: the violation, if there is one."""
    problem = trial.op.draw(pick) if trial.clause.kind != "edge" else None
    if problem is None:
        return outcome(trial, trial.op.draw(ReplayPick([], trial.dtype, pick.budget)), pick)[1]
    return outcome(trial, problem, pick)[1]
