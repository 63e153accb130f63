"""Gradients of pooling are graded by the bits in which windows that overlap are added up; what only keeps to a loose
declaration, with a remark."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from convspec.adapters import load
from convspec.reference.formats import dtype_named, format_of, round_to
from convspec.reference.rounding import Arithmetic

from .simulated.graded import graded

POOLS = ("avg_pool2d_backward", "max_pool2d_backward")


class AddsIn11Bits:
    """The gradients of windows are added up one after the other, in numbers of a format of its own."""

    form = "float16"
    dtypes: ClassVar[Any] = ("float32", "float16", "bfloat16")

    def shares(self, problem: Any) -> Any:
        """What each window gives each of its taps: (N, C, I, J, R, S)."""
        g = problem.grad_output.astype(np.float64)
        if problem.name == "max_pool2d_backward":
            return problem.given(g)
        taps = (problem.forward.axes[0].taps, problem.forward.axes[1].taps)
        return np.broadcast_to((g / problem.forward.divisor)[..., None, None], (*g.shape, *taps))

    def added(self, problem: Any) -> Any:
        rows, columns = problem.forward.axes
        shares, to = self.shares(problem), format_of(self.form)
        total = np.zeros(problem.x.shape)
        for i, j, r, s in np.ndindex(shares.shape[2:]):
            h, w = rows.positions[i, r], columns.positions[j, s]
            if rows.inside[i, r] and columns.inside[j, s]:
                total[:, :, h, w] = round_to(total[:, :, h, w] + shares[:, :, i, j, r, s], to)
        return total.astype(problem.dtype)

    avg_pool2d_backward = max_pool2d_backward = added


class AddsIn24Bits(AddsIn11Bits):
    form = "float32"


class AddsIn8Bits(AddsIn11Bits):
    form = "bfloat16"


class ForgetsAWindow(AddsIn11Bits):
    form = "float32"

    def shares(self, problem: Any) -> Any:
        shares = np.array(super().shares(problem))
        shares[:, :, -1, -1] = 0
        return shares


def declaring(cls: type, dtype: str, accumulator: str) -> type:
    arithmetic = replace(Arithmetic.ieee(dtype), name="narrow sums", accumulator=accumulator)
    return type("Declares", (cls,), {"arithmetic": {(op, dtype): arithmetic for op in POOLS}})


@pytest.mark.parametrize("op", POOLS)
@pytest.mark.parametrize(
    ("cls", "dtype", "letters", "bits"),
    [
        (AddsIn24Bits, "float32", ("A", "X"), 24),
        (AddsIn24Bits, "bfloat16", ("A", "X"), "wider"),
        (AddsIn11Bits, "float32", ("R(11)",), 11),
        (AddsIn11Bits, "float16", ("A-",), 11),
        (AddsIn8Bits, "float32", ("R(8)",), 8),
        (AddsIn8Bits, "bfloat16", ("A-",), 8),
        (ForgetsAWindow, "float32", ("D",), None),
    ],
)
def test_sums_over_windows_are_told_apart(cls: type, dtype: str, letters: Any, bits: Any, op: str) -> None:
    made = graded(cls, op, dtype)
    assert made.grade in letters, made
    assert made.accumulator_bits == bits
    assert made.agrees == (made.grade in ("A", "X"))
    if made.grade in ("A-", "R(8)", "R(11)"):
        assert f"found sums kept in {bits} bits" in made.found


@pytest.mark.parametrize("op", POOLS)
def test_sums_over_windows_are_compared_with_what_is_declared(op: str) -> None:
    made = graded(declaring(AddsIn8Bits, "bfloat16", "bfloat16"), op, "bfloat16")
    assert (made.grade, made.agrees) == ("A-", True)
    assert made.found == "declared bfloat16 (narrow sums), found sums kept in 8 bits, as narrow as the numbers"
    better = graded(declaring(AddsIn24Bits, "bfloat16", "bfloat16"), op, "bfloat16")
    assert (better.grade in ("A", "X"), better.agrees) == (True, True)
    coarser = graded(declaring(AddsIn8Bits, "float32", "float16"), op, "float32")
    assert (coarser.grade, coarser.agrees) == ("R(8)", False)


def test_no_window_overlaps_where_a_backend_takes_none_that_do() -> None:
    class Apart(AddsIn24Bits):
        def supports(self, problem: Any) -> bool:
            return bool(np.all(np.array(problem.kernel_size) <= problem.stride))

    made = graded(Apart, "avg_pool2d_backward", "float32")
    assert (made.grade in ("A", "X"), made.agrees, made.accumulator_bits) == (True, True, None)
    assert made.notes == ["4x4 stride 1: outside its stated domain"]


def test_what_only_keeps_to_its_declaration_has_a_remark() -> None:
    """Judged by the default arithmetic first: a declaration makes no A of it. The steps of PyTorch's gradients of
    normalizations are each rounded to 16 bits."""

    def of(cls: type, arithmetic: Any) -> Any:
        held = type("Held", (cls,), {"arithmetic": arithmetic, "dtypes": ("bfloat16",)})
        return graded(held, "layer_norm_backward")

    torch, numpy = (type(load(name).subject) for name in ("torch", "numpy"))
    stored = replace(Arithmetic.ieee("bfloat16"), statistics="bfloat16", name="16-bit statistics")
    undeclared, declared = of(torch, "ieee"), of(torch, stored)
    assert (undeclared.grade[0] in "RD", undeclared.agrees) == (True, False)
    assert (declared.grade, declared.agrees) == ("A-", True)
    assert "found bfloat16 no better than declared: " in declared.found
    assert " of 12 problems beyond the bound of float32 inside" in declared.found
    assert declared.notes == ["no probe tells which step of a gradient is the narrow one"]
    assert of(numpy, stored).grade in ("A", "X")


def test_a_coarse_declaration_is_told_in_bits() -> None:
    """What keeps to a declaration coarser than the numbers of the dtype is no A-."""

    class Coarse:
        arithmetic = replace(Arithmetic.ieee("float32"), name="coarse", input_rounding=2.0**-8)

        def max_pool2d_backward(self, problem: Any) -> Any:
            made = load("numpy").subject.max_pool2d_backward(problem)
            return made.astype(dtype_named("bfloat16")).astype(np.float32)

    made = graded(Coarse, "max_pool2d_backward")
    assert (made.grade, made.agrees) == ("R(8)", True)
