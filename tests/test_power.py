"""A sample of the known bugs, another one every day, must be caught by the default profile as a user runs it.

`make power` runs them all, with several seeds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from convspec.conformance.engine import Engine
from convspec.conformance.settings import PROFILES, Settings
from convspec.conformance.smaller import ENOUGH

from .broken.known import KNOWN, Known
from .broken.legal import LEGAL
from .detection import DTYPE, subjects, tried

EACH_DAY = 12
DAY = datetime.now(UTC).toordinal()
ENGINE = Engine(Settings(profile=PROFILES["default"], examples=PROFILES["default"].examples))


def of_today() -> list[Known]:
    """Every so-many-th of the gallery by operation, so that a sample shares problems and all have had their turn."""
    turns = max(len(KNOWN) // EACH_DAY, 1)
    return sorted(KNOWN[DAY % turns :: turns], key=lambda bug: bug.ops[0])


@pytest.mark.parametrize("bug", of_today(), ids=lambda bug: f"{bug.id}-{bug.name}")
def test_a_known_bug_is_caught(bug: Known) -> None:
    for op in sorted(bug.ops):
        result = tried(ENGINE, "known", bug.id, op, bug.backend)
        assert result.caught.startswith(f"{op}."), f"{bug.id} passes everything of {op}: {bug.text}"
        # What needs many elements is held to twice as many; the clause that catches it may need more for itself.
        assert result.elements <= (2 * bug.at().elements() if bug.needs else ENOUGH), result


def test_a_right_one_is_left_alone() -> None:
    chosen, ops = LEGAL[DAY % len(LEGAL)]
    assert not tried(ENGINE, "legal", chosen.__name__, ops[DAY % len(ops)], chosen).caught


@pytest.mark.parametrize(("dtypes", "dtype"), [(("float64", "float32"), DTYPE), (("bfloat16", "float16"), "bfloat16")])
def test_each_is_tried_in_a_dtype_that_it_has(dtypes: tuple[str, ...], dtype: str) -> None:
    seen = []

    class Sees:
        def relu(self, problem: Any) -> Any:
            seen.append(str(problem.dtype))
            return problem.x

    Sees.dtypes = dtypes  # type: ignore[attr-defined]
    assert tried(ENGINE, "legal", "Sees", "relu", Sees).caught
    assert set(seen) == {dtype}


def test_every_legal_backend_is_tried() -> None:
    ops = {op for _, ops in LEGAL for op in ops}
    named = {(id, op) for op in ops for kind, id, _ in subjects(op) if kind == "legal"}
    assert named == {(backend.__name__, op) for backend, ops in LEGAL for op in ops}
