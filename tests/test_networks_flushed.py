"""Networks: what a layer may lose by declared flushing, or to the range of its storage, is in the bound of all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from convspec.reference import Stack
from convspec.reference.formats import FORMATS
from convspec.reference.rounding import Arithmetic

TINY = float(FORMATS["float32"].smallest_normal)


def flushing(dtype: str) -> Arithmetic:
    return replace(Arithmetic.ieee(dtype), flush_to_zero=True, name="flushing")


def single(value: float, dtype: str, *shape: int) -> Any:
    return np.full(shape or (1, 1, 1, 1), value).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "x", "weight1", "rest"),
    [
        pytest.param("float32", 1.1, TINY * 8 / 1.1, {}, id="quotients"),
        pytest.param("float32", 1.1, 3e9, {"weight2": TINY / 4}, id="weights"),
        pytest.param("float32", 1.1, TINY / 3, {"weight2": 1e30}, id="answers"),
        pytest.param("float16", 0.11, 2.0**-12, {"weight2": 60.0}, id="stored"),
    ],
)
def test_what_a_layer_flushes_is_in_the_bound_of_the_network(dtype: str, x: float, weight1: float, rest: Any) -> None:
    """Zero is legal: of quotients, weights or answers that are subnormal; each layer says so on its own."""
    rest = {name: single(value, dtype) for name, value in rest.items()}
    last = {"op": "conv2d"} if rest else {"op": "avg_pool2d", "kernel_size": (3, 3), "stride": (3, 3)}
    problem = Stack(
        x=single(x, dtype, 1, 1, 3, 3), plan=({"op": "conv2d"}, last), weight1=single(weight1, dtype), **rest
    )
    truth, bound = problem.reference(), problem.judgement(flushing(dtype))
    assert np.all(np.abs(truth) <= bound.tolerance)
    assert not np.any(np.abs(truth) <= problem.judgement(Arithmetic.ieee(dtype)).tolerance)


def test_an_answer_that_the_storage_does_not_hold_has_no_bound_behind_it() -> None:
    """300 * 300 is infinite in float16, though not in the accumulator, and so is what the next layer makes of it."""
    a = single(300.0, "float16")
    problem = Stack(x=a, plan=({"op": "conv2d"}, {"op": "conv2d"}), weight1=a, weight2=single(0.1, "float16"))
    assert problem.judgement(Arithmetic.ieee("float16")).overflows.all()
