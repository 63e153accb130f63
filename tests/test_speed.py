"""The page of times, from made-up ones."""

from __future__ import annotations

from benchmarks.isolation import Call
from benchmarks.machine import processor, vectors
from benchmarks.speed import machine, page
from benchmarks.suite import BUDGET, Spent

STAGES = {"drawing": 1.0, "reference": 4.0, "bound": 3.0, "judging": 2.0}


def test_times_stand_beside_their_budgets() -> None:
    runs = [Spent("smoke", 8.25, STAGES), Spent("default", 91.5, STAGES)]
    text = page("a machine, 2 cores", runs, [Call("ReLU", 0.01, 0.11), Call("convolution", 0.1, 0.5)])
    assert "Written by `make speed`, on a machine, 2 cores." in text
    assert "| smoke | 1 | 8.2 | 10 | 0.75 |" in text
    assert "| default | 2 | **91.5** | 90 | 0.75 |" in text
    assert "| profile | drawing | reference | bound | judging |" in text
    assert "| ReLU | 0.010 | 0.110 | 0.100 | 0.3 |" in text
    assert "| convolution | 0.100 | 0.500 | **0.400** | 0.3 |" in text


def test_every_budget_has_a_row_of_its_own() -> None:
    text = page("here", [Spent(profile, 1.0, STAGES) for profile in BUDGET], [])
    assert all(f"\n| {profile} | " in text for profile in BUDGET)


def test_the_machine_is_told() -> None:
    assert machine().startswith(processor())
    assert vectors() in machine()
    assert "NumPy" in machine()
