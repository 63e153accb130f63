"""Bounds: implementations in the declared arithmetic stay within, in every order of summation; wrong ones do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from convspec.reference import AvgPool2d, BatchNorm2d, Conv2d, Linear, Op
from convspec.reference.data import KINDS, Data
from convspec.reference.formats import FORMATS, dtype_named, round_to
from convspec.reference.pick import RandomPick
from convspec.reference.rounding import Arithmetic, Bound
from convspec.reference.sets import statistics

Array = npt.NDArray[np.float64]
Tensor = npt.NDArray[Any]
Sum = Callable[[Array, np.random.Generator], Tensor]

KIND = np.float32  # what the toys accumulate in


def in_order(products: Array, random: np.random.Generator) -> Tensor:
    """One after the other, each product rounded before it is added."""
    total = np.zeros(products.shape[0], KIND)
    for t in range(products.shape[1]):
        total = total + products[:, t].astype(KIND)
    return total


def fused(products: Array, random: np.random.Generator) -> Tensor:
    """One after the other, product and sum rounded together (twice: float64 on the way adds next to nothing)."""
    total = np.zeros(products.shape[0], KIND)
    for t in range(products.shape[1]):
        total = (total.astype(np.float64) + products[:, t]).astype(KIND)
    return total


def tree(products: Array, random: np.random.Generator) -> Tensor:
    """A random tree over a random order, another for every output."""
    shuffled = random.permuted(products, axis=1).astype(KIND)
    parts = [shuffled[:, t] for t in range(shuffled.shape[1])]
    while len(parts) > 1:
        first = parts.pop(int(random.integers(len(parts))))
        second = parts.pop(int(random.integers(len(parts))))
        parts.append(first + second)
    return parts[0]


def lanes(products: Array, random: np.random.Generator) -> Tensor:
    """Eight lanes that start from zero, added up at the end."""
    each = [in_order(products[:, lane::8], random) for lane in range(8)]
    total = each[0]
    for lane in each[1:]:
        total = total + lane
    return total


def largest_partial_sums(products: Array, random: np.random.Generator) -> Tensor:
    """All that is positive, then all that is negative: the worst order there is."""
    return in_order(-np.sort(-products, axis=1), random)


def largest_first(products: Array, random: np.random.Generator) -> Tensor:
    by_size = np.take_along_axis(products, np.argsort(-np.abs(products), axis=1), axis=1)
    return fused(by_size, random)


def smallest_first(products: Array, random: np.random.Generator) -> Tensor:
    return in_order(np.take_along_axis(products, np.argsort(np.abs(products), axis=1), axis=1), random)


SUMS: tuple[Sum, ...] = (in_order, fused, tree, lanes, largest_partial_sums, largest_first, smallest_first)


def layers(dtype: str) -> Iterator[tuple[Op, Array, Array | None]]:
    """Problems of every kind of data, their exact products (outputs, terms), and the bias of each output."""
    seed = 0
    for kind in KINDS:
        for terms in (1, 2, 3, 5, 9, 27, 60):
            seed += 1
            data = Data(kind.name, seed, dtype_named(dtype), terms)
            x, weight = data.array((16, terms)), data.array((14, terms), "weight")
            bias = data.array((14,), "bias") if seed % 2 else None
            if seed % 13 == 0:  # into the subnormal numbers of the accumulator
                x, weight = (np.ldexp(np.asarray(a, np.float64), -68).astype(a.dtype) for a in (x, weight))
                bias = None
            products = np.asarray(x, np.float64)[:, None] * np.asarray(weight, np.float64)
            every = None if bias is None else np.tile(np.asarray(bias, np.float64), 16)
            yield Linear(x=x, weight=weight, bias=bias), products.reshape(-1, terms), every
    for i in range(40):
        problem = Conv2d.draw(RandomPick(f"bound {i}", dtype_named(dtype), 8000))
        n, k, height, width = problem.shape()
        g = problem.groups
        filters = np.asarray(problem.weight, np.float64).reshape(1, g, k // g, -1, 1)
        products = problem.columns(np.asarray(problem.x, np.float64))[:, :, None] * filters
        products = np.moveaxis(products, 3, -1).reshape(n * k * height * width, -1)
        every = None
        if problem.bias is not None:
            every = np.broadcast_to(np.asarray(problem.bias, np.float64)[:, None, None], problem.shape()).ravel()
        yield problem, products, every


def off(problem: Op, answer: Array) -> Array:
    """How far an answer is from the truth."""
    hi, lo = problem.truth()
    return np.abs((answer.reshape(hi.shape) - hi) - lo)


def ratio(error: Array, bound: Bound, problem: Op, way: str) -> float:
    """The largest error over bound; every error must be within, but where the sum may leave the range."""
    error = np.where(bound.overflows.reshape(error.shape), 0.0, error)
    assert np.all(error <= bound.tolerance), (problem, way, float(np.max(error - bound.tolerance)))
    return float(np.max(error / np.where(bound.tolerance > 0, bound.tolerance, 1.0), initial=0.0))


def test_every_float32_summation_keeps_the_bound_of_dot_products() -> None:
    random = np.random.default_rng(1)
    worst, outputs = 0.0, 0
    for problem, products, bias in layers("float32"):
        bound = problem.judgement(Arithmetic.ieee("float32"))
        hi, _ = problem.truth()
        for sum_up in SUMS:
            terms = products
            if bias is not None:  # first, last or anywhere between, as any other term
                terms = np.insert(products, int(random.integers(products.shape[1] + 1)), bias, axis=1)
            answer = sum_up(terms, random).astype(np.float64)
            worst = max(worst, ratio(off(problem, answer), bound, problem, sum_up.__name__))
            assert np.array_equal(answer.reshape(hi.shape)[bound.forced], hi[bound.forced]), (problem, sum_up)
            outputs += answer.size
    assert outputs > 100_000
    assert worst > 0.7, "a bound that no order comes near is looser than it need be"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_in_float32_rounded_to_16_bits_keep_the_bound(dtype: str) -> None:
    """Also where the bias is added after the sum was rounded."""
    random = np.random.default_rng(2)
    form = FORMATS[dtype]
    worst = 0.0
    for problem, products, bias in layers(dtype):
        bound = problem.judgement(Arithmetic.ieee(dtype))
        for sum_up in (in_order, tree, largest_partial_sums):
            alone = sum_up(products, random).astype(np.float64)
            answers = [round_to(alone, form)]
            if bias is not None:
                with_bias = sum_up(np.insert(products, 0, bias, axis=1), random).astype(np.float64)
                answers = [round_to(with_bias, form), round_to(answers[0] + bias, form)]
            for answer in answers:
                fits = np.isfinite(answer)
                error = np.where(fits, off(problem, np.where(fits, answer, 0.0)).ravel(), 0.0)
                worst = max(worst, ratio(error.reshape(bound.tolerance.shape), bound, problem, sum_up.__name__))
    assert worst > 0.7


def test_float64_sums_keep_the_bound_against_the_truth_in_two_parts() -> None:
    worst = 0.0
    for problem, products, bias in layers("float64"):
        bound = problem.judgement(Arithmetic.ieee("float64"))
        terms = products if bias is None else np.insert(products, 0, bias, axis=1)
        for order in (slice(None), slice(None, None, -1)):
            answer = np.zeros(len(terms))
            for column in terms.T[order]:
                answer = answer + column
            worst = max(worst, ratio(off(problem, answer), bound, problem, "in order"))
        worst = max(worst, ratio(off(problem, problem.expected()), bound, problem, "the reference itself"))
    assert worst > 0.7


def shortened(array: Tensor, name: str) -> Tensor:
    """float32 numbers with the inputs' rounding of a declared arithmetic: TF32 cut off, bfloat16 to nearest."""
    if name == "tf32":
        return (np.ascontiguousarray(array).view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
    return array.astype(ml_dtypes.bfloat16).astype(np.float32)


@pytest.mark.parametrize("name", ["tf32", "bf16"])
def test_shortened_inputs_keep_the_bound_of_their_declared_arithmetic(name: str) -> None:
    random = np.random.default_rng(3)
    strict, declared = Arithmetic.ieee("float32"), Arithmetic.named(name, "float32")
    caught = 0
    for problem, _, bias in layers("float32"):
        if not isinstance(problem, Linear):
            continue
        x, weight = (shortened(a, name).astype(np.float64) for a in (problem.x, problem.weight))
        products = (x[:, None] * weight).reshape(-1, x.shape[1])
        terms = products if bias is None else np.insert(products, 0, bias, axis=1)
        answer = tree(terms, random).astype(np.float64)
        error = off(problem, answer)
        ratio(error, problem.judgement(declared), problem, name)
        caught += bool(np.any(error > problem.judgement(strict).tolerance))
    assert caught >= 20, "shortened inputs must show where they are not declared"


@pytest.mark.parametrize(("name", "bits"), [("tf32", 11), ("bf16", 8)])
def test_integers_are_forced_only_where_the_shortened_inputs_hold_them(name: str, bits: int) -> None:
    """An integer one bit too long for the inputs is rounded before it is multiplied, legitimately."""
    for value in (2.0**bits - 1, 2.0**bits + 1):
        problem = Linear(x=np.full((1, 1), value, np.float32), weight=np.ones((1, 1), np.float32))
        answer = shortened(problem.x, name).astype(np.float64)
        bound = problem.judgement(Arithmetic.named(name, "float32"))
        assert np.all(off(problem, answer) <= bound.tolerance), (name, value, answer, bound)


WAYS: dict[str, Callable[[Array, Array, Sum, np.random.Generator], Tensor]] = {
    "divide the sum": lambda taps, d, sum_up, random: sum_up(taps, random) / d.astype(KIND),
    "multiply the sum": lambda taps, d, sum_up, random: sum_up(taps, random) * (1 / d.astype(KIND)),
    "multiply each": lambda taps, d, sum_up, random: sum_up(
        taps.astype(KIND).astype(np.float64) * (1 / d.astype(KIND)).astype(np.float64)[:, None], random
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_way_to_average_keeps_the_bound(dtype: str) -> None:
    random = np.random.default_rng(8)
    worst = 0.0
    for i in range(150):
        problem = AvgPool2d.draw(RandomPick(f"average {i}", dtype_named(dtype), 20_000))
        if not 0 < np.prod(problem.shape()) <= 1500:
            continue
        bound = problem.judgement(Arithmetic.ieee(dtype))
        hi, _ = problem.truth()
        taps = problem.taps(np.asarray(problem.x, np.float64)).reshape(hi.size, -1)
        divisor = np.broadcast_to(problem.divisor, hi.shape).ravel()
        for way, average in WAYS.items():
            for sum_up in (in_order, tree, largest_partial_sums):
                answer = round_to(average(taps, divisor, sum_up, random).astype(np.float64), FORMATS[dtype])
                worst = max(worst, ratio(off(problem, answer), bound, problem, f"{way}, {sum_up.__name__}"))
    assert worst > 0.5


def test_float64_averages_keep_the_bound_against_the_truth_in_two_parts() -> None:
    for i in range(100):
        problem = AvgPool2d.draw(RandomPick(f"average {i}", np.dtype("float64"), 20_000))
        bound = problem.judgement(Arithmetic.ieee("float64"))
        taps = problem.taps(np.asarray(problem.x)).reshape(*problem.shape(), -1)
        total = np.zeros(problem.shape())
        for t in range(taps.shape[-1]):
            total = total + taps[..., t]
        ratio(off(problem, total / problem.divisor), bound, problem, "divide the sum")
        ratio(off(problem, total * (1 / problem.divisor)), bound, problem, "multiply the sum")
        ratio(off(problem, problem.expected()), bound, problem, "the reference itself")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_dropped_product_exceeds_the_bound_on_integers(dtype: str) -> None:
    seen = caught = 0
    for seed in range(40):
        kind = ("integers", "signs", "wide", "iota")[seed % 4]
        terms = (2, 5, 9, 27, 64)[seed % 5]
        data = Data(kind, seed, dtype_named(dtype), terms)
        problem = Linear(x=data.array((12, terms)), weight=data.array((10, terms), "weight"))
        products = np.asarray(problem.x, np.float64)[:, None] * np.asarray(problem.weight, np.float64)
        last = terms - 1 - np.argmax((products != 0)[:, :, ::-1], axis=-1)
        dropped = np.take_along_axis(products, last[..., None], axis=-1)[..., 0]
        here = dropped != 0
        bound = problem.judgement(Arithmetic.ieee(dtype))
        error = np.abs((problem.expected() - dropped) - problem.expected())
        seen, caught = seen + int(here.sum()), caught + int((error > bound.tolerance)[here].sum())
    assert seen > 3000
    assert caught >= 0.9 * seen


@pytest.mark.parametrize("size", [65504.0, 1.0, 2.0**-12])
def test_statistics_kept_in_float16_keep_their_bound(size: float) -> None:
    """Far from zero the reciprocal deviation is a subnormal number of float16."""
    half = FORMATS["float16"]
    kept = replace(Arithmetic.ieee("float16"), name="16-bit statistics", statistics="float16")
    random, beyond = np.random.default_rng(1), 0.0
    for _ in range(50):
        x = (size * random.uniform(0.25, 1, (1, 3, 1, 4)) * random.choice((-1.0, 1.0), (1, 3, 1, 4))).astype(np.float16)
        problem, found = BatchNorm2d(x=x), statistics(np.asarray(x, np.float64), (0, 2, 3))
        mean, r = round_to(found.mean, half), round_to((found.variance + problem.eps) ** -0.5, half)
        y = round_to((np.asarray(x, np.float64) - mean) * r, half)
        bound = problem.judgements(kept)["y"]
        assert np.all(np.abs(y - problem.reference()) <= bound.tolerance)
        assert not bound.vacuous.any()
        assert not bound.overflows.any()
        beyond = max(beyond, float(np.max(np.abs(r * np.sqrt(found.variance + problem.eps) - 1))))
    assert (beyond > half.unit) == (size > 1)  # there a unit roundoff alone does not cover it


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_variance_about_a_mean_that_is_kept_in_16_bits_keeps_its_bound(dtype: str) -> None:
    """Two passes, the second about the rounded mean: far from zero the variance gains the square of that rounding."""
    form = FORMATS[dtype]
    kept = replace(Arithmetic.ieee(dtype), name="16-bit statistics", statistics=dtype)
    random, over = np.random.default_rng(2), 0
    for far in np.tile([0.0, 1.0, 30.0, 100.0, 1000.0], 20):
        x = round_to(far + random.standard_normal((2, 3, 1, 2)), form).astype(dtype_named(dtype))
        before = np.ones(3, x.dtype)
        problem = BatchNorm2d(x=x, running_mean=before, running_var=before, momentum=0.5)
        values = np.asarray(x, np.float64)
        mean = round_to(values.mean((0, 2, 3), keepdims=True), form)
        stored = round_to(np.square(values - mean).mean((0, 2, 3)) * 4 / 3, form)
        error = np.abs(round_to(0.5 + 0.5 * stored, form) - problem.truths()["running_var"][0])
        assert np.all(error <= problem.judgements(kept)["running_var"].tolerance)
        strict = problem.judgements(Arithmetic.ieee(dtype))["running_var"]
        over += int((error > strict.tolerance).sum())
    assert (over > 0) == (dtype == "bfloat16")  # there, to keep the mean so has to be declared


def test_a_deviation_whose_reciprocal_float16_does_not_hold_may_overflow() -> None:
    kept = replace(Arithmetic.ieee("float16"), name="16-bit statistics", statistics="float16")
    problem = BatchNorm2d(x=np.zeros((1, 1, 1, 2), np.float16), eps=1e-10)
    assert problem.judgements(kept)["y"].overflows.all()
    assert not problem.but(eps=1e-8).judgements(kept)["y"].overflows.any()
