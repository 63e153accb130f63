"""How far the average of a window may be off: at most, and as a rule.

Derived for this project, as the bound of sums (rounding.dot_bound) that it is made of.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .dot import ROUNDING, STEP
from .rounding import Arithmetic, Bound, Mask, own_rounding

Array = npt.NDArray[np.float64]


def is_power_of_two(divisor: Array) -> Mask:
    return np.asarray(np.frexp(divisor)[0] == 0.5)


def average_bound(
    total: Array, magnitude: Array, terms: Array, divisor: Array, arithmetic: Arithmetic, reference_unit: float
) -> Bound:
    """The bound of sum x / D. total: the sum. magnitude: B = sum |x|. terms: T, how many are not zero.

    That of a sum without products (see rounding.dot_bound), divided by D. A division by a power of two is exact.
    Another one costs at most two roundings: of the quotient, or of 1/D and of the product, together q = 2u + u^2. After
    the sum they enlarge its error by 1 + q and move it by q*|sum|; before, they move each term by q times its size, and
    so B and M by q*B, before it is added. Either is less than

        E = ((T-1)*u*(M + q*B) / (1 - (T-1)*u) + q*B) / D.

    What underflows is a local error of each term and of the quotient, with flushing of each addition too, and of each
    input. A wider accumulator is rounded once at the end. B and M are float64 sums themselves, by whose
    rounding E is enlarged (rounding.own_rounding), as there. E grows with |y|, B and T: it holds for all sums
    that have no more of any.
    """
    out, acc, u = arithmetic.out, arithmetic.acc, arithmetic.unit
    partial = (magnitude + np.abs(total)) / 2
    additions = np.maximum(terms - 1, 0)
    power_of_two = np.broadcast_to(is_power_of_two(divisor), total.shape)
    slack = 1 + own_rounding(terms)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        growth = 1 - additions * u
        divided = np.where(power_of_two, 0.0, (2 * u + u * u) * magnitude)
        error = (additions * u * (partial + divided) / growth + divided) / divisor
        if arithmetic.flush_to_zero:
            error = error + (2 * terms * acc.smallest_normal / growth + terms * out.smallest_normal / divisor)
        else:
            error = error + (terms + 1) * (arithmetic.unit_factor * acc.spacing / 2) / growth
        error = np.where(growth > 0, error * slack, np.inf)
        beyond = error * divisor
        if arithmetic.widens:
            error = error + out.unit * (np.abs(total) / divisor + error)
        error = error + (terms + 2) * reference_unit * magnitude / divisor + out.spacing / 2
        overflows: Mask = ~(partial + beyond < acc.largest)
    error = np.where(magnitude == 0, 0.0, error)
    return Bound(error, magnitude == 0, overflows, np.abs(total / divisor) + magnitude / divisor, terms)


def likely_average(value: Array, squares: Array, terms: Array, divided: Array, arithmetic: Arithmetic) -> Array:
    """The standard deviation of the error of y, a sum of T terms x/D, were every rounding an independent random number.

    squares: the sum of the squares of x/D. divided: that of those whose D is no power of two, so that the division
    rounds. As in dot.variance_of the square of a partial sum of k terms is k/T of `squares` where signs are random, and
    (k/T)^2 of y^2 where they are all one. There are T - 1 additions, of k = 2 to T terms, off by 0.4u of that each:

        (0.4u)^2 * ((T+1)/2 - 1/T) * squares + (0.4u)^2 * T/3 * y^2

    A division costs two roundings at most: those of the terms add up to `divided` each, that of the sum, or of a 1/D
    that all terms have in common, to y^2. The larger of both is charged twice. The last rounding of a wider accumulator
    adds its own, and results that leave the normal numbers are rounded to steps, those of the terms included.

    A model and no bound, on which a warning rests and no verdict.
    """
    some = np.maximum(terms, 1)
    added = np.maximum((some + 1) / 2 - 1 / some, 0) * squares + np.where(terms > 1, terms / 3, 0) * value**2
    rough = np.where(divided > 0, 2 * np.maximum(divided, value**2), 0)
    variance = (ROUNDING * arithmetic.unit) ** 2 * (added + rough)
    if arithmetic.widens:
        variance = variance + (ROUNDING * arithmetic.out.unit * value) ** 2
    steps = (terms + 1) * (STEP * arithmetic.acc.spacing) ** 2 + (STEP * arithmetic.out.spacing) ** 2
    return np.asarray(np.sqrt(variance + np.where(terms > 0, steps, 0)))
