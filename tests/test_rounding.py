"""Formats, single rounding, error-free transformations and values that carry their error."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from convspec.reference.formats import FORMATS, dtype_named, format_of, round_to
from convspec.reference.measured import Measured, concatenate, sum_of_products, two_product, two_sum
from convspec.reference.rounding import is_whole

Array = npt.NDArray[np.float64]


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
