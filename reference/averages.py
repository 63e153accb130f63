"""A model of the rounding errors of averages: sums without products, divided before or after."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .dot import ROUNDING, STEP
from .rounding import Arithmetic

Array = npt.NDArray[np.float64]


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
