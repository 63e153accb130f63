"""The suite can fail: every bug is seen by the clauses about it, every clause sees a bug, and right answers pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from convspec.adapters import Backend
from convspec.conformance.call_checks import WRONG_ALONE
from convspec.conformance.checks import all_clauses, clauses_of
from convspec.conformance.compare import wrong_values
from convspec.conformance.engine import Engine, Verdict, operation_named
from convspec.conformance.settings import PROFILES, Settings
from convspec.reference import OPS, Clause, Relu
from convspec.reference.formats import format_of, round_to
from convspec.reference.rounding import Arithmetic

from .broken import TABLE, Broken, Right
from .broken.base import Array
from .broken.dropout import Drops
from .broken.legal import LEGAL
from .broken.normalize import RightNorm

CLAUSES = {clause.name: clause for clause in all_clauses()}

# Laws and rules may need more than the bug does: a second image, a whole identity matrix. Their cases are not measured.
MEASURED = ("exact_on_integers", "within_the_bound", "size_follows_the_formula", "dtype_is_that_of_x")


def _settings(examples: int, shrink_calls: int) -> Settings:
    return Settings(profile=PROFILES["smoke"], examples=examples, shrink_calls=shrink_calls, shrink_seconds=20)


ENGINES: dict[tuple[int, int], Engine] = {}


def engine(examples: int = 30, shrink_calls: int = 1) -> Engine:
    """One engine for all tests of one setting, so that the problems and their truths are made once."""
    return ENGINES.setdefault((examples, shrink_calls), Engine(_settings(examples, shrink_calls)))


def verdicts(entry: Broken) -> dict[str, Verdict]:
    """The clauses of an entry, tried; the failure of the first measured one made small."""
    wanted = next((c for c in entry.clauses if c.endswith(MEASURED) and not entry.general), "")
    return {
        name: engine(entry.examples, 250 if name == wanted else 1).run(
            CLAUSES[name], Backend.of(entry.name, entry.backend(), "test"), "float32"
        )
        for name in entry.clauses
    }


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: f"{entry.op}-{entry.name}")
def test_a_bug_is_seen_by_the_clauses_about_it(entry: Broken) -> None:
    tried = verdicts(entry)
    assert {name: v.cell.status for name, v in tried.items()} == dict.fromkeys(entry.clauses, "fail")
    for name, verdict in tried.items():
        assert verdict.failure is not None
        assert verdict.failure.message
        assert verdict.failure.summary
        assert verdict.script
        assert verdict.failure.clause == name
        if verdict.failure.shrink_calls > 1:
            assert verdict.failure.elements <= entry.elements, verdict.failure.summary


def test_every_clause_sees_a_bug() -> None:
    seen = {name for entry in TABLE for name in entry.clauses}
    assert sorted(CLAUSES.keys() - seen) == []
    assert sorted(seen - CLAUSES.keys()) == []


def test_the_table_is_told() -> None:
    assert len({entry.backend for entry in TABLE}) >= 60
    assert {entry.op for entry in TABLE} == {clause.op for clause in CLAUSES.values()}
    for entry in TABLE:
        assert entry.text, entry.name
    names = [(entry.op, entry.name) for entry in TABLE]
    assert len(names) == len(set(names))


# What comes back or happens instead of an array, with the words by which it is told.
MISBEHAVIOUR = {
    "raises": "raised OSError: libfast.so",
    "supports_raises": "its `supports` raised AttributeError: ",
    "answers_none": "returned None, not a NumPy array",
    "answers_lists": "returned a list, not a NumPy array",
    "answers_in_float64": "returned float64, but x is float32",
    "answers_na_n": "got nan, expected",
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_misbehaviour_is_a_failed_clause_and_the_run_goes_on(name: str) -> None:
    entry = next(e for e in TABLE if e.name == name and e.op == "linear")
    backend = Backend.of(entry.name, entry.backend(), "test")
    told = []
    for clause in clauses_of(operation_named("linear")):
        verdict = engine().run(clause, backend, "float32")
        # Where every value is wrong, nothing is left for clauses about calls.
        assert verdict.cell.status in ("pass", "fail") or verdict.cell.reason == WRONG_ALONE, verdict.cell.reason
        if verdict.failure is not None:
            told.append(verdict.failure.message)
    assert any(MISBEHAVIOUR[name] in message for message in told), told


@pytest.mark.parametrize(
    ("got", "due", "bound", "told"),
    [
        (np.nan, 1.0, np.inf, "NaN on one side only"),
        (1.0, np.nan, 0.5, "NaN on one side only"),
        (np.inf, np.nan, 0.0, "NaN on one side only"),
        (np.inf, -np.inf, np.inf, "opposite infinities"),
        (np.inf, 1.0, 0.5, "infinite on one side only"),
        (1.0, -np.inf, 0.0, "infinite on one side only"),
        (1.5, 1.0, 0.0, "must be exact"),
        (1.5, 1.0, 0.25, "off by 0.5, bound 0.25"),
    ],
)
def test_a_wrong_value_is_told_by_what_is_wrong_with_it(got: float, due: float, bound: float, told: str) -> None:
    y, expected, most = (np.array([v]) for v in (got, due, bound))
    violation = wrong_values(Relu(x=np.ones(1)), y, expected, most, np.array([True]))
    assert f"; {told}; " in violation.message
    assert "off by nan" not in violation.message


@pytest.mark.parametrize("clause", ["calls_in_between_change_nothing", "threads_do_not_disturb_each_other"])
@pytest.mark.parametrize("repeats", ["true", "false"])
def test_a_wrong_value_is_not_blamed_on_calls(clause: str, repeats: str) -> None:
    class Doubles(Right):
        def __init__(self) -> None:
            self.conventions = {"repeatable": repeats}

        def relu(self, problem: Any) -> Any:
            return 2 * super().relu(problem) + 1

    cell = engine().run(CLAUSES[f"relu.{clause}"], Backend.of("doubles", Doubles(), "test"), "float32").cell
    assert cell.status in ("pass", "not run"), cell.reason
    if cell.status == "not run":
        assert cell.reason == WRONG_ALONE or "does not repeat" in cell.reason, cell.reason


def _legal() -> list[pytest.param]:
    return [
        pytest.param(backend, op, dtype, id=f"{op}-{dtype}-{backend.__name__}")
        for op in sorted({op for _, ops in LEGAL for op in ops})
        for backend, ops in LEGAL
        if op in ops
        for dtype in _dtypes(backend)
    ]


def _dtypes(backend: type) -> tuple[str, ...]:
    """float32 and float64, or what a backend of 16 bits has."""
    own: tuple[str, ...] = backend.dtypes  # type: ignore[attr-defined]
    return tuple(dtype for dtype in ("float32", "float64") if dtype in own) or own


@pytest.mark.parametrize(("backend", "op", "dtype"), _legal())
def test_what_is_right_passes(backend: type, op: str, dtype: str) -> None:
    held = Backend.of(backend.__name__, backend(), "test")
    for clause in clauses_of(operation_named(op)):
        cell = engine().run(clause, held, dtype).cell
        assert cell.status in ("pass", "unsupported", "not run"), (clause.name, cell.reason)
        if not _outside(clause, held, dtype):
            assert cell.status == "pass", (clause.name, cell.reason)


def _outside(clause: Clause, backend: Backend, dtype: str) -> bool:
    """May a clause stay untried: because of what the backend declares, of operations that it lacks, or of bounds that
    in 16 bits say nothing after several layers?"""
    if clause.op == "stack" and dtype in ("float16", "bfloat16"):
        return True
    declares = hasattr(backend.subject, "supports") or backend.conventions or backend.name == "TakesDenseFiltersOnly"
    return bool(declares) or (clause.kind == "law" and len(backend.operations) < len(OPS))


class KeepsWhatItDeclares(RightNorm):
    """Mean and reciprocal deviation in float16, two passes, and says so."""

    dtypes = ("float16",)
    arithmetic = replace(Arithmetic.ieee("float16"), statistics="float16", name="16-bit statistics")

    def rows(self, x: Array, eps: float) -> Array:
        mean = x.mean(axis=1, keepdims=True).astype(np.float16).astype(np.float64)
        reciprocal = ((self.variance(x, mean) + eps) ** -0.5).astype(np.float16)
        return np.asarray((x - mean) * reciprocal.astype(np.float64))

    def variance(self, x: Array, mean: Array) -> Array:
        return np.asarray(((x - mean) ** 2).mean(axis=1, keepdims=True))


class TakesDeclaredStatisticsInOnePass(KeepsWhatItDeclares):
    """The mean of the squares is kept in float16 too, and the square of the mean taken from it."""

    def variance(self, x: Array, mean: Array) -> Array:
        squares = (x**2).mean(axis=1, keepdims=True).astype(np.float16).astype(np.float64)
        return np.maximum(squares - mean**2, 0)


class ScalesByTheUnbiasedVariance(KeepsWhatItDeclares):
    """The variance over m - 1."""

    def variance(self, x: Array, mean: Array) -> Array:
        m = x.shape[1]
        return super().variance(x, mean) * m / max(m - 1, 1)


@pytest.mark.parametrize("op", ["batch_norm2d", "layer_norm", "group_norm"])
@pytest.mark.parametrize(
    ("backend", "status"),
    [
        (KeepsWhatItDeclares, "pass"),
        (TakesDeclaredStatisticsInOnePass, "fail"),
        (ScalesByTheUnbiasedVariance, "fail"),
    ],
)
def test_declared_16_bit_statistics_excuse_their_rounding_and_no_more(op: str, backend: type, status: str) -> None:
    held = Backend.of(backend.__name__, backend(), "test")
    cell = engine().run(CLAUSES[f"{op}.within_the_bound"], held, "float16").cell
    assert cell.status == status, cell.reason


class StoresTheTruth(Right):
    """In 16 bits, a tie to the even side."""

    dtypes = ("float16", "bfloat16")

    def answer(self, problem: Any) -> Any:
        due = problem.expected()
        if isinstance(due, tuple):
            return tuple(None if y is None else self.stored(y, problem) for y in due)
        return self.stored(due, problem)

    def stored(self, y: Array, problem: Any) -> Any:
        return round_to(y, format_of(problem.dtype)).astype(problem.dtype)


class RoundsTiesUp(StoresTheTruth):
    """Half a step is added and what is too long cut off, as is done by hand for bfloat16."""

    def stored(self, y: Array, problem: Any) -> Any:
        form = format_of(problem.dtype)
        _, exponent = np.frexp(y)
        step = np.ldexp(1.0, np.maximum(exponent, form.smallest_exponent + 1) - form.p)
        return super().stored(np.floor(y / step + 0.5) * step, problem)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("op", ["conv2d", "linear", "avg_pool2d", "conv2d_backward"])
@pytest.mark.parametrize(("backend", "status"), [(StoresTheTruth, "pass"), (RoundsTiesUp, "fail")])
def test_a_tie_is_rounded_to_the_even_side(backend: type, status: str, op: str, dtype: str) -> None:
    verdict = engine(100).run(
        CLAUSES[f"{op}.exact_on_integers"], Backend.of(backend.__name__, backend(), "test"), dtype
    )
    assert verdict.cell.status == status, verdict.cell.reason
    if verdict.failure is not None:
        assert "; must be exact; " in verdict.failure.message


class DeclaresAlmostNothing(Right):
    """Answers that are up to a third too large, of a unit whose rounding says nothing of three terms and more."""

    dtypes = ("float16",)
    arithmetic = replace(Arithmetic.ieee("float16"), accumulator="float16", unit_factor=2.0**10, name="hardly any")

    def __init__(self) -> None:
        self.random = np.random.default_rng(1)

    def answer(self, problem: Any) -> Any:
        y = problem.expected()
        return (self.random.uniform(1.2, 1.3, y.shape) * y).astype(problem.dtype)


@pytest.mark.parametrize(
    "clause",
    [
        "within_the_bound",
        "images_are_independent",
        "views_equal_copies",
        "linear_in_the_inputs",
        "everything_may_be_permuted",
    ],
)
def test_a_case_whose_bound_says_nothing_is_not_exercised(clause: str) -> None:
    held = Backend.of("hardly any", DeclaresAlmostNothing(), "test")
    cases = engine(100).run(CLAUSES[f"linear.{clause}"], held, "float16").cell.cases
    assert cases.vacuous > 10


@pytest.mark.parametrize(("clause", "drawn"), [("within_the_bound", True), ("everything_is_dropped", False)])
def test_a_drawn_result_is_shown_by_drawing_again(clause: str, drawn: bool) -> None:
    """What is due follows from the mask of the answer: numbers in a script would not hold for a mended backend."""

    class Doubles(Drops):
        def dropout(self, problem: Any) -> Any:
            return super().dropout(problem) * (2 if problem.random else 1) + (problem.p == 1 and not drawn)

    verdict = engine(shrink_calls=60).run(
        CLAUSES[f"dropout.{clause}"], Backend.of("doubles", Doubles(), "test"), "float32"
    )
    assert verdict.failure is not None
    assert verdict.failure.expected is not None
    assert ("replay(" in verdict.script) == drawn
    assert ("expected = " in verdict.script) != ("replay(" in verdict.script)


def test_a_backend_that_writes_into_its_arguments_spoils_nothing_for_the_next() -> None:
    from convspec.adapters import load

    class InPlace:
        def relu(self, problem: Any) -> Any:
            np.maximum(problem.x, 0, out=problem.x)
            return problem.x

    ours, spoilt, right = engine(), Backend.of("in place", InPlace(), "test"), load("numpy")
    failed = []
    for clause in clauses_of(operation_named("relu")):
        if clause.kind != "rule":
            failed += [clause.name] * (ours.run(clause, spoilt, "float32").cell.status == "fail")
            assert ours.run(clause, right, "float32").cell.status == "pass", clause.name
    # An expanded view is read-only: writing into it raises.
    assert failed == [
        f"relu.{name}"
        for name in ("arguments_are_not_modified", "views_equal_copies", "results_are_memory_of_their_own")
    ]
