"""Simulated normalizations and pools get the grade that they deserve; what is legal, and what is real, an A."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from convspec.adapters import Backend, Unsupported, load
from convspec.conformance.grading import Grade, grade
from convspec.conformance.grading.ask import Silent, ask
from convspec.conformance.grading.products import bits
from convspec.reference import OPS, AvgPool2d, BatchNorm2d, Conv2d, LayerNorm, Linear, LocalResponseNorm, Relu
from convspec.reference.formats import dtype_named
from convspec.reference.rounding import Arithmetic

from . import simulated
from .broken import legal_sums
from .broken.legal_batch_norm import LEGAL_BATCH_NORM
from .simulated import Plain
from .simulated.graded import graded

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
