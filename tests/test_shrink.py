"""A kernel that fails many clauses has one bug: its smallest case is looked for once, and found again quickly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convspec.adapters import Backend
from convspec.conformance.checks import clauses_of
from convspec.conformance.engine import KNOWN_CALLS, Engine, Verdict, operation_named
from convspec.conformance.settings import PROFILES, Settings


class PassesEverything:
    """Lets negative numbers through; and has another shape for no numbers."""

    def relu(self, problem: Any) -> Any:
        return problem.x.copy() if problem.x.size else np.zeros((1,), problem.dtype)


def failures() -> dict[str, Verdict]:
    engine = Engine(Settings(profile=PROFILES["smoke"], examples=10))
    backend = Backend.of("passes everything", PassesEverything(), "test")
    clauses = [clause for clause in clauses_of(operation_named("relu")) if clause.kind in ("check", "law", "edge")]
    verdicts = {clause.name: engine.run(clause, backend, "float32") for clause in clauses}
    return {name: verdict for name, verdict in verdicts.items() if verdict.failure is not None}


@pytest.fixture(scope="module")
def failed() -> dict[str, Verdict]:
    return failures()


def test_the_smallest_case_of_one_clause_is_tried_on_the_next(failed: dict[str, Verdict]) -> None:
    first, *others = [v.failure for v in failed.values() if v.failure is not None and v.failure.cause == "wrong values"]
    assert first.shrink_calls > KNOWN_CALLS
    quick = [failure for failure in others if failure.shrink_calls <= KNOWN_CALLS]
    assert len(quick) >= len(others) // 2
    assert all(failure.elements <= 2 for failure in quick), [(f.clause, f.summary) for f in quick]


def test_another_bug_is_not_taken_for_it(failed: dict[str, Verdict]) -> None:
    """A wrong shape is told as one, though wrong values are easier to come by."""
    shapes = [v.failure for v in failed.values() if v.failure is not None and v.failure.cause == "wrong shape"]
    assert [failure.clause for failure in shapes] == ["relu.an_empty_array"]


def test_a_search_that_ends_for_want_of_calls_ends_where_it_did_before(failed: dict[str, Verdict]) -> None:
    def told(verdicts: dict[str, Verdict]) -> list[tuple[str, str, int]]:
        return [(v.failure.id, v.failure.message, v.failure.shrink_calls) for v in verdicts.values() if v.failure]

    assert told(failures()) == told(failed)
