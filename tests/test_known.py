"""The gallery of known bugs: each can be seen, on its trigger, and leaves alone what does not trigger it."""

from __future__ import annotations

import re

import pytest

from convspec.adapters import Backend
from convspec.conformance.checks import all_clauses
from convspec.conformance.engine import operation_named
from convspec.conformance.sweep import Clock, Oracle
from convspec.conformance.trial import Trial, outcome
from convspec.reference import Op
from convspec.reference.pick import ReplayPick

from .broken.base import Right
from .broken.known import KNOWN, Known

CLAUSES = {clause.name: clause for clause in all_clauses()}
CLOCK = Clock()
ORACLE = Oracle(CLOCK)


def tried(bug: Known, backend: type, problem: Op) -> str:
    op = operation_named(bug.ops[0])
    held = Backend.of(bug.name, backend(), "test")
    trial = Trial(CLAUSES[bug.clause], op, held, str(problem.dtype), ORACLE, CLOCK)
    result, violation, reason = outcome(trial, problem, ReplayPick(bug.choices, problem.dtype, 100_000))
    return violation.message if violation is not None else f"{result} {reason}".strip()


@pytest.mark.parametrize("bug", KNOWN, ids=lambda bug: f"{bug.id}-{bug.name}")
def test_a_known_bug_shows_on_its_trigger_alone(bug: Known) -> None:
    seen = tried(bug, bug.backend, bug.at())
    assert not seen.startswith(("passed", "inapplicable", "unsupported", "vacuous")), seen
    assert tried(bug, Right, bug.at()) == "passed"
    if bug.spared is not None:
        assert tried(bug, bug.backend, bug.spared()) == "passed"


def test_the_gallery_is_told() -> None:
    assert len({bug.id for bug in KNOWN}) == len(KNOWN)
    for bug in KNOWN:
        assert re.fullmatch(r"B\d{3}", bug.id)
        assert re.fullmatch(r"[\w.-]+/[\w.-]+[#@]\w+", bug.ref), bug.ref
        assert bug.text, bug.id
        assert bug.ops, bug.id
