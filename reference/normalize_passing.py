"""How errors pass through a normalization whose input is off itself.

Notation as in normalize.py; D is how far each element of x may be off.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .dot import as_float
from .formats import FORMATS
from .normalize import affine, distance, inverse_deviation, reference
from .rounding import Arithmetic, Bound, own_rounding
from .sets import Statistics, errors, found_in, held, lost

Array = npt.NDArray[np.float64]
Normalization = Any  # an operation with x, weight, bias and eps, and `sets`


def passed_on(problem: Normalization, off: Array, arithmetic: Arithmetic) -> Bound:
    """The bound of normalize.judgement, where x may be off by D.

    mu then moves by at most mean(D), and v by at most 2*mean(|x-mu|*D) + mean(D^2), the x - mu having mean zero. Both
    are added to dmu and dv, which are those of the largest sets that can be reached. In x - mu stands D beside dmu, in
    the folded form |x| + D for |x|; the last addition rounds a result that is off itself, (1+u).
    The reference's own roundings are m + 16 more; those of the bound as there. A mean and a variance that are given do
    not move. Derived here.
    """
    sets = problem.sets
    shape, out, acc, u = problem.x.shape, arithmetic.out, arithmetic.acc, arithmetic.unit
    x, d = as_float(problem.x).reshape(sets.shape), off.reshape(sets.shape)
    given, found = held(problem) is not None, found_in(problem)
    weight, bias = affine(problem)
    y = as_float(reference(problem)).reshape(sets.shape)
    v, eps, w, flush = found.variance, problem.eps, np.abs(weight), lost(arithmetic)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        drift = d.mean(axis=sets.axes, keepdims=True) * (not given)
        swing = (d * (2 * np.abs(x - found.mean) + d)).mean(axis=sets.axes, keepdims=True) * (not given)
        most = Statistics(
            np.abs(found.mean) + drift,
            v + swing,
            found.modulus + drift,
            found.largest + d.max(axis=sets.axes, keepdims=True),
        )
        none = np.zeros(most.mean.shape)
        dmu, dv = (none, none) if given else errors(most, sets.count, arithmetic)
        dmu, dv = dmu + drift, dv + swing
        r, dr, dmu = inverse_deviation(most.mean, v, eps, (dmu, dv), sets.count, arithmetic)
        root = r + dr
        three, z = u * (3 + 3 * u + u * u), distance(x, found, sets.count)
        error = w * (z * (dr + three * root) + (dmu + d) * root * (1 + three))
        error = error + u * (w * root * (np.abs(x) + d + 2 * most.mean) * (1 + 4 * u) + np.abs(bias))
        error = error + flush * (w * root + w + 2 + (z + dmu + d) * (1 + root if arithmetic.flush_to_zero else 1))
        error = ((1 + u) * error + u * np.abs(y)) * (1 + own_rounding(sets.count))
        if arithmetic.widens:
            error = error + out.unit * (np.abs(y) + error)
        error = error + out.spacing / 2
        size = w * r * (np.abs(x) + d + most.modulus) + np.abs(bias)
        error = error + (sets.count + 16) * FORMATS["float64"].unit * size
        error = np.where(np.isnan(error), np.inf, error)
        overflows = np.asarray(~(sets.count * (most.variance + most.mean**2) < acc.largest / 2))
        if given:  # no sum of squares, but outputs of any size before the weight
            overflows = ~((np.abs(x) + d + most.mean) * root < acc.largest)
        overflows = overflows | ~(np.abs(y) + size + np.where(np.isinf(error), 0.0, error) < acc.largest)
    forced = ((weight == 0) | ((most.largest == 0) & (not given))) & (eps > 0) & ~overflows
    whole = (np.abs(y) + size) * np.ones(x.shape)
    error = np.where(forced, 0.0, error)
    return Bound(error.reshape(shape), forced.reshape(shape), overflows.reshape(shape), whole.reshape(shape))


def spread(problem: Normalization, came: Array, arithmetic: Arithmetic) -> Array:
    """A model of the error's standard deviation: x of deviation `came` through (x - mu)*r*weight, roundings of 0.4u."""
    sets = problem.sets
    x, s = as_float(problem.x).reshape(sets.shape), came.reshape(sets.shape)
    found = found_in(problem)
    weight, bias = affine(problem)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        wr = np.abs(weight) * (found.variance + problem.eps) ** -0.5
        y = np.abs(x - found.mean) * wr
        mean_square = (s**2).mean(axis=sets.axes, keepdims=True)
        square = (wr * s) ** 2 + (wr**2 + y**2 / np.maximum(found.variance, problem.eps)) * mean_square
        own = 0.4 * arithmetic.unit * (3 * y + wr * (np.abs(x) + found.modulus) + np.abs(bias))
        own = own + 0.4 * arithmetic.out.unit * (y + np.abs(bias)) * arithmetic.widens
        return np.asarray(np.sqrt(square + own**2).reshape(problem.x.shape))
