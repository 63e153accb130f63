"""Every known deviation that ships is one: its smallest case, run again, is wrong in the way that its entry says."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import pytest

from convspec.adapters import Backend, Lost, load
from convspec.conformance.case import Case, called
from convspec.conformance.checks import all_clauses
from convspec.conformance.compare import Violation, judge
from convspec.conformance.expectations import Expectation, expectations_for
from convspec.conformance.sweep import Clock, Oracle
from convspec.reference import Op
from convspec.reference.pick import ReplayPick

torch = pytest.importorskip("torch")

from .deviations_shown import NAMES, OTHERWISE, SCRIPTS, Ran  # noqa: E402 - they import torch
from .processor import AMX, INSTRUCTION, PAIRS, X86, Need, skip_elsewhere  # noqa: E402

CLAUSES = {clause.name: clause for clause in all_clauses()}


@dataclass(frozen=True)
class Entry:
    """An entry of a shipped file; the first of its clause has the number 0."""

    backend: str
    number: int
    told: Expectation

    @property
    def clause(self) -> str:
        return self.told.clause

    @property
    def case(self) -> str:
        return self.told.case

    @property
    def key(self) -> str:
        return f"{self.clause} {self.number}"


def shipped() -> list[Entry]:
    files = (file.name for file in resources.files("convspec.conformance").iterdir())
    found: list[Entry] = []
    for backend in sorted(name[11:-5] for name in files if name.startswith("deviations-")):
        known = expectations_for(backend, None)
        before = [told.clause for told in known]
        found += [Entry(backend, before[:k].count(told.clause), told) for k, told in enumerate(known)]
    return found


# What a processor must have for an entry to be seen, by the entry: it is oneDNN's choice of a kernel.

NEEDS: dict[str, Need] = {
    "conv2d.nan_reaches_no_other_output 0": PAIRS,
    "conv2d.one_nan_touches_its_field 0": PAIRS,
    "convolve2d.one_nan_touches_its_field 0": PAIRS,
    "conv2d.what_is_not_finite_passes_every_tap 0": PAIRS,
    "convolve2d.what_is_not_finite_passes_every_tap 0": PAIRS,
    "conv2d_backward.what_is_not_finite_passes_every_tap 0": PAIRS,
    "conv2d.views_equal_copies 0": INSTRUCTION,
    "conv2d.views_equal_copies 1": INSTRUCTION,
    "conv2d_backward.views_equal_copies 0": PAIRS,
    "conv2d_backward.views_equal_copies 1": PAIRS,
    "conv2d_backward.views_equal_copies 2": PAIRS,
    "conv2d_backward.what_is_not_finite_passes_every_tap 1": PAIRS,
    "conv2d_backward.one_nan_touches_its_field 0": X86,
    "conv2d_backward.one_nan_touches_its_field 1": AMX,
    "linear.nan_stays_in_its_row 0": AMX,
    "linear_backward.one_nan_touches_its_field 0": AMX,
}


# Cases that are one problem.


def wrong_with(backend: Backend, entry: Entry) -> str:
    """What is wrong with the answer to a problem; nothing if it is as specified."""
    problem, clause = eval(entry.case, dict(NAMES)), CLAUSES[entry.clause]
    assert isinstance(problem, Op), f"{entry.key}: the case is no problem"
    assert problem.name == clause.op, f"{entry.key}: the case is of {problem.name}"
    assert entry.told.explains(entry.clause, problem), f"{entry.key}: its condition does not hold for its case"
    if clause.kind == "rule":
        rule = clause.name.split(".")[1]
        assert rule in problem.broken_rules(), f"{entry.key}: the case does not break the rule"
        return _accepted(backend, problem)
    try:
        case = Case(problem, backend, Oracle(Clock()), Clock(), ReplayPick([], problem.dtype, 100_000))
        answers = case.answers(problem)
        judge(problem, answers, case.truths(problem, answers), case.arithmetic)
    except Violation as violation:
        return "" if clause.may_refuse and violation.cause.startswith("raised") else violation.message
    return ""


def _accepted(backend: Backend, problem: Op) -> str:
    try:
        called(backend, problem)
    except Lost:
        raise
    except Exception:
        return ""
    return "accepted"


def deviates(entry: Entry) -> None:
    """Run the case of an entry; an AssertionError says that nothing is wrong with it."""
    backend = load(entry.backend)
    if entry.key in SCRIPTS:
        wrong: Any = SCRIPTS[entry.key](Ran.of(entry.case))
    elif entry.key in OTHERWISE:
        wrong = OTHERWISE[entry.key](backend, entry.case)
    else:
        wrong = wrong_with(backend, entry)
    assert wrong, f"{entry.key}: the case does not deviate"


@pytest.mark.parametrize("entry", shipped(), ids=lambda entry: entry.key.replace(" ", "-"))
def test_a_known_deviation_is_one(entry: Entry) -> None:
    if entry.backend == "torch":
        skip_elsewhere(NEEDS.get(entry.key))
    deviates(entry)


def test_every_entry_that_has_a_way_of_its_own_is_there() -> None:
    assert {*NEEDS, *SCRIPTS, *OTHERWISE} <= {entry.key for entry in shipped()}


def made_up(clause: str, case: str, when: str = "True") -> Entry:
    name, _, number = clause.partition(" ")
    return Entry("torch", int(number or 0), Expectation(name, "made up", case, "", compile(when, "when", "eval")))


RIGHT = {
    "a problem that is refused": (
        made_up(
            "conv2d.groups_divide_channels",
            "Conv2d(x=np.zeros((1, 3, 1, 1), np.float32), weight=np.zeros((2, 1, 1, 1), np.float32), groups=2)",
        ),
        "does not deviate",
    ),
    "a right answer": (
        made_up("relu.within_the_bound", "Relu(x=np.array([-1, 2], np.float32))"),
        "does not deviate",
    ),
    "a problem that breaks no rule": (
        made_up("layer_norm.eps_is_not_negative", "LayerNorm(x=np.zeros((1, 2), np.float32), axes=1, eps=1.0)"),
        "does not break the rule",
    ),
    "a case beside its condition": (
        made_up("relu.within_the_bound", "Relu(x=np.array([-1, 2], np.float32))", "x.shape[0] == 3"),
        "condition does not hold",
    ),
    "a problem of another operation": (
        made_up("linear.within_the_bound", "Relu(x=np.ones(1, np.float32))"),
        "is of relu",
    ),
    "a value": (made_up("relu.within_the_bound", "np.ones(1)"), "is no problem"),
    "a script that shows nothing": (
        made_up("batch_norm2d.views_equal_copies", "x = torch.zeros(1, 1, 2, 3)\nx + 1\nx + 1"),
        "does not deviate",
    ),
    "a process that ends well": (made_up("conv2d.views_equal_copies 1", "torch.zeros(1)"), "does not deviate"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_an_entry_that_does_not_deviate_is_found(name: str) -> None:
    entry, told = RIGHT[name]
    with pytest.raises(AssertionError, match=told):
        deviates(entry)


def test_a_wrong_answer_is_found() -> None:
    """One of a rule that is kept, and one of a value: not only what refuses to run is told apart."""

    class Doubles:
        def relu(self, problem: Any) -> Any:
            return 2 * np.maximum(problem.x, 0)

    backend = Backend.of("doubles", Doubles(), "test")
    entry = made_up("relu.within_the_bound", "Relu(x=np.array([-1, 2], np.float32))")
    assert "got 4, expected 2" in wrong_with(backend, entry)
