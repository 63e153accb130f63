"""The bound on chance against exact binomial tails, pairs against double counting, dropout read from answers."""

from __future__ import annotations

import itertools
from math import comb
from typing import Any

import numpy as np
import pytest

from convspec.adapters import Backend
from convspec.conformance.checks import clauses_of
from convspec.conformance.engine import Engine
from convspec.conformance.settings import PROFILES, Settings
from convspec.reference import Dropout, Dropout2d, Undetermined, chance

from .broken.dropout import (
    CountsPInHundredths,
    DropsEverythingForALargeP,
    KeepsEverythingForASmallP,
    TakesASmallPForZero,
)

P = (0.001, 0.004, 0.01, 0.1, 0.25, 0.5, 0.82, 0.9, 0.99, 0.996, 0.999)


@pytest.mark.parametrize("allowed", [1e-3, 1e-9, 1e-14])
def test_the_tails_beyond_the_distance_are_rarer_than_allowed(allowed: float) -> None:
    binom = pytest.importorskip("scipy.stats").binom
    used = []
    for n, p in itertools.product((1, 2, 10, 64, 1000, 4096, 2**15, 2**17, 2**20), P):
        far = chance.distance(n, p, allowed)
        # counts k with |k/n - p| > far, exactly
        above, below = np.floor(n * (p + far)), np.ceil(n * (p - far))
        tail = binom.sf(above, n, p) + binom.cdf(below - 1, n, p)
        assert tail <= allowed, (n, p)
        used.append(tail / allowed)
    assert max(used) >= 0.01  # not so far that nothing would be seen


def test_the_distance_is_no_further_than_the_exponent_wants() -> None:
    for n, p in itertools.product((64, 4096, 2**20), (0.1, 0.5, 0.9)):
        far = chance.distance(n, p, 1e-14)
        assert min(chance.divergence(p + far, p), chance.divergence(p - far, p)) * n >= np.log(2e14)
        near = far * (1 - 1e-6)
        assert min(chance.divergence(p + near, p), chance.divergence(p - near, p)) * n < np.log(2e14)
    assert chance.distance(2**20, 0.5, 1e-14) < 0.00401  # sqrt(ln(2e14) / 2n), Hoeffding's


@pytest.mark.parametrize(("n", "p"), [(2**15, 0.004), (2**17, 0.001)])
def test_of_so_many_draws_none_and_twice_as_many_are_too_far_off(n: int, p: float) -> None:
    """What `a_small_share_is_drawn` rests on; of half as many draws none at all would pass."""
    for share in (p, 1 - p):
        far = float(chance.shares([n], share).tolerance[0])
        assert far < 0.9 * p
        assert float(chance.shares([n // 2], share).tolerance[0]) > p


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("backend", "clause"),
    [
        (TakesASmallPForZero, "within_the_bound"),
        (TakesASmallPForZero, "nearly_nothing_is_dropped"),
        (KeepsEverythingForASmallP, "a_small_share_is_drawn"),
        (DropsEverythingForALargeP, "a_small_share_is_drawn"),
        (CountsPInHundredths, "a_small_share_is_drawn"),
    ],
)
@pytest.mark.parametrize("op", [Dropout, Dropout2d])
def test_what_is_wrong_for_a_p_near_0_or_1_alone_is_seen(op: Any, backend: type, clause: str, seed: int) -> None:
    settings = Settings(profile=PROFILES["default"], seed=seed, shrink_calls=1)
    held = Backend.of(backend.__name__, backend(), "test")
    (found,) = (c for c in clauses_of(op) if c.name == f"{op.name}.{clause}")
    assert Engine(settings).run(found, held, "float32").cell.status == "fail"


def test_divergence_by_hand() -> None:
    assert chance.divergence(0.5, 0.5) == 0
    assert chance.divergence(1.0, 0.5) == pytest.approx(np.log(2))
    assert chance.divergence(0.75, 0.25) == pytest.approx(0.5 * np.log(3))
    assert chance.divergence(0.5, 0.0) == chance.divergence(1.5, 0.5) == np.inf


def test_the_central_share_is_summed() -> None:
    assert chance.central(4, 1) == (4 + 6 + 4) / 16
    assert chance.central(64, 32) == 1
    assert chance.central(64, 0) == comb(64, 32) / 2**64


def test_no_draw_is_in_two_pairs_of_a_family() -> None:
    """Each family's pairs, found by marking one position at a time: whoever it agrees with."""
    for length, lag in itertools.product(range(2, 14), range(1, 13)):
        if lag >= length:
            continue
        starts = np.arange(length - lag)
        found = chance.agreements(np.zeros((length, 3), bool), 0, lag)
        assert sum(n for _, n in found) == 3 * (length - lag)
        for odd in (0, 1):
            firsts = starts[starts // lag % 2 == odd]
            both = [*firsts, *(firsts + lag)]
            assert len(both) == len(set(both))
            assert not len(firsts) or (3 * len(firsts), 3 * len(firsts)) in found


@pytest.mark.parametrize("op", [Dropout, Dropout2d])
def test_a_problem_left_to_chance_says_so(op: Any) -> None:
    problem = op(x=np.ones((2, 3, 1, 2)))
    assert problem.shape() == (2, 3, 1, 2)
    for ask in (problem.expected, problem.bound, problem.truths):
        with pytest.raises(Undetermined, match=r"drawn, so that there is no one result; problem.settled\(y\) is"):
            ask()
    for certain in (problem.but(training=False), problem.but(p=0.0), problem.but(p=1.0)):
        assert certain.expected().tolist() == (problem.x * (certain.p < 1 or not certain.training)).tolist()


def test_an_answer_settles_what_was_dropped() -> None:
    x = np.array([3.0, 0, np.nan, np.inf, np.nan, np.inf, -np.inf, 5])
    y = np.array([4.0, 0, np.nan, np.inf, 0, np.nan, 0, -0.0])
    settled = Dropout(x=x, p=0.25).settled(y)
    np.testing.assert_array_equal(settled.expected(), y)  # all of it is legal
    assert not settled.random
    assert settled.but().random
    assert Dropout(x=x, p=0.25).settled(np.full(8, 7.0)).expected()[0] == 4  # a wrong value is no new truth


def test_a_channel_is_kept_if_any_of_its_pixels_is() -> None:
    x = np.array([1.0, 2, 3, 4, np.nan, 6, np.inf, 8]).reshape(1, 4, 1, 2)
    y = np.array([2.0, 0, 0, 0, np.nan, 0, np.inf, 16]).reshape(1, 4, 1, 2)
    due = Dropout2d(x=x).settled(y).expected()
    np.testing.assert_array_equal(due.reshape(4, 2), [[2, 4], [0, 0], [np.nan, 0], [np.inf, 16]])
