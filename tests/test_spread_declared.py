"""The warning of errors that rounding does not explain, under declared arithmetic and of averages."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from convspec.adapters import Backend
from convspec.adapters.numpy_taps import NumpyTaps
from convspec.conformance.checks import clauses_of
from convspec.conformance.engine import Engine, operation_named
from convspec.conformance.settings import Settings
from convspec.reference import AvgPool2d, AvgPool2dBackward
from convspec.reference.dot import as_float
from convspec.reference.rounding import Arithmetic
from convspec.reports.record import FAR_FROM_RANDOM, Cell, warning_of

from .broken.legal_flushed import LEGAL_FLUSHED

NARROW = {(op, "float16"): "16-bit sums" for op in ("conv2d_backward", "avg_pool2d_backward")}
FLUSHING = {(op, "float32"): "flushed" for op in ("conv2d", "convolve2d", "linear", "linear_backward")}
AVERAGES = {(op, d): "" for op in ("avg_pool2d", "avg_pool2d_backward") for d in ("float64", "float32")}
LOOKED = {**NARROW, **FLUSHING, **AVERAGES}


@cache
def engine() -> Engine:
    return Engine(Settings(seed=0, shrink_calls=5, shrink_seconds=0.2))


def declared(op: str, dtype: str) -> Arithmetic:
    plain = Arithmetic.ieee(dtype)
    if (op, dtype) in NARROW:
        return replace(plain, name="16-bit sums", accumulator=dtype)
    return replace(plain, name="flushed", flush_to_zero=True) if (op, dtype) in FLUSHING else plain


def cell_of(backend: type, op: str, dtype: str, arithmetic: Arithmetic) -> Cell:
    """The cell of the clause about values."""
    held = type(backend.__name__, (backend,), {"dtypes": (dtype,), "arithmetic": {(op, dtype): arithmetic}})
    clause = next(c for c in clauses_of(operation_named(op)) if c.name == f"{op}.within_the_bound")
    return engine().run(clause, Backend.of(backend.__name__, held(), "test"), dtype).cell


class OffByHalf(NumpyTaps):
    """Answers are further off by half of what is allowed, where that is more than a few roundings: right, by the
    bound, as with sums of fewer bits than are declared."""

    def __getattribute__(self, name: str) -> Any:
        known = object.__getattribute__(self, name)
        return (lambda problem: self.off(problem, known)) if (name in dict.fromkeys(op for op, _ in LOOKED)) else known

    def off(self, problem: Any, right: Any) -> Any:
        answers, arithmetic = right(problem), self.arithmetic[problem.name, str(problem.dtype)]  # type: ignore[attr-defined]
        bounds = problem.judgements(arithmetic)
        several = isinstance(answers, tuple)
        made = [
            None if y is None else self.moved(y, 0.5 * bounds[name].tolerance)
            for name, y in zip(problem.outputs, answers if several else (answers,), strict=True)
        ]
        return tuple(made) if several else made[0]

    @staticmethod
    def moved(y: Any, more: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.where(more > 4 * np.spacing(np.abs(y)), as_float(y) + more, as_float(y)).astype(y.dtype)


@pytest.mark.parametrize(("op", "dtype"), LOOKED)
def test_right_answers_are_near_the_model(op: str, dtype: str) -> None:
    cell = cell_of(NumpyTaps, op, dtype, declared(op, dtype))
    assert cell.status == "pass"
    assert isinstance(cell.rms, float)
    assert cell.rms < FAR_FROM_RANDOM, (cell.rms, cell.rms_case)
    assert cell.arithmetic == LOOKED[op, dtype]


@pytest.mark.parametrize(("op", "dtype"), LOOKED)
def test_errors_that_are_within_the_bound_and_far_too_large_are_warned_of(op: str, dtype: str) -> None:
    cell = cell_of(OffByHalf, op, dtype, declared(op, dtype))
    assert cell.status == "pass"
    assert warning_of(cell), cell.rms


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("backend", [backend for backend, _ in LEGAL_FLUSHED], ids=lambda b: b.__name__)
def test_flushing_is_not_warned_of(backend: type, dtype: str) -> None:
    for op in ("linear", "convolve2d", "avg_pool2d"):
        flushing = replace(Arithmetic.ieee(dtype), name="flushed", flush_to_zero=True)
        cell = cell_of(backend, op, dtype, flushing)
        assert cell.status == "pass"
        assert not warning_of(cell), (op, cell.rms, cell.rms_case)
        assert isinstance(cell.rms, float)


def test_what_cuts_off_is_not_looked_at() -> None:
    """Its errors have one sign, and add up in proportion to the terms."""
    assert cell_of(NumpyTaps, "linear", "float32", Arithmetic.named("tf32", "float32")).rms is None
    nearest = replace(Arithmetic.ieee("float32"), name="tf32 to nearest", input_rounding=2.0**-11)
    assert cell_of(NumpyTaps, "linear", "float32", nearest).rms is not None


@pytest.mark.parametrize("size", [(2, 3), (2, 4)])
def test_the_model_of_averages_is_what_its_formula_says(size: tuple[int, int]) -> None:
    """Element by element, with zeros and padding, which are no terms; by six, and by eight, which is exact."""
    random, u, out, step = np.random.default_rng(2), 2.0**-24, 2.0**-11, 2.0**-24
    x = random.standard_normal((1, 2, 5, 6)).astype(np.float16)
    x[0, 0, 1] = 0
    fields: dict[str, Any] = {"kernel_size": size, "stride": (1, 2), "padding": ((1, 0), (0, 1))}
    exact, d = size == (2, 4), size[0] * size[1]

    def variance(terms: list[float]) -> float:
        used = [t for t in terms if t]
        n, y, squares = len(used), sum(used), sum(t**2 for t in used)
        added = ((n + 1) / 2 - 1 / n) * squares + (n / 3 * y**2 if n > 1 else 0) if n else 0.0
        rough = 0 if exact else 2 * max(squares, y**2)
        return float((0.4 * u) ** 2 * (added + rough) + (0.4 * out * y) ** 2 + ((0.3 * step) ** 2 if n else 0))

    problem = AvgPool2d(x=x, **fields)
    taps = problem.taps(x.astype(float)) / d
    likely = problem.likely_errors(Arithmetic.ieee("float16"))["y"]
    for at in np.ndindex(likely.shape):
        assert likely[at] == pytest.approx(np.sqrt(variance(taps[at].ravel().tolist())), rel=1e-6)
    gradient = random.standard_normal(problem.output_shape()).astype(np.float16)
    backward = AvgPool2dBackward(x=x, grad_output=gradient, **fields)
    likely = backward.likely_errors(Arithmetic.ieee("float16"))["grad_x"]
    shares: dict[tuple[int, int], list[float]] = {}
    for i, j, r, s in np.ndindex(*gradient.shape[2:], *size):
        shares.setdefault((i + r - 1, 2 * j + s), []).append(float(gradient[0, 1, i, j]) / d)
    for h, w in np.ndindex(5, 6):
        assert likely[0, 1, h, w] == pytest.approx(np.sqrt(variance(shares.get((h, w), []))), rel=1e-6)
