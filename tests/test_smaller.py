"""Where Hypothesis leaves a failing case large, it is made smaller, with a backend that does not repeat as well."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from convspec.conformance.engine import Engine
from convspec.conformance.settings import PROFILES, Settings
from convspec.conformance.smaller import ENOUGH, Trial, smaller
from convspec.reference import Pad2d
from convspec.reference.pick import Pick, ReplayPick

from .broken.known import KNOWN
from .detection import tried

DTYPE = np.dtype(np.float32)
BY_ID = {bug.id: bug for bug in KNOWN}


@cache
def engine(seed: int) -> Engine:
    return Engine(Settings(profile=PROFILES["default"], examples=PROFILES["default"].examples, seed=seed))


# Small outputs of much padding, two sides at once, a path of 3x3 filters, many filters; wrong in every second call.
@pytest.mark.parametrize(
    ("id", "seed"),
    [("B069", 0), ("B125", 0), ("B037", 0), ("B207", 0), ("B209", 0), ("B009", 1), ("B009", 2), ("B207", 1)],
)
def test_a_bug_is_shown_on_few_elements(id: str, seed: int) -> None:
    result = tried(engine(seed), "known", id, "conv2d", BY_ID[id].backend)
    assert 0 < result.elements <= ENOUGH, result


def of(pick: Pick) -> Pad2d:
    """So many rows and columns; padding at the end that makes up for them."""
    rows, columns, after = (pick.choose(30, None) for _ in range(3))
    return Pad2d(x=np.ones((1, 1, rows + 1, columns + 1), np.float32), padding=((0, 0), (0, after)))


def searched(choices: list[int], fails: Any, most: int = 10_000) -> tuple[int, int]:
    calls = 0

    def counted(pick: Pick) -> int | None:
        nonlocal calls
        calls += 1
        problem = of(pick)
        return problem.elements() if fails(problem) else None

    found = smaller(choices, Trial(of, counted, DTYPE, 0, lambda: calls < most))
    problem = of(ReplayPick(found, DTYPE, 0))
    assert fails(problem)
    return problem.elements(), calls


def test_a_choice_may_become_larger() -> None:
    """Of 29 columns in all, few need be of the image."""
    elements, _ = searched([4, 28, 0], lambda problem: problem.output_shape()[3] >= 29)
    assert elements <= ENOUGH


def test_what_is_small_enough_is_left_alone() -> None:
    assert searched([0, ENOUGH - 1, 0], lambda problem: True) == (ENOUGH, 0)


def test_what_cannot_be_smaller_is_left_alone() -> None:
    assert searched([9, 2, 0], lambda problem: problem.x.shape[2:] == (10, 3))[0] == 30


def test_no_more_calls_are_made_than_allowed() -> None:
    assert searched([9, 9, 0], lambda problem: problem.elements() > 60, most=5) == (100, 5)
