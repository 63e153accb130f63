"""The clauses against the reference itself: worked examples, rules and their words, laws of answers rounded once and of
answers at the bound."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from convspec.conformance.compare import Vacuous, agree
from convspec.reference import (
    SPECIFIED,
    Clause,
    Composition,
    InvalidProblem,
    Op,
)
from convspec.reference.formats import FORMATS, dtype_named, format_of, round_to
from convspec.reference.measured import Measured
from convspec.reference.pick import RandomPick
from convspec.reference.rounding import Arithmetic, Bound

from .broken.base import masked

Array = npt.NDArray[np.float64]

DTYPES = tuple(FORMATS)


def clauses(kind: str) -> list[Any]:
    """(operation, clause) of every clause of a kind, named."""
    return [pytest.param(op, c, id=c.name) for op in SPECIFIED for c in op.clauses if c.kind == kind]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("op", "clause"), clauses("example"))
def test_worked_examples_are_what_the_reference_gives(op: type[Op], clause: Clause, dtype: str) -> None:
    worked = clause.enforce(dtype_named(dtype))
    assert worked
    for problem, output in worked:
        assert type(problem) is op
        assert problem.dtype == dtype_named(dtype)
        printed = output if isinstance(output, tuple) else (output,)
        given = {name: due for name, due in zip(problem.outputs, printed, strict=True) if due is not None}
        assert problem.output_shapes() == {name: due.shape for name, due in given.items()}, problem
        for name, due in given.items():
            np.testing.assert_allclose(problem.references()[name], due, rtol=1e-15, atol=0, err_msg=repr(problem))


@pytest.mark.parametrize(("op", "clause"), clauses("rule"))
def test_a_rule_looks_at_the_elements_of_arrays_only_if_it_says_so(op: type[Op], clause: Clause) -> None:
    """What is made of a valid problem by other elements alone is not asked again whether it obeys the others."""
    depends = False
    for i in range(20):
        problem = op.draw(RandomPick(f"{clause.name} {i}", np.dtype("float32"), 1000))
        for value in (np.nan, -1.0, 0.0):
            other = op(**{**vars(problem.but()), **{k: np.full_like(a, value) for k, a in problem.arrays().items()}})
            depends |= bool(clause.enforce(other)) != bool(clause.enforce(problem))
            assert problem.but(**other.arrays()).broken_rules() == other.broken_rules()
    assert clause.values or not depends


@pytest.mark.parametrize(("op", "clause"), clauses("rule"))
def test_a_broken_rule_is_seen_and_refused_in_its_words(op: type[Op], clause: Clause) -> None:
    assert clause.broken is not None
    name = clause.name.split(".")[1]
    told = 0
    for i in range(40):
        pick = RandomPick(f"{clause.name} {i}", np.dtype("float32"), 1000)
        valid = op.draw(pick)
        assert valid.broken_rules() == ()
        problem = clause.broken(valid, pick)
        broken = problem.broken_rules()
        assert name in broken, (valid, problem, broken)
        told += broken[0] == name
        first = next(c for c in op.clauses if c.name == f"{op.name}.{broken[0]}")
        for refuse in (problem.shape, problem.expected, problem.bound):
            with pytest.raises(InvalidProblem) as refusal:
                refuse()
            assert str(refusal.value).startswith(f"{op.name}: {first.text} Here: {op.name} ")
    assert told >= 36, f"told of its own rule in {told} of 40"


class Rounded:
    """An implementation that gives the reference's answers, rounded once: the best there can be."""

    rounds_products = False
    transforms = False

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def answers(self, problem: Op) -> dict[str, Array]:
        if isinstance(problem, Composition):
            problem.validate()
            return {problem.outputs[0]: np.asarray(problem.follow(self.layer), np.float64)}
        assert all(array.dtype == self.dtype for array in problem.arrays().values()), problem
        problem.validate()
        due = masked(problem).references()
        return {name: round_to(values, format_of(problem.dtype)) for name, values in due.items()}

    def layer(self, problem: Op) -> Any:
        """The answer for one layer of a network."""
        return self.answers(problem)[problem.outputs[0]].astype(problem.dtype)

    def outputs(self, problem: Op) -> dict[str, Measured]:
        bounds = masked(problem).judgements(Arithmetic.ieee(self.dtype))
        return {name: self.measured(value, bounds[name]) for name, value in self.answers(problem).items()}

    def measured(self, value: Array, bound: Bound) -> Measured:
        return Measured(value, np.where(bound.overflows | np.isinf(value), np.inf, bound.tolerance))

    def values(self, problem: Op) -> Array:
        return self.answers(problem)[problem.outputs[0]]

    def __call__(self, problem: Op) -> Measured:
        return self.outputs(problem)[problem.outputs[0]]

    def convention(self, name: str) -> str:
        return ""


class Sloppy(Rounded):
    """An implementation as far off as the bound and the format allow, wherever the result is not forced."""

    def layer(self, problem: Op) -> Any:
        return self.outputs(problem)[problem.outputs[0]].value.astype(problem.dtype)

    def outputs(self, problem: Op) -> dict[str, Measured]:
        if isinstance(problem, Composition):  # every layer is off
            return super().outputs(problem)
        best, truths = super().outputs(problem), masked(problem).truths()
        bounds = masked(problem).judgements(Arithmetic.ieee(self.dtype))
        return {name: self.shifted(best[name], *truths[name], bounds[name], problem) for name in best}

    def shifted(self, best: Measured, hi: Array, lo: Array, bound: Bound, problem: Op) -> Measured:
        sign = np.random.default_rng(best.value.size).choice((-1.0, 1.0), best.shape)
        error = np.where(np.isfinite(bound.tolerance), bound.tolerance, 0.0)
        off = round_to(hi + sign * error, format_of(problem.dtype))
        legal = ~bound.forced & (np.abs((off - hi) - lo) <= bound.tolerance)
        return Measured(np.where(legal, off, best.value), best.tolerance)


def hold(op: type[Op], clause: Clause, run: Rounded, cases: int) -> int:
    """Try a law on drawn problems. Returns on how many it said anything."""
    said = 0
    for i in range(cases):
        pick = RandomPick(f"law {op.name} {i}", dtype_named(run.dtype), 4000)
        problem = op.draw(pick)
        with np.errstate(all="ignore"):
            sides = clause.enforce(problem, run, pick)
            if sides is not None:
                said += bool(np.prod(sides[0].shape, dtype=int))
                with suppress(Vacuous):
                    agree(problem, *sides)
    return said


@pytest.mark.parametrize(("op", "clause"), clauses("law"))
def test_laws_hold_for_the_reference_rounded_once(op: type[Op], clause: Clause) -> None:
    assert hold(op, clause, Rounded("float32"), 28) >= 5
    for dtype in ("float64", "float16", "bfloat16"):
        hold(op, clause, Rounded(dtype), 5)


@pytest.mark.parametrize(("op", "clause"), clauses("law"))
def test_laws_hold_for_answers_at_the_bound(op: type[Op], clause: Clause) -> None:
    """A law that fails here would accuse an implementation that keeps its bound."""
    for dtype in ("float32", "float64", "bfloat16"):
        hold(op, clause, Sloppy(dtype), 7)
