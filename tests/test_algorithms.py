"""Declared transforms: backends that compute so are held to what it costs, others are not let off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convspec.adapters.backend import Backend
from convspec.conformance.checks import clauses_of
from convspec.conformance.engine import Engine
from convspec.conformance.settings import PROFILES, Settings
from convspec.reference import Conv2d
from convspec.reference.algorithms import TILE, near
from convspec.reference.pick import RandomPick
from convspec.reference.rounding import DECLARED, Arithmetic
from convspec.reference.window import Window

from . import simulated

# Not those that ask for something else: other operations, and filters as long as the image, which TiledFft cannot do.
APART = ("conv2d.unshared_weights_may_be_equal",)


def tried(name: str, arithmetic: Any, *clauses: str, examples: int = 60) -> dict[str, str]:
    """The reasons of the clauses of conv2d that fail on a simulated backend with this declaration."""
    subject = getattr(simulated, name)()
    subject.arithmetic = arithmetic
    backend = Backend.of(name, subject, "file")
    engine = Engine(Settings(profile=PROFILES["default"], examples=examples, shrink_calls=1))
    failed = {}
    for clause in clauses_of(Conv2d):
        if clause.name not in APART and (not clauses or clause.name.split(".")[1] in clauses):
            cell = engine.run(clause, backend, "float32").cell
            if cell.status not in ("pass", "thin", "not run"):
                failed[clause.name.split(".")[1]] = cell.reason
    return failed


@pytest.mark.parametrize("m", [2, 4, 6])
def test_growth_is_that_of_the_matrices(m: int) -> None:
    a, g, b = simulated.toom_cook(m, getattr(simulated, f"Winograd{m}").points)
    growth = max((np.abs(a) * np.abs(g).max(axis=1) * np.abs(b).sum(axis=1)).sum(axis=1)) ** 2
    assert growth <= DECLARED[f"winograd_f{m}"]["growth"] < growth + 1


@pytest.mark.parametrize(
    ("name", "declared"), [("Winograd2", "winograd_f2"), ("Winograd6", "winograd_f6"), ("Fft", "fft")]
)
def test_a_declared_transform_passes(name: str, declared: str) -> None:
    assert tried(name, declared, examples=15) == {}


@pytest.mark.parametrize(
    ("name", "declared"),
    [("Winograd4", "winograd_f4"), ("TiledFft", "fft_tiled"), ("Strassen", Arithmetic.named("fft", "float32"))],
)
def test_the_bounds_of_the_others_hold(name: str, declared: Any) -> None:
    assert tried(name, declared, "within_the_bound", "exact_on_integers", "one_nan_touches_its_field") == {}


@pytest.mark.parametrize("name", ["Winograd4", "Winograd6", "Fft", "TiledFft"])
def test_an_undeclared_transform_fails(name: str) -> None:
    assert "within_the_bound" in tried(name, "ieee", "within_the_bound", examples=100)


@pytest.mark.parametrize(
    ("name", "declared"),
    [("DropsTheLastProduct", "winograd_f4"), ("F16Sums", "fft"), ("Bf16Inputs", "fft"), ("DropsTheLastProduct", "fft")],
)
def test_a_declaration_lets_no_other_fault_through(name: str, declared: str) -> None:
    assert "within_the_bound" in tried(name, declared, "within_the_bound", examples=100)


def test_a_transform_of_the_whole_is_none_of_tiles() -> None:
    """What it is caught by names its fault: the largest pixel is felt far away."""
    clause = "one_pixel_outshines_the_rest"
    assert tried("Fft", "winograd_f2", clause, examples=10)
    assert not tried("Fft", "fft", clause, examples=10)
    assert not tried("Winograd2", "winograd_f2", clause, examples=10)
    assert not tried("TiledFft", "fft_tiled", clause, examples=10)


def test_near_is_the_largest_of_all_tiles_that_hold_the_field() -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 3, 40, 37))
    rows, columns = Window(40, 3, stride=2), Window(37, 2, dilation=3)
    found = near(x, rows, columns)
    assert found.shape == (2, 3, rows.count, columns.count)
    for i, j in ((0, 0), (rows.count - 1, 5), (7, columns.count - 1)):
        down, across = max(0, 2 * i - TILE + 1), max(0, j - TILE + 1)
        due = np.abs(x[:, :, down : 2 * i + 3 + TILE - 1, across : j + 4 + TILE - 1]).max(axis=(2, 3))
        np.testing.assert_array_equal(found[:, :, i, j], due)


def test_a_transform_is_exact_only_where_everything_in_reach_is_zero() -> None:
    problem = Conv2d.draw(RandomPick("declared", np.dtype(np.float32), 10_000))
    zero = problem.but(x=np.zeros_like(problem.x), bias=None)
    assert zero.judgement(Arithmetic.named("winograd_f4", "float32")).forced.all()
    spot = np.zeros((1, 1, 60, 60), np.float32)
    spot[0, 0, 0, 0] = 1
    plain = Conv2d(x=spot, weight=np.ones((1, 1, 3, 3), np.float32))
    bound = plain.judgement(Arithmetic.named("winograd_f4", "float32"))
    assert not bound.forced[0, 0, : TILE - 1, : TILE - 1].any()
    assert bound.forced[0, 0, TILE:, TILE:].all()


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="algorithm 'guess' is unknown; known are direct, tiled, whole"):
        Arithmetic(name="x", storage="float32", accumulator="float32", algorithm="guess")
