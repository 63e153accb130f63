"""Gradients that are copied are exact; those that are added up have a rounding less than they have terms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from convspec.reference import (
    BatchNorm2dBackward,
    Conv2dBackward,
    LayerNormBackward,
    LinearBackward,
    MaxPool2dBackward,
    Op,
)
from convspec.reference.formats import FORMATS, dtype_named
from convspec.reference.rounding import Arithmetic, Bound

DTYPES = ("float64", "float32", "float16", "bfloat16")


def array(dtype: str, *values: float, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.resize(np.array(values), shape).astype(dtype_named(dtype))


def copies(dtype: str, g: float) -> dict[str, Op]:
    """Problems in which every element of a gradient is a copy of g, or zero."""
    one, pixel = (array(dtype, 1.0, shape=shape) for shape in ((1, 1), (1, 1, 1, 1)))
    square = array(dtype, 1.0, 2.0, 3.0, 4.0, shape=(1, 1, 2, 2))
    bias, grad = array(dtype, 0.0, shape=(1,)), array(dtype, g, shape=(1, 1, 1, 1))
    row = array(dtype, 1.0, 2.0, shape=(1, 2))
    return {
        "max_pool2d_backward": MaxPool2dBackward(x=square, kernel_size=(2, 2), stride=(2, 2), grad_output=grad),
        "linear_backward": LinearBackward(x=one, weight=one, bias=bias, grad_output=grad[0, 0]),
        "conv2d_backward": Conv2dBackward(x=pixel, weight=pixel, bias=bias, grad_output=grad),
        "layer_norm_backward": LayerNormBackward(
            x=row, axes=1, weight=row[0], bias=row[0], grad_output=array(dtype, g, shape=(1, 2))
        ),
    }


def of_copy(problem: Op, arithmetic: Arithmetic) -> Bound:
    bounds = problem.judgements(arithmetic)
    return bounds.get("grad_bias", bounds["grad_x"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", copies("float32", 0.5))
def test_a_copy_is_exact(name: str, dtype: str) -> None:
    """One half less an ulp is as near as a rounding would be: half an ulp of what is above it."""
    problem, strict = copies(dtype, 0.5)[name], Arithmetic.ieee(dtype)
    for unit_factor in (1.0, 2.0):
        assert not of_copy(problem, replace(strict, name="own", unit_factor=unit_factor)).tolerance.any()
    assert not of_copy(problem, replace(strict, name="own", flush_to_zero=True)).tolerance.any()
    narrow = replace(strict, name="own", accumulator=dtype)
    assert not of_copy(problem, narrow).tolerance.any()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", copies("float32", 0.5))
def test_a_copy_of_what_is_declared_to_be_rounded_or_flushed_is_not(name: str, dtype: str) -> None:
    strict, tiny = Arithmetic.ieee(dtype), float(FORMATS[dtype].smallest_normal) / 4
    flushing = replace(strict, name="own", flush_to_zero=True)
    assert of_copy(copies(dtype, tiny)[name], flushing).tolerance.max() >= tiny
    assert not of_copy(copies(dtype, tiny)[name], strict).tolerance.any()
    if name != "max_pool2d_backward":  # which multiplies nothing
        rounding = replace(strict, name="own", input_rounding=2.0**-4)
        assert of_copy(copies(dtype, 0.6)[name], rounding).tolerance.max() >= 0.6 * 2.0**-4


def test_a_number_that_the_accumulator_does_not_hold_is_rounded() -> None:
    narrow = replace(Arithmetic.ieee("float32"), name="own", accumulator="float16")
    assert of_copy(copies("float32", 0.6)["linear_backward"], narrow).tolerance.min() >= 0.6 * 2.0**-11
    kept = replace(Arithmetic.ieee("float32"), name="own", statistics="float16")
    x = array("float32", 1.0, 2.0, shape=(1, 1, 1, 2))
    bias = array("float32", 0.0, shape=(1,))
    grad = array("float32", 0.6, 0.0, shape=(1, 1, 1, 2))
    problem = BatchNorm2dBackward(x=x, weight=bias + 1, bias=bias, grad_output=grad)
    assert problem.judgements(kept)["grad_bias"].tolerance.min() >= 0.6 * 2.0**-11


def test_two_numbers_are_rounded_once() -> None:
    """1 + u is a tie; what is off by the roundings of two products more is rejected."""
    u = FORMATS["float32"].unit
    grad = array("float32", 1.0, 2.0**-24, shape=(2, 1))
    one = array("float32", 1.0, shape=(1, 1))
    problem = LinearBackward(x=array("float32", 1.0, shape=(2, 1)), weight=one, bias=one[0], grad_output=grad)
    bound = problem.judgements(Arithmetic.ieee("float32"))["grad_bias"].tolerance[0]
    assert u <= bound <= 1.001 * u
