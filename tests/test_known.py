"""The gallery of known bugs: each can be seen, on its trigger, and leaves alone what does not trigger it."""

from __future__ import annotations

import re

import pytest

from convspec.adapters import Backend
from convspec.conformance.checks import all_clauses
from convspec.conformance.engine import operation_named
from convspec.conformance.smaller import ENOUGH
from convspec.conformance.sweep import Clock, Oracle
from convspec.conformance.trial import Trial, outcome
from convspec.reference import Op
from convspec.reference.pick import ReplayPick

from .broken.base import Right
from .broken.known import KNOWN, Known

CLAUSES = {clause.name: clause for clause in all_clauses()}
CLOCK = Clock()
ORACLE = Oracle(CLOCK)


def tried(bug: Known, backend: type, problem: Op, clause: str) -> str:
    held = Backend.of(bug.name, backend(), "test")
    of = f"{problem.name}.{clause}"
    trial = Trial(CLAUSES[of], operation_named(problem.name), held, str(problem.dtype), ORACLE, CLOCK)
    result, violation, reason = outcome(trial, problem, ReplayPick(bug.choices, problem.dtype, 100_000))
    return violation.message if violation is not None else f"{result} {reason}".strip()


@pytest.mark.parametrize("bug", KNOWN, ids=lambda bug: f"{bug.id}-{bug.name}")
def test_a_known_bug_shows_on_its_trigger_alone(bug: Known) -> None:
    clause = bug.clause.partition(".")[2]
    problems = [bug.at(), *(at() for at in bug.also.values())]
    assert [problem.name for problem in problems] == list(bug.ops)
    for problem in problems:
        seen = tried(bug, bug.backend, problem, clause)
        assert not seen.startswith(("passed", "inapplicable", "unsupported", "vacuous")), f"{problem.name}: {seen}"
        assert tried(bug, Right, problem, clause) == "passed"
        if bug.spared is None:  # the clause makes the trigger; before that there is none
            assert tried(bug, bug.backend, problem, "within_the_bound") == "passed"
    if bug.spared is not None:
        assert tried(bug, bug.backend, bug.spared(), clause) == "passed"


@pytest.mark.parametrize("bug", KNOWN, ids=lambda bug: f"{bug.id}-{bug.name}")
def test_a_known_bug_shows_on_few_elements_or_says_what_it_needs(bug: Known) -> None:
    elements = max(problem().elements() for problem in (bug.at, *bug.also.values()))
    assert elements > ENOUGH if bug.needs else elements <= ENOUGH, elements


def test_the_gallery_is_told() -> None:
    assert len({bug.id for bug in KNOWN}) == len(KNOWN)
    for bug in KNOWN:
        assert re.fullmatch(r"B\d{3}", bug.id)
        assert re.fullmatch(r"[\w.-]+/[\w.-]+[#@]\w+", bug.ref), bug.ref
        assert bug.text, bug.id
        assert bug.ops, bug.id
