"""Every simulated arithmetic gets the grade that its mechanism deserves; what is legal, and what is real, an A."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from convspec.adapters import Backend, Unsupported, load
from convspec.conformance.grading import Grade, grade
from convspec.conformance.grading.ask import Silent, ask
from convspec.conformance.grading.geometries import forms
from convspec.conformance.grading.products import bits
from convspec.conformance.grading.tiles import size_of
from convspec.reference import OPS, AvgPool2d, BatchNorm2d, Conv2d, LayerNorm, Linear, LocalResponseNorm, Relu
from convspec.reference.rounding import Arithmetic, dtype_named

from . import simulated
from .broken import legal_sums
from .broken.legal_batch_norm import LEGAL_BATCH_NORM
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


# Gradients: what holds of some geometries alone.


class CoarseGradients:
    """In TF32 where `coarse` says so, of one gradient or of both."""

    only = ("grad_x", "grad_weight")

    def coarse(self, problem: Any) -> bool:
        raise NotImplementedError

    def conv2d_backward(self, problem: Any) -> Any:
        return self.partly(problem, load("numpy").subject.conv2d_backward)

    def linear_backward(self, problem: Any) -> Any:
        return self.partly(problem, load("numpy").subject.linear_backward)

    def partly(self, problem: Any, gradients: Any) -> Any:
        right = gradients(problem)
        if not self.coarse(problem):
            return right
        short = gradients(problem.but(**{k: simulated.rounded(a, 11) for k, a in problem.arrays().items()}))
        return tuple(b if name in self.only else a for name, a, b in zip(problem.outputs, right, short, strict=True))


class CoarseOfStride2(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(problem.stride == (2, 2))


class CoarseFiltersOfStride2(CoarseOfStride2):
    only = ("grad_weight",)


class CoarseOfDilation(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(problem.dilation != (1, 1))


class CoarseDepthwise(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(problem.weight.shape[1] == 1 and problem.groups > 1)


class CoarseGrouped(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(problem.groups > 1 and problem.weight.shape[1] > 1)


class CoarseOfOneTap(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(problem.weight.shape[2:] == (1, 1))


class CoarseOfManyTaps(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(problem.weight.shape[2] > 3)


class CoarseInTheLastGroup(CoarseGradients):
    """Of two and more groups the last alone."""

    def coarse(self, problem: Any) -> bool:
        return bool(problem.groups > 1)

    def partly(self, problem: Any, gradients: Any) -> Any:
        right, short = gradients(problem), super().partly(problem, gradients)
        if not self.coarse(problem):
            return right
        g = problem.groups
        right[0][:, -right[0].shape[1] // g :] = short[0][:, -right[0].shape[1] // g :]
        return right


class CoarseLongSums(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(len(problem.weight) > 64)


@pytest.mark.parametrize(
    ("cls", "op", "where"),
    [
        (CoarseOfStride2, "conv2d_backward", {"grad_x 3x3 stride 2", "grad_weight 3x3 stride 2"}),
        (CoarseFiltersOfStride2, "conv2d_backward", {"grad_weight 3x3 stride 2"}),
        (CoarseOfDilation, "conv2d_backward", {"grad_x 3x3 dilation 2", "grad_weight 3x3 dilation 2"}),
        (CoarseDepthwise, "conv2d_backward", {"grad_x 3x3 depthwise", "grad_weight 3x3 depthwise"}),
        (CoarseGrouped, "conv2d_backward", {"grad_x 3x3 grouped", "grad_weight 3x3 grouped"}),
        (CoarseOfOneTap, "conv2d_backward", {"grad_x 1x1", "grad_weight 1x1"}),
        (CoarseOfManyTaps, "conv2d_backward", {"grad_x 5x5", "grad_weight 5x5"}),
        (CoarseInTheLastGroup, "conv2d_backward", {"grad_x 3x3 grouped", "grad_x 3x3 depthwise"}),
        (CoarseLongSums, "linear_backward", {"grad_x 7 to 193", "grad_weight 7 to 193"}),
    ],
)
def test_gradients_are_graded_in_every_geometry(cls: type, op: str, where: set[str]) -> None:
    made = graded(cls, op)
    assert (made.grade, made.agrees) == ("R(11)", False)
    assert {g for g in made.geometries if not g.endswith(": A")} == {f"{name}: R(11)" for name in where}


def test_fewer_bits_are_left_by_larger_tiles() -> None:
    two, four, six = (graded(getattr(simulated, f"Winograd{m}"), "conv2d").input_bits for m in (2, 4, 6))
    assert two is not None
    assert four is not None
    assert six is not None
    assert 24 > two > four >= six > 11


# Normalizations: the grade, the class of the variance, the form of the output.
NORMS = (
    ("Centred", "A", "V-A", "F-0", "", "two passes, centred"),
    ("OnePass", "A-", "V-C", "F-0", "", "one pass"),
    ("Welford", "A", "V-B", "F-0", "", "a running mean"),
    ("Folded", "A", "V-A", "F-1", "", "folded"),
    ("OnePassFolded", "A-", "V-C", "F-1", "", "one pass, folded"),
    ("CoarseRoot", "R(12)", "", "", "", "deviations or statistics of 12 bits"),
    ("RefinedRoot", "A", "V-A", "F-0", "", "two passes"),
    ("F16Statistics", "R(11)", "", "", "", "deviations or statistics of 11 bits"),
    ("F16StatisticsOfF16", "A-", "V-A", "F-0", "S16", "kept in 16 bits"),
    ("EpsOutside", "D", "", "", "", "eps outside the root"),
    ("EpsMissing", "D", "", "", "", "eps missing"),
    ("EpsTwice", "D", "", "", "", "eps twice"),
    ("BesselInTheOutput", "D", "", "", "", "the variance over m - 1"),
    ("DropsAnElement", "D", "", "", "", "values out of bound"),
)


@pytest.mark.parametrize("op", ["layer_norm", "group_norm", "instance_norm2d", "batch_norm2d"])
@pytest.mark.parametrize(
    ("name", "letter", "variance", "form", "statistics", "words"), NORMS, ids=[row[0] for row in NORMS]
)
def test_normalizations_are_told_apart(
    name: str, letter: str, variance: str, form: str, statistics: str, words: str, op: str
) -> None:
    made = graded(getattr(simulated, name), op)
    assert (made.grade, made.variance, made.output_form, made.statistics) == (letter, variance, form, statistics)
    assert words in made.found
    assert made.agrees == (letter in ("A", "X") or name in ("OnePass", "OnePassFolded"))


def test_the_remembered_variance_is_looked_at() -> None:
    made = graded(simulated.BesselForgotten, "batch_norm2d")
    assert (made.grade, made.agrees) == ("D", False)
    assert "the remembered variance over m" in made.found
    declared = type("Biased", (simulated.BesselForgotten,), {"conventions": {"stored_variance": "biased"}})
    assert graded(declared, "batch_norm2d").grade == "A"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_summed_in_float32_are_right(dtype: str) -> None:
    for op in ("conv2d", "linear"):
        made = graded(simulated.Plain16, op, dtype)
        assert made.grade in ("A", "X")
        assert (made.accumulator_bits, made.agrees) == ("wider", True)
    for op in ("layer_norm", "batch_norm2d"):
        made = graded(simulated.Centred16, op, dtype)
        assert made.grade in ("A", "X")
        assert made.agrees


# A declaration is held to what it says.


def test_what_is_declared_is_enough() -> None:
    assert (graded(simulated.Tf32Declared, "conv2d").grade, graded(simulated.Tf32Declared, "conv2d").agrees) == (
        "R(11)",
        True,
    )
    narrow = replace(Arithmetic.ieee("float16"), accumulator="float16", name="narrow")
    assert graded(type("Narrow", (simulated.F16SumsOfF16,), {"arithmetic": narrow}), "conv2d").agrees
    emulated = replace(Arithmetic.ieee("float32"), input_rounding=2.0**-22, name="3xTF32")
    assert graded(type("Declared", (simulated.Tf32x3,), {"arithmetic": emulated}), "linear").agrees
    stored = replace(Arithmetic.ieee("float16"), statistics="float16", name="16-bit statistics")
    assert graded(type("Stored", (simulated.F16StatisticsOfF16,), {"arithmetic": stored}), "batch_norm2d").agrees


def test_what_is_declared_may_be_too_little() -> None:
    assert not graded(type("TooCoarse", (simulated.Bf16Inputs,), {"arithmetic": "tf32"}), "conv2d").agrees
    finer = replace(Arithmetic.ieee("float32"), input_rounding=2.0**-11, name="tf32 to nearest")
    assert graded(type("Nearest", (simulated.Tf32,), {"arithmetic": finer}), "linear").agrees
    assert not graded(type("CutOff", (simulated.Tf32Truncated,), {"arithmetic": finer}), "linear").agrees


# What is legal.

SUMS = tuple(cls for cls, ops in legal_sums.LEGAL_SUMS if "linear" in ops or cls is legal_sums.MultipliesMatrices)


@pytest.mark.parametrize("cls", SUMS)
def test_legal_sums_are_right(cls: type) -> None:
    """In any order, in blocks, in pairs, fused, in more bits."""
    op = "conv2d" if cls is legal_sums.MultipliesMatrices else "linear"
    made = graded(cls, op, "float32")
    assert made.grade in ("A", "X")
    assert made.agrees
    # Whoever sorts the terms never adds a small one to a large one that goes.
    wide = {"AccumulatesInMoreBits": "wider", "AddsTheLargestFirst": "wider"}
    assert made.accumulator_bits == wide.get(cls.__name__, 24)


@pytest.mark.parametrize(("cls", "op"), [(cls, ops[0]) for cls, ops in LEGAL_BATCH_NORM])
def test_legal_normalizations_are_right(cls: type, op: str) -> None:
    made = graded(cls, op)
    assert made.grade in ("A", "X", "A-")
    assert made.agrees


# Real backends.


@pytest.mark.parametrize("name", ["numpy", "c"])
def test_real_backends_are_right(name: str) -> None:
    backend = load(name)
    for op in OPS:
        for dtype in backend.dtypes if backend.offers(op.name) else ():
            made = grade(backend, op, dtype)
            assert made.grade in ("A", "X"), made
            assert made.agrees, made
            assert made.flush == "keeps", made


def test_torch_is_right() -> None:
    """But for what it declares, such as that products of bfloat16 are flushed, which not all processors do. Where one
    does, large fully connected layers are flushed and small ones are not, which nothing can declare."""
    pytest.importorskip("torch")
    backend = load("torch")
    for op in OPS:
        if op.name == "sync_batch_norm2d":  # starts processes
            continue
        for dtype in backend.dtypes if backend.offers(op.name) else ():
            made = grade(backend, op, dtype)
            if op is LocalResponseNorm and dtype_named(dtype).itemsize == 2:
                assert (made.grade, made.agrees) == ("-", False)
                continue
            relaxed = backend.arithmetic(op.name, dtype).name != "ieee"
            assert made.grade in (("A-", "A", "X") if relaxed else ("A", "X")), made
            if (op.name, dtype) in (("linear", "bfloat16"), ("linear_backward", "bfloat16")):
                assert made.agrees == (made.flush != "inconsistent"), made
            else:
                assert (made.agrees, made.flush == "inconsistent") == (True, False), made
            assert made.flush == "keeps" or backend.arithmetic(op.name, dtype).flush_to_zero, made


def test_a_tiled_fft_of_torch_is_found() -> None:
    """NNPACK's, which PyTorch takes for 17 images and more where it has no oneDNN."""
    torch = pytest.importorskip("torch")
    if not torch._nnpack_available():
        pytest.skip("this PyTorch has no NNPACK")

    class Nnpack(Plain):
        def conv2d(self, problem: Any) -> Any:
            (top, bottom), (left, right) = problem.padding
            if problem.groups > 1 or problem.dilation != (1, 1) or (top, left) != (bottom, right):
                raise Unsupported("one dense group with symmetric zeros")
            x, weight = torch.from_numpy(problem.x), torch.from_numpy(problem.weight)
            bias = None if problem.bias is None else torch.from_numpy(problem.bias)
            return torch._nnpack_spatial_convolution(x, weight, bias, (top, left), problem.stride).numpy()

    made = graded(Nnpack, "conv2d")
    assert made.grade == "B"
    assert made.radius == 11
    assert "a tiled transform of 14x14 outputs: FFT of 16x16 inputs" in made.found
    assert "3x3 depthwise: one dense group with symmetric zeros" in made.notes


# Pooling, and whatever has no probes.


class PoolsInF16:
    def avg_pool2d(self, problem: Any) -> Any:
        problem.validate()
        seen = problem.taps(problem.x.astype(np.float64)).astype(np.float32)
        total = np.zeros(seen.shape[:4], np.float16)
        for r, s in np.ndindex(seen.shape[4:]):
            total = (total + seen[..., r, s]).astype(np.float16)
        return (total / problem.divisor).astype(np.float32)


class PoolsRunning:
    """One running sum along each row: a window is the difference of two."""

    def avg_pool2d(self, problem: Any) -> Any:
        problem.validate()
        rows, columns = problem.axes
        if problem.padding != ((0, 0), (0, 0)) or problem.ceil_mode:
            raise Unsupported("no padding")
        total = np.pad(np.cumsum(problem.x, axis=3, dtype=np.float32), ((0, 0), (0, 0), (0, 0), (1, 0)))
        first = np.arange(columns.count) * columns.stride
        sums = total[..., first + columns.taps] - total[..., first]
        start = np.arange(rows.count) * rows.stride
        y = sum(sums[:, :, start + r] for r in range(rows.taps))
        return (y / problem.divisor.astype(np.float32)).astype(np.float32)


class ForgetsATap:
    def avg_pool2d(self, problem: Any) -> Any:
        problem.validate()
        seen = problem.taps(problem.x.astype(np.float64)).reshape(*problem.output_shape(), -1)
        return (seen[..., :-1].sum(axis=-1) / problem.divisor).astype(np.float32)


@pytest.mark.parametrize(("cls", "letter"), [(PoolsInF16, "R(11)"), (PoolsRunning, "C"), (ForgetsATap, "D")])
def test_pools_are_told_apart(cls: type, letter: str) -> None:
    made = grade(Backend.of("it", cls(), "module"), AvgPool2d, "float32")
    assert (made.grade, made.agrees) == (letter, False), made


class RespondsIn12Bits:
    def local_response_norm(self, problem: Any) -> Any:
        return simulated.rounded(problem.expected(), 12).astype(np.float32)


class AddsOneToTheBias(Plain):
    @staticmethod
    def biased(y: Any, bias: Any, problem: Any) -> Any:
        return Plain.biased(y, None if bias is None else bias + 1, problem)


def test_drawn_problems_have_their_say() -> None:
    made = grade(Backend.of("it", RespondsIn12Bits(), "module"), LocalResponseNorm, "float32")
    assert (made.grade, made.agrees) == ("R(12)", False)
    made = graded(AddsOneToTheBias, "linear")
    assert (made.grade, made.agrees) == ("D", False)


# Whatever a backend does, it is told.


class Difficult:
    """Raises in one operation, takes nothing in another, answers nonsense in the others."""

    def supports(self, problem: Any) -> bool:
        return not isinstance(problem, Relu)

    def relu(self, problem: Any) -> Any:
        return problem.x

    def conv2d(self, problem: Any) -> Any:
        raise RuntimeError("out of registers")

    def linear(self, problem: Any) -> Any:
        return np.full(problem.output_shape(), np.nan, np.float32)

    def layer_norm(self, problem: Any) -> Any:
        return None

    def batch_norm2d(self, problem: Any) -> Any:
        return tuple(np.full(shape, np.nan, np.float32) for shape in problem.output_shapes().values())


def test_there_is_always_an_answer() -> None:
    backend = Backend.of("difficult", Difficult(), "module")
    for op, dtype, letter, words in (
        (Conv2d, "float32", "-", "raised RuntimeError: out of registers"),
        (Relu, "float32", "-", "outside its stated domain"),
        (Linear, "float32", "D", "wrong"),
        (LayerNorm, "float32", "-", "returned None, not a NumPy array"),
        (BatchNorm2d, "float32", "D", "out of bound"),
        (AvgPool2d, "float32", "-", "the backend has no avg_pool2d"),
        (Linear, "float64", "-", "the backend has no linear in float64"),
    ):
        made = grade(backend, op, dtype)
        assert (made.grade, made.agrees) == (letter, False), made
        assert words in made.found
        assert msgspec.json.decode(msgspec.json.encode(made), type=Grade) == made


def test_bits_are_those_of_the_format_that_covers_the_error() -> None:
    errors = (0.0, 2.0**-24, 1.01 * 2.0**-24, 2.0**-11 / (1 + 2.0**-11), 0.7, 1.0, np.inf, np.nan)
    assert [bits(error, 24) for error in errors] == [24, 24, 23, 11, 0, 0, 0, 0]


def test_a_predicate_without_an_answer_is_told() -> None:
    class Undecided:
        def supports(self, problem: Any) -> None: ...

        def relu(self, problem: Any) -> Any:
            return problem.x

    with pytest.raises(Silent, match=r"^its `supports` returned None; it must return True or False"):
        ask(Backend.of("undecided", Undecided(), "test"), Relu(x=np.ones(2, np.float32)))
