"""Formats, single rounding, error-free transformations and values with errors; and bounds, tried by simulation."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from convspec.reference import AvgPool2d, BatchNorm2d, Conv2d, Linear, Op
from convspec.reference.data import KINDS, Data
from convspec.reference.measured import Measured, concatenate, sum_of_products, two_product, two_sum
from convspec.reference.pick import RandomPick
from convspec.reference.rounding import FORMATS, Arithmetic, Bound, dtype_named, format_of, is_whole, round_to
from convspec.reference.sets import statistics

Array = npt.NDArray[np.float64]
Tensor = npt.NDArray[Any]
Sum = Callable[[Array, np.random.Generator], Tensor]


# Formats and rounding.


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_those_of_ieee(name: str) -> None:
    form, info = FORMATS[name], ml_dtypes.finfo(dtype_named(name))
    assert form.unit == float(info.eps) / 2
    assert form.p == info.nmant + 1
    assert form.smallest_exponent == info.minexp
    assert form.smallest_normal == float(info.smallest_normal)
    assert form.spacing == float(info.smallest_subnormal)
    assert form.largest == float(info.max)
    assert format_of(dtype_named(name)) is format_of(name) is form
    assert dtype_named(name).name == name


def table(name: str) -> Array:
    """The non-negative numbers of a 16-bit format in order, by their bits; last what would come after the largest."""
    patterns = {"float16": 0x7C00, "bfloat16": 0x7F80}[name]
    values = np.arange(patterns, dtype=np.uint16).view(dtype_named(name)).astype(np.float64)
    return np.append(values, 2 * values[-1] - values[-2])


def nearest(value: float, numbers: list[float]) -> float:
    """The nearest number of a table, of two the one with the even pattern; the last stands for infinity."""
    size = abs(value)
    if size >= numbers[-1]:
        return float(np.copysign(np.inf, value))
    below = bisect_right(numbers, size) - 1
    low, high = (Fraction(n) - Fraction(size) for n in numbers[below : below + 2])
    at = below + (high < -low or (high == -low and below % 2 == 1))
    return float(np.copysign(np.inf if at == len(numbers) - 1 else numbers[at], value))


def awkward(near: Array) -> Array:
    """Each number, the middle between it and the next, and the float64 numbers beside both, of either sign."""
    middle = (near[:-1] + near[1:]) / 2
    points = np.concatenate([near, middle])
    points = np.concatenate([points, np.nextafter(points, 0), np.nextafter(points, np.inf)])
    return np.concatenate([points, -points])


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_rounding_is_to_the_nearest_even_of_all_numbers(name: str) -> None:
    random = np.random.default_rng(7)
    every = table(name)
    numbers = every.tolist()
    reach = random.uniform(np.log2(every[1]) - 3, np.log2(every[-1]) + 2, 4000)
    points = np.concatenate([
        awkward(every)[::17],
        awkward(every[:20]),
        awkward(every[-20:]),
        np.exp2(reach) * random.choice((-1, 1), reach.size),
        [0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308],
    ])  # fmt: skip
    due = np.array([nearest(v, numbers) for v in points.tolist()])
    rounded = round_to(points, FORMATS[name])
    assert np.array_equal(rounded, due)
    assert np.array_equal(np.signbit(rounded), np.signbit(due))


@pytest.mark.parametrize("name", ["float16", "float32"])
def test_rounding_is_the_cast_of_numpy(name: str) -> None:
    random = np.random.default_rng(11)
    kind = np.dtype(name).type
    form = FORMATS[name]
    bits = random.integers(0, 2**64, 200_000, dtype=np.uint64).view(np.float64)
    below = form.smallest_exponent - form.p + 1  # the exponent of the smallest subnormal number
    scaled = np.ldexp(random.standard_normal(200_000), random.integers(below - 4, 130, 200_000))
    some = np.ldexp(np.rint(random.uniform(0, 2**form.p, 20_000)), random.integers(below, 8, 20_000))
    ordered = table(name) if name == "float16" else np.unique(some)
    edge = np.array([form.largest, form.largest * (1 + form.unit / 2), form.largest + 2.0**-form.p * form.largest])
    points = np.concatenate([bits, scaled, awkward(ordered), awkward(edge), [np.nan, np.inf, -np.inf, 0.0, -0.0]])
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        # The halves of neighbours beside each number, in the format itself, are its ties.
        beside = np.nextafter(ordered.astype(kind), kind(np.inf)).astype(np.float64)
        points = np.concatenate([points, (ordered + beside) / 2, -(ordered + beside) / 2])
        cast = points.astype(kind).astype(np.float64)
    rounded = round_to(points, form)
    assert np.array_equal(rounded, cast, equal_nan=True)
    known = ~np.isnan(cast)
    assert np.array_equal(np.signbit(rounded)[known], np.signbit(cast)[known])


def test_rounding_to_bfloat16_is_not_done_by_way_of_float32() -> None:
    just_above_a_tie = np.array([1 + 2.0**-8 + 2.0**-40])
    assert round_to(just_above_a_tie, FORMATS["bfloat16"]).tolist() == [1 + 2.0**-7]
    assert just_above_a_tie.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64).tolist() == [1.0]


@pytest.mark.parametrize("name", FORMATS)
def test_rounding_a_number_of_the_format_changes_nothing(name: str) -> None:
    form = FORMATS[name]
    random = np.random.default_rng(2)
    values = np.concatenate([
        random.standard_normal(1000).astype(dtype_named(name)).astype(np.float64),
        np.ldexp(random.integers(-255, 256, 1000).astype(np.float64), random.integers(-15, 8, 1000)),
        [0.0, form.largest, -form.largest, form.smallest_normal, form.spacing, -form.spacing, np.inf, -np.inf],
    ])  # fmt: skip
    assert np.array_equal(round_to(values, form), values)


def test_whole_numbers_are_told_apart() -> None:
    assert is_whole(np.array([1.0, -3.0]), None, np.array([], np.float32))
    assert is_whole(np.array([2.0**100]))
    assert not is_whole(np.array([1.0, 0.5]))
    assert not is_whole(np.array([1.0]), np.array([np.inf]))
    assert not is_whole(np.array([np.nan]))


# Error-free transformations.


def numbers(random: np.random.Generator, size: Any, reach: int) -> Array:
    """Numbers of full and of short significands, of widely differing exponents, zeros among them."""
    values = np.ldexp(random.standard_normal(size), random.integers(-reach, reach + 1, size))
    short = np.ldexp(random.integers(-9, 10, size).astype(np.float64), random.integers(-reach, reach + 1, size))
    return np.where(random.random(size) < 0.3, short, values)


@pytest.mark.parametrize("reach", [0, 30, 500, 1020])
def test_two_sum_loses_nothing(reach: int) -> None:
    random = np.random.default_rng(reach)
    a, b = numbers(random, 2000, reach), numbers(random, 2000, reach)
    a, b = np.append(a, [5e-324, 2.0**-1022, 1.0]), np.append(b, [-1e-323, -5e-324, 2.0**-1074])
    for x, y, s, e in zip(a, b, *two_sum(a, b), strict=True):
        assert s == x + y
        assert Fraction(s) + Fraction(e) == Fraction(x) + Fraction(y)


@pytest.mark.parametrize("reach", [0, 30, 450])
def test_two_product_loses_nothing(reach: int) -> None:
    """Short of overflow, and of underflow of the lower half of the product."""
    random = np.random.default_rng(reach)
    a, b = numbers(random, 2000, reach), numbers(random, 2000, reach)
    for x, y, p, e in zip(a, b, *two_product(a, b), strict=True):
        assert p == x * y
        assert Fraction(p) + Fraction(e) == Fraction(x) * Fraction(y)


def test_transformations_carry_infinity_and_nan() -> None:
    odd = np.array([np.inf, -np.inf, np.nan, 1e308, 1e300])
    other = np.array([1.0, np.inf, 1.0, 1e308, -1e300])
    for transform, plain in ((two_sum, np.add), (two_product, np.multiply)):
        with np.errstate(all="ignore"):
            value, lost = transform(odd, other)
            assert np.array_equal(value, plain(odd, other), equal_nan=True)
        assert np.all(np.isfinite(lost))


@pytest.mark.parametrize("terms", [0, 1, 2, 3, 7, 8, 100, 257])
def test_sum_of_products_has_twice_the_precision(terms: int) -> None:
    random = np.random.default_rng(terms)
    for reach in (0, 5, 40):
        a, b = numbers(random, (30, terms), reach), numbers(random, (30, terms), reach)
        if terms > 2:  # half of them cancel massively
            a[:15, -1], b[:15, -1] = -np.einsum("it,it->i", a[:15, :-1], b[:15, :-1]), 1.0
        hi, lo = sum_of_products(a, b)
        for row in range(30):
            products = [Fraction(x) * Fraction(y) for x, y in zip(a[row], b[row], strict=True)]
            exact, magnitude = sum(products, Fraction(0)), sum(map(abs, products), Fraction(0))
            assert abs(Fraction(hi[row]) + Fraction(lo[row]) - exact) <= magnitude / 2**96
            assert hi[row] + lo[row] == hi[row]


# Values that carry their error.


def encloses(result: Measured, low: list[Fraction], high: list[Fraction]) -> bool:
    """Do value and tolerance cover the exact ends, but for the rounding of the tolerance itself?"""
    for value, tolerance, a, b in zip(result.value.ravel(), result.tolerance.ravel(), low, high, strict=True):
        allowed = Fraction(tolerance) * (1 + Fraction(1, 2**48))
        if not (a >= Fraction(value) - allowed and b <= Fraction(value) + allowed):
            return False
    return True


def test_measured_arithmetic_encloses_what_may_be() -> None:
    random = np.random.default_rng(4)
    for reach in (0, 3, 30):
        a = Measured(numbers(random, 200, reach), np.abs(numbers(random, 200, reach)) / 2**20)
        b = Measured(numbers(random, 200, reach), np.abs(numbers(random, 200, reach)) / 2**30)
        known = numbers(random, 200, reach)
        ends = [
            [(Fraction(v) - Fraction(t), Fraction(v) + Fraction(t)) for v, t in zip(m.value, m.tolerance, strict=True)]
            for m in (a, b)
        ]
        pairs = list(zip(*ends, strict=True))
        assert encloses(a + b, [x[0] + y[0] for x, y in pairs], [x[1] + y[1] for x, y in pairs])
        assert encloses(a - b, [x[0] - y[1] for x, y in pairs], [x[1] - y[0] for x, y in pairs])
        corners = [sorted(v * w for v in x for w in y) for x, y in pairs]
        assert encloses(a * b, [c[0] for c in corners], [c[3] for c in corners])
        products = [sorted((x[0] * Fraction(k), x[1] * Fraction(k))) for (x, _), k in zip(pairs, known, strict=True)]
        for result in (a * known, known * a):
            assert encloses(result, [p[0] for p in products], [p[1] for p in products])
        for result in (a + known, known + a):
            shifted = [(x[0] + Fraction(k), x[1] + Fraction(k)) for (x, _), k in zip(pairs, known, strict=True)]
            assert encloses(result, [p[0] for p in shifted], [p[1] for p in shifted])
        assert encloses(known - a, [Fraction(k) - x[1] for (x, _), k in zip(pairs, known, strict=True)],
                        [Fraction(k) - x[0] for (x, _), k in zip(pairs, known, strict=True)])  # fmt: skip
        total = a.rearranged(lambda v: v.reshape(2, 20, 5)).sum((0, 2))
        rows = [[x for x, _ in pairs[5 * r : 5 * r + 5] + pairs[100 + 5 * r : 105 + 5 * r]] for r in range(20)]
        assert encloses(total, [sum(x[0] for x in row) for row in rows], [sum(x[1] for x in row) for row in rows])


def test_what_may_be_anything_stays_so() -> None:
    anything = Measured(np.array([1.0, np.nan, np.inf]), np.inf)
    for factor in (0.0, Measured(np.zeros(3)), Measured(np.zeros(3), 1.0), np.array([0.0, 2.0, np.inf])):
        with np.errstate(invalid="ignore"):
            assert np.isposinf((anything * factor).tolerance).all()
            assert np.isposinf((anything * factor + 1.0).tolerance).all()


def test_measured_arithmetic_is_exact_on_integers() -> None:
    random = np.random.default_rng(6)
    values = random.integers(-(2**20), 2**20, (4, 5, 6)).astype(np.float64)
    a = Measured(values)
    result = 3 * (a - values[::-1]) + 2.0 - np.float64(7) * a
    assert isinstance(result, Measured)
    assert np.array_equal(result.value, 3 * (values - values[::-1]) + 2 - 7 * values)
    assert not result.tolerance.any()
    assert a.sum((0, 1, 2)).value == values.sum()
    assert a.sum(-1).shape == (4, 5)
    assert not a.sum((0, 2)).tolerance.any()
    joined = concatenate([a, a[:1]], 0)
    assert np.array_equal(joined.value, np.concatenate([values, values[:1]]))
    assert Measured(np.zeros((0, 3))).sum(0).value.tolist() == [0.0, 0.0, 0.0]
    assert np.array_equal(a[1:, :, ::2].value, values[1:, :, ::2])


# Bounds: toy implementations in the declared arithmetic stay within, wrong ones do not.

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


def test_a_deviation_whose_reciprocal_float16_does_not_hold_may_overflow() -> None:
    kept = replace(Arithmetic.ieee("float16"), name="16-bit statistics", statistics="float16")
    problem = BatchNorm2d(x=np.zeros((1, 1, 1, 2), np.float16), eps=1e-10)
    assert problem.judgements(kept)["y"].overflows.all()
    assert not problem.but(eps=1e-8).judgements(kept)["y"].overflows.any()
