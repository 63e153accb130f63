"""Every simulated way to add up products gets the grade, the bits and the name that its mechanism deserves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convspec.conformance.grading.geometries import forms
from convspec.conformance.grading.tiles import size_of
from convspec.reference import Conv2d

from . import simulated
from .simulated import Plain
from .simulated.graded import graded

# Sums of products: the grade, the bits of inputs, products and sums, and words of what was found.
PRODUCTS = (
    ("Plain", "A", 24, 24, 24, "found float32, summed in 24 bits"),
    ("Wide", "X", 24, 24, "wider", "summed in 53 bits; every answer was the truth rounded once"),
    ("Tf32", "R(11)", 11, 10, 24, "inputs rounded to 11 bits: TF32"),
    ("Tf32Truncated", "R(10)", 10, 9, 24, "inputs rounded to 10 bits: TF32, truncated"),
    ("Bf16Inputs", "R(8)", 8, 7, 24, "inputs rounded to 8 bits: bfloat16"),
    ("F16Inputs", "R(11)", 11, 10, 24, "numbers far from 1 are lost"),
    ("OneRoundedFactor", "R(8)", 8, 8, 24, "filters alone rounded to 8 bits"),
    ("Float32ForFloat64", "R(24)", 24, 22, 24, "inputs rounded to 24 bits: float32, sums kept in 24 bits"),
    ("Bf16x2", "R(17)", 17, 15, 24, "inputs rounded to 17 bits: bf16x2"),
    ("Bf16x3", "A-", 24, 23, 24, "products to 23 bits: emulated float32, bf16x3"),
    ("Tf32x3", "A-", 23, (20, 21), 24, "bits: emulated float32, 3xTF32"),
    ("TruncatedSums", "A-", 24, 23, 24, "products to 23 bits: truncated"),
    ("F16Sums", "R(11)", 24, 24, 11, "sums kept in 11 bits: float16"),
    ("Bf16Sums", "R(8)", 24, 24, 8, "sums kept in 8 bits: bfloat16"),
    ("F16SumsOfBlocks", "R(11)", 24, 24, 11, "sums kept in 11 bits"),
    ("BiasAfterRounding", "A-", 11, 11, "wider", "biases added to what has been rounded"),
    ("F16SumsOfF16", "A-", 11, 11, 11, "sums kept in 11 bits, as narrow as the numbers"),
    ("DropsTheLastProduct", "D", None, None, None, "sums of small integers wrong"),
)


@pytest.mark.parametrize("op", ["conv2d", "linear"])
@pytest.mark.parametrize(
    ("name", "letter", "inputs", "products", "sums", "words"), PRODUCTS, ids=[r[0] for r in PRODUCTS]
)
def test_products_are_told_apart(
    name: str, letter: str, inputs: int | None, products: Any, sums: Any, words: str, op: str
) -> None:
    made = graded(getattr(simulated, name), op)
    assert (made.grade, made.input_bits, made.accumulator_bits) == (letter, inputs, sums)
    assert made.product_bits in (products if isinstance(products, tuple) else (products,))  # chance has its part
    assert words in made.found
    assert made.agrees == (letter in ("A", "X") or name in ("BiasAfterRounding", "Bf16x3", "Tf32x3"))


class Bf16x3OneByOne(Plain):
    """Each product of parts a matrix product of its own, the largest first."""

    def multiply(self, filters: Any, columns: Any) -> Any:
        a, b = (simulated.parts(x, 8, 3) for x in (filters, columns))
        pairs = sorted(((i, j) for i in range(3) for j in range(3 - i)), key=sum)
        return sum(Plain.multiply(self, a[i], b[j]) for i, j in pairs)


class Tf32x3InBlocks(Plain):
    """The products of eight terms after those of others, small parts first."""

    def multiply(self, filters: Any, columns: Any) -> Any:
        (a1, a2), (b1, b2) = (simulated.parts(x, 11, 2) for x in (filters, columns))
        y = np.zeros((len(filters), columns.shape[1]), np.float32)
        for t in range(0, len(columns), 8):
            part = slice(t, t + 8)
            for a, b in ((a1, b2), (a2, b1), (a1, b1)):
                y = y + Plain.multiply(self, a[:, part], b[part])
        return y


class Tf32x3Alone(Plain):
    """Each product is made of three and rounded before it is added to others: nothing shows what of."""

    def multiply(self, filters: Any, columns: Any) -> Any:
        (a1, a2), (b1, b2) = (simulated.parts(x, 11, 2) for x in (filters, columns))
        y = np.zeros((len(filters), columns.shape[1]), np.float32)
        for t in range(len(columns)):
            y = y + (a1[:, t, None] * b1[t] + (a1[:, t, None] * b2[t] + a2[:, t, None] * b1[t]))
        return y


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Bf16x3OneByOne, "emulated float32, bf16x3"),
        (Tf32x3InBlocks, "emulated float32, 3xTF32"),
        (Tf32x3Alone, "emulated float32, bf16x3 or 3xTF32"),
    ],
)
def test_what_float32_is_made_of_is_told_or_left_open(cls: type, words: str) -> None:
    made = graded(cls, "linear")
    assert (made.grade, made.agrees) == ("A-", True)
    assert made.found.endswith(words)
    assert made.level.startswith("emulated float32")


# Fast algorithms: the grade, how far errors reach, what they are called, and in which geometries they are used.
DENSE = {"3x3", "3x3, 32 channels", "3x3 batch of 18"}
ALGORITHMS = (
    ("Winograd2", "B", (0, 0), "with a weight of zero: a tiled transform of 2x2 outputs: Winograd F(2,3)", DENSE),
    ("Winograd4", "B", (1, 3), "columns off: a tiled transform of 4x4 outputs: Winograd F(4,3)", DENSE),
    ("Winograd6", "B", (1, 5), "columns off: a tiled transform of 6x6 outputs: Winograd F(6,3)", DENSE),
    ("Winograd4OfF16", "B", (1, 3), "of 4x4 outputs: Winograd F(4,3), and where nothing is added up they are", DENSE),
    ("WinogradInFloat64", "B", (1, 3), "a tiled transform (Winograd, FFT), and where nothing is added up", DENSE),
    (
        "TiledFft",
        "B",
        (6, 15),
        "columns off: a tiled transform of 14x14 outputs: FFT of 16x16 inputs,",
        {*DENSE, "1x1", "1x5 long row"},
    ),
    ("Fft", "C", (16, 999), "in the whole image", {*DENSE, "1x1", "1x5 long row"}),
    ("Strassen", "C", (0, 999), "filters, images, terms of one sum", {form.name for form in forms(Conv2d)}),
    ("SharedExponents", "C", (0, 999), "filters, images, terms of one sum", {form.name for form in forms(Conv2d)}),
)


@pytest.mark.parametrize(("name", "letter", "radius", "words", "where"), ALGORITHMS, ids=[r[0] for r in ALGORITHMS])
def test_algorithms_are_told_apart(
    name: str, letter: str, radius: tuple[int, int], words: str, where: set[str]
) -> None:
    made = graded(getattr(simulated, name), "conv2d")
    assert made.grade == letter
    assert made.radius is not None
    assert radius[0] <= made.radius <= radius[1]
    assert words in made.found
    assert not made.agrees
    spoiled = {g.split(": ")[0] for g in made.geometries if not g.endswith(": A")}
    if name in ("Strassen", "SharedExponents"):  # depthwise filters have nothing to be mixed with
        where = where - {"3x3 depthwise"}
        spoiled -= {"3x3 depthwise"}
    assert spoiled == where


class Winograd4AlongRows(simulated.Winograd4):
    """One dimension of F(4,3): the rows of the filter are added up."""

    def conv2d(self, problem: Any) -> Any:
        plain = problem.weight.shape[2:] == (3, 3) and problem.stride == problem.dilation == (1, 1)
        if not plain or problem.groups != 1 or problem.padding_mode != "zeros" or min(problem.output_shape()) < 1:
            return self.unfolded(problem)
        (n, k, i, j), m = problem.output_shape(), self.m
        a, g, b = (array.astype(np.float32) for array in simulated.toom_cook(m, self.points))
        (top, bottom), (left, right) = problem.padding
        x = np.pad(problem.x, ((0, 0), (0, 0), (top, bottom), (left, right + -j % m)))
        tiles = np.lib.stride_tricks.sliding_window_view(x, m + 2, 3)[:, :, :, ::m]
        y = np.zeros((n, k, i, (j + -j % m) // m, m), np.float32)
        for row in range(3):
            points = np.einsum("kcu,nciju->nkiju", problem.weight[:, :, row] @ g.T, tiles[:, :, row : row + i] @ b.T)
            y += points @ a.T
        y = y.reshape(n, k, i, -1)[..., :j]
        return self.biased(y, problem.bias if problem.bias is None else problem.bias[:, None, None], problem)


class Winograd8(simulated.Winograd4):
    m, points = 8, (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 0.25, -0.25)


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Winograd4AlongRows, "a tiled transform of 1x4 outputs: Winograd F(4,3) along rows"),
        (Winograd8, "a tiled transform of 8x8 outputs: Winograd F(8,3)"),
    ],
)
def test_other_tiles_are_measured(cls: type, words: str) -> None:
    made = graded(cls, "conv2d")
    assert made.grade == "B"
    assert words in made.found


def test_a_tile_of_which_one_border_is_seen_has_no_size() -> None:
    assert size_of({at: (0, 7) for at in range(8)}) is None
    assert size_of({at: (0, 3) if at < 4 else (4, 5) for at in range(6)}) == (4, False)
    assert size_of({0: (0, 3), 1: (0, 3), 2: (0, 3), 3: (0, 5), 4: (0, 5), 5: (4, 5)}) == (4, True)
    assert size_of({0: (0, 1), 1: (0, 1), 2: (2, 4), 3: (2, 4), 4: (2, 4)}) is None
    assert size_of({0: (0, 0), 1: (1, 1)}) == (1, False)
    assert size_of({}) is None


@pytest.mark.parametrize(
    ("name", "declared", "agrees"),
    [
        ("Winograd4", "winograd_f4", True),
        ("TiledFft", "fft_tiled", True),
        ("Fft", "fft", True),
        ("Fft", "winograd_f4", False),
        ("Plain", "winograd_f4", True),
        ("Tf32", "winograd_f4", False),
        ("DropsTheLastProduct", "fft", False),
    ],
)
def test_a_declared_transform_is_compared_with_what_is_found(name: str, declared: str, agrees: bool) -> None:
    class Declares(getattr(simulated, name)):  # type: ignore[misc]
        arithmetic = declared

    assert graded(Declares, "conv2d").agrees == agrees


def test_every_geometry_is_told() -> None:
    class Tf32In1x1(Plain):
        def conv2d(self, problem: Any) -> Any:
            return (simulated.Tf32 if problem.weight.shape[2:] == (1, 1) else Plain)().conv2d(problem)

    made = graded(Tf32In1x1, "conv2d")
    assert made.grade == "R(11)"
    assert [g for g in made.geometries if not g.endswith(": A")] == ["1x1: R(11)"]


def test_fewer_bits_are_left_by_larger_tiles() -> None:
    two, four, six = (graded(getattr(simulated, f"Winograd{m}"), "conv2d").input_bits for m in (2, 4, 6))
    assert two is not None
    assert four is not None
    assert six is not None
    assert 24 > two > four >= six > 11
