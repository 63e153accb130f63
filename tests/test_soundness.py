"""Bounds hold on toy machines of 3 to 8 bits, where second order is large; what is not legitimate is found there."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.soundness import SOURCES, Row, measure, tally
from benchmarks.toy import SIZES, Machine, ToyArithmetic, stored, toy_format
from benchmarks.toy_dots import ILLEGITIMATE, Dot, illegitimate
from convspec.conformance.compare import accepted
from convspec.reference.formats import round_to


@pytest.mark.parametrize("title", SOURCES)
def test_no_legitimate_answer_exceeds_its_bound(title: str) -> None:
    source, share = SOURCES[title]
    outputs = 100_000 if share == 1 else 50_000
    table = measure(source, outputs, seed=11, batch=25)
    found = {kind: row.first for kind, row in table.items() if row.violations}
    assert not found
    assert sum(row.outputs for row in table.values()) >= outputs
    nearest = max(row.worst for row in table.values())
    assert nearest > (0.9 if share == 1 else 0.2), "nothing comes near the bound: the sample says little"


@pytest.mark.parametrize("title", SOURCES)
def test_an_answer_half_as_large_again_exceeds_its_bound(title: str) -> None:
    """Not every one: zeros stay zeros, and in few bits some bounds are wide."""
    source, _ = SOURCES[title]
    random, outputs, found = np.random.default_rng(11), 0, 0
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for answer in source(random, 25):
            ok, _ = accepted(1.5 * answer.actual, answer.truth, answer.declared)
            outputs, found = outputs + ok.size, found + np.count_nonzero(~ok)
            if outputs > 50_000:
                break
    assert found > 0.05 * outputs


def test_an_illegitimate_answer_exceeds_its_bound() -> None:
    """On the same data: of all outputs, those of three bits and of many terms, whose bounds say nothing, among them."""
    table: dict[tuple[str, str], Row] = {}
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        tally(illegitimate(np.random.default_rng(11), 50), table, 10**6)
    assert {way for _, way in table} == set(ILLEGITIMATE)
    for (_, way), row in table.items():
        assert row.violations > 0.01 * row.outputs, (way, row)


@pytest.mark.parametrize("p", SIZES)
def test_a_product_is_rounded_once(p: int) -> None:
    """The bound of one product is u*|x*w|: what is right is within it, what is two steps away is not."""
    random, form = np.random.default_rng(3), toy_format(p)
    x, w = (stored(random.uniform(1, 2, (200, 1)), form) for _ in "xw")
    declared = ToyArithmetic.of(form)
    truth = Dot(x, w, None, 0).truth(declared)
    right = Machine(form).round((x * w)[:, 0])
    assert accepted(right, truth, declared)[0].all()
    assert not accepted(right * (1 + 4 * form.unit), truth, declared)[0].any()


@pytest.mark.parametrize("p", SIZES)
def test_the_machine_rounds_as_the_reference_does(p: int) -> None:
    random, form = np.random.default_rng(p), toy_format(p)
    values = random.standard_normal(20_000) * np.exp2(random.uniform(-16, 9, 20_000))
    assert np.array_equal(Machine(form).round(values), round_to(values, form))
    low, high = (Machine(form, direction).round(values) for direction in ("down", "up"))
    within = np.abs(values) < form.largest
    assert np.all((low <= values)[within] & (values <= high)[within])
    step = np.maximum(np.exp2(np.floor(np.log2(np.abs(values))) + 1 - p), form.spacing)
    assert np.array_equal(high[within] - low[within], step[within])


def test_what_is_simulated_is_exact_in_float64() -> None:
    """The smallest product is not lost beside the largest sum."""
    widest = toy_format(max(SIZES))
    smallest, largest = widest.spacing**2, 32 * widest.largest**2
    assert (largest + smallest) - largest == smallest
