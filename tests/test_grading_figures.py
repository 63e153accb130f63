"""What is told beside the grade: subnormal numbers, zeros, the table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from convspec.adapters import load
from convspec.conformance.grading.__main__ import main
from convspec.reference.rounding import Arithmetic

from . import simulated
from .simulated import Plain
from .simulated.graded import graded

# Subnormal numbers.


class FlushesOutputs(Plain):
    def multiply(self, filters: Any, columns: Any) -> Any:
        y = super().multiply(filters, columns)
        return np.where(np.abs(y) < np.finfo(np.float32).smallest_normal, np.float32(0), y)


class FlushesInputs(FlushesOutputs):
    def multiply(self, filters: Any, columns: Any) -> Any:
        least = np.finfo(np.float32).smallest_normal
        return super().multiply(*(np.where(np.abs(a) < least, np.float32(0), a) for a in (filters, columns)))


class FlushesSome(Plain):
    """All but the last filter."""

    def multiply(self, filters: Any, columns: Any) -> Any:
        y = super().multiply(filters, columns)
        y[:-1] = np.where(np.abs(y[:-1]) < np.finfo(np.float32).smallest_normal, 0, y[:-1])
        return y


class FlushesCopies:
    def relu(self, problem: Any) -> Any:
        y = np.maximum(problem.x, 0)
        return np.where(y < np.finfo(np.float32).smallest_normal, np.float32(0), y)


def flushed_in_vectors(y: Any, lanes: int = 8) -> Any:
    """Subnormal numbers are zero in whole vectors, and kept in what is left over behind the last."""
    flat = np.array(y).ravel()
    body = flat[: flat.size // lanes * lanes]
    body[np.abs(body) < np.finfo(flat.dtype).smallest_normal] = 0
    return flat.reshape(y.shape)


class FlushesVectors(simulated.Centred):
    def relu(self, problem: Any) -> Any:
        return flushed_in_vectors(np.maximum(problem.x, 0))

    def linear(self, problem: Any) -> Any:
        return flushed_in_vectors(Plain().linear(problem))

    def layer_norm(self, problem: Any) -> Any:
        return flushed_in_vectors(super().layer_norm(problem))

    def layer_norm_backward(self, problem: Any) -> Any:
        grads = load("numpy").subject.layer_norm_backward(problem)
        return tuple(g if g is None else flushed_in_vectors(g) for g in grads)


class FlushesLargeOnes(simulated.Centred):
    """Numbers are flushed where there are whole vectors at all."""

    def relu(self, problem: Any) -> Any:
        y = np.maximum(problem.x, 0)
        return y if y.size < 8 else flushed_in_vectors(y, lanes=1)


class FlushesGradients:
    """Those of layer_norm, on the way out."""

    def layer_norm_backward(self, problem: Any) -> Any:
        grads = load("numpy").subject.layer_norm_backward(problem)
        return tuple(g if g is None else np.where(np.abs(g) < np.finfo(g.dtype).smallest_normal, 0, g) for g in grads)


@pytest.mark.parametrize(
    ("cls", "op", "words"),
    [
        (FlushesGradients, "layer_norm_backward", "flushes outputs"),
        (FlushesOutputs, "conv2d", "flushes outputs"),
        (FlushesInputs, "linear", "flushes inputs too"),
        (FlushesSome, "conv2d", "inconsistent"),
        (FlushesVectors, "relu", "inconsistent"),
        (FlushesVectors, "linear", "inconsistent"),
        (FlushesVectors, "layer_norm", "inconsistent"),
        (FlushesVectors, "layer_norm_backward", "inconsistent"),
        (FlushesLargeOnes, "relu", "inconsistent"),
        (FlushesCopies, "relu", "flushes"),
        (Plain, "linear", "keeps"),
    ],
)
def test_flushing_is_told(cls: type, op: str, words: str) -> None:
    made = graded(cls, op)
    assert made.flush == words
    assert made.agrees == (words == "keeps")
    flushing = replace(Arithmetic.ieee("float32"), flush_to_zero=True, name="ftz")
    declares = graded(type("Declares", (cls,), {"arithmetic": flushing}), op)
    assert declares.agrees == (words != "inconsistent")  # which nothing can declare


# Zero times infinity.


class SkipsZeroWeights(Plain):
    """Products with weights of zero are not formed, as in sparse kernels."""

    def multiply(self, filters: Any, columns: Any) -> Any:
        y = np.zeros((len(filters), columns.shape[1]), np.float32)
        for k, row in enumerate(filters):
            y[k] = np.matmul(row[row != 0], columns[row != 0])
        return y


class SkipsZeroPixels(Plain):
    def multiply(self, filters: Any, columns: Any) -> Any:
        y = np.zeros((len(filters), columns.shape[1]), np.float32)
        for m, column in enumerate(columns.T):
            y[:, m] = np.matmul(filters[:, column != 0], column[column != 0])
        return y


class SkipsZerosOfOneFilter(Plain):
    def multiply(self, filters: Any, columns: Any) -> Any:
        with np.errstate(invalid="ignore"):
            y = Plain.multiply(self, filters, columns)
        y[0] = SkipsZeroWeights().multiply(filters[:1], columns)[0]
        return y


@pytest.mark.parametrize(
    ("cls", "filters", "images", "padding"),
    [
        (Plain, "computed", "computed", "computed"),
        (SkipsZeroWeights, "skipped", "computed", "computed"),
        (SkipsZeroPixels, "computed", "skipped", "skipped"),
        (SkipsZerosOfOneFilter, "computed or skipped", "computed", "computed"),
    ],
)
def test_skipped_zeros_are_told_and_nothing_held_against_them(
    cls: type, filters: str, images: str, padding: str
) -> None:
    made = graded(cls, "conv2d")
    assert made.zeros == {"filters": filters, "images": images, "padding": padding}
    assert (made.grade, made.agrees) == ("A", True)
    others = [f"{where} {how}" for where, how in made.zeros.items() if how != "computed"]
    assert made.zeros_told == (", ".join(others) if others else "computed")
    made = graded(cls, "linear")
    assert made.zeros == {"filters": filters, "images": images}
    assert made.agrees


def test_nothing_is_said_about_zeros_where_a_nan_goes_anywhere() -> None:
    assert graded(simulated.Winograd4, "conv2d").zeros == {}
    assert graded(simulated.Centred, "layer_norm").zeros == {}


# The table.


def test_the_table() -> None:
    ran = CliRunner().invoke(main, ["numpy", "--op", "linear", "--dtype", "float32"], env={"COLUMNS": "200"})
    assert ran.exit_code == 0, ran.output
    assert "summed in 24 bits" in " ".join(ran.output.split())
    ran = CliRunner().invoke(main, ["nupmy"])
    assert (ran.exit_code, "did you mean numpy" in ran.output) == (4, True)
