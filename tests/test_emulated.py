"""float32 that is made of several shorter numbers: right where it is declared, rejected where it is not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from convspec.adapters import Backend
from convspec.conformance.checks import clauses_of
from convspec.conformance.engine import Engine
from convspec.conformance.settings import PROFILES, Settings
from convspec.reference import Linear
from convspec.reference.rounding import Arithmetic

from . import simulated
from .simulated.graded import graded

SEEDS = (0, 1, 2)
EMULATED = {"bf16x3": (simulated.Bf16x3, 2.0**-23), "3xTF32": (simulated.Tf32x3, 2.0**-22)}


@cache
def engine(seed: int) -> Engine:
    smoke = PROFILES["smoke"]
    return Engine(Settings(profile=smoke, examples=smoke.examples, seed=seed, shrink_calls=5, shrink_seconds=0.2))


def failing(cls: type, seed: int) -> set[str]:
    """The clauses of linear that do not pass in smoke."""
    backend = Backend.of(cls.__name__, cls(), "test")
    cells = [engine(seed).run(clause, backend, "float32").cell for clause in clauses_of(Linear)]
    assert len(cells) > 20
    return {cell.clause for cell in cells if cell.status != "pass"}


def declared(name: str) -> type:
    cls, rounding = EMULATED[name]
    arithmetic = replace(Arithmetic.ieee("float32"), name=name, input_rounding=rounding)
    return type(name, (cls,), {"arithmetic": {("linear", "float32"): arithmetic, ("conv2d", "float32"): arithmetic}})


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", EMULATED)
def test_an_emulation_that_is_declared_passes(name: str, seed: int) -> None:
    assert failing(declared(name), seed) == set()


@pytest.mark.parametrize("name", EMULATED)
def test_one_that_is_not_is_rejected(name: str) -> None:
    assert "linear.within_the_bound" in failing(EMULATED[name][0], seed=2)


@pytest.mark.parametrize("name", EMULATED)
def test_the_grade_says_what_to_declare(name: str) -> None:
    made = graded(EMULATED[name][0], "linear")
    assert (made.grade, made.agrees) == ("A-", True)
    assert any("declare it, as an Arithmetic with an input_rounding of 2**-22" in note for note in made.notes)
    made = graded(declared(name), "linear")
    assert (made.grade, made.agrees) == ("A-", True)
    assert not [note for note in made.notes if "declare it" in note]
