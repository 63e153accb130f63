"""The bound of a deviation is evaluated as it is proven, in float64 too, where it is a few roundings of r."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from convspec.reference.normalize import inverse_deviation
from convspec.reference.rounding import Arithmetic
from convspec.reference.sets import Statistics, errors, statistics

SIXTY_DIGITS = decimal.Context(prec=60)


def exact_statistics(x: npt.NDArray[Any]) -> tuple[Decimal, Statistics]:
    """The variance of one set, and all statistics as float64 numbers that were rounded once."""
    elements = [Decimal(float(a)) for a in x.ravel()]
    m = len(elements)
    mean = sum(elements, Decimal(0)) / m
    variance = sum(((a - mean) ** 2 for a in elements), Decimal(0)) / m
    modulus = sum((abs(a) for a in elements), Decimal(0)) / m
    found = [np.array([[float(a)]]) for a in (mean, variance, modulus, max(abs(a) for a in elements))]
    return variance, Statistics(*found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_deviation_may_be_off_by_what_is_proven_and_hardly_more(dtype: str) -> None:
    arithmetic, random = Arithmetic.ieee(dtype), np.random.default_rng(0)
    with decimal.localcontext(SIXTY_DIGITS):
        for _ in range(800):
            m = int(random.choice((2, 3, 4, 8, 16, 200)))
            x = random.standard_normal((1, m)) * 2.0 ** random.integers(-3, 4)
            x = (x + random.choice((0.0, 0.0, 10.0, 1e4))).astype(dtype).astype(np.float64)
            eps = float(random.choice((0.0, 1e-5, 1e-3, 0.5)))
            variance, exact = exact_statistics(x)
            if variance == 0:
                continue
            off, u = Decimal(float(errors(exact, m, arithmetic)[1][0, 0])), Decimal(arithmetic.unit)
            least = max(variance - off, Decimal(0)) + Decimal(eps) * (1 - 2 * u)
            seen = statistics(x, (1,))
            errs = errors(seen, m, arithmetic)
            found = float(inverse_deviation(np.abs(seen.mean), seen.variance, eps, errs, m, arithmetic)[1][0, 0])
            if least == 0:
                assert found == np.inf
                continue
            high, r = 1 / least.sqrt(), 1 / (variance + Decimal(eps)).sqrt()
            low = 1 / (variance + off + Decimal(eps) * (1 + 2 * u)).sqrt()
            proven = max(high - r, r - low) + 5 * u * high
            assert proven <= Decimal(found) <= proven * (1 + Decimal("1e-5"))
