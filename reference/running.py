"""Running statistics: what a training step makes of them, and how far that may be off.

Notation: a is the momentum, the weight of the new value; m, mu, v, dmu, dv and u are those of `sets`, of a channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from .dot import BETTER_THAN_DOUBLE, as_float
from .formats import FORMATS, format_of
from .normalize import FORTY_DIGITS, decimals, moments, pair
from .op import Op, Shape
from .parameters import attribute
from .pick import Pick
from .rounding import Arithmetic, Bound, raised
from .sets import Array, Sets, found_in, held, lost

Tensor = npt.NDArray[Any]
BatchNorm = Any  # a problem of batch normalization, on one device or several
NAMES = ("running_mean", "running_var")
OUTPUTS = ("y", *NAMES)


def channels(problem: BatchNorm) -> Sets:
    """A channel of all images is normalized together."""
    c = problem.x.shape[1]
    return Sets(problem.x.shape, (0, 2, 3), (1, c, 1, 1))


def present(problem: BatchNorm) -> tuple[str, ...]:
    """The names of the running statistics that the problem has."""
    return tuple(name for name in NAMES if getattr(problem, name) is not None)


def shapes(problem: BatchNorm) -> dict[str, Shape]:
    return {name: getattr(problem, name).shape for name in present(problem)}


def read_as(problem: Op, conventions: Mapping[str, str]) -> Op:
    """The problem as a backend reads it that may store the biased variance, as ONNX, Flax and Keras do."""
    if conventions.get("stored_variance") != "biased" or "running_var" not in problem.arrays():
        return problem
    return problem.read(stored_variance="biased")


def _is_updated(problem: BatchNorm) -> bool:
    """Only by a training step, and only by one that sees any elements."""
    return held(problem) is None and problem.sets.count > 0


def _correction(problem: BatchNorm) -> tuple[int, int]:
    """m and m - 1: the variance is stored times the first over the second. 1 and 1 where it is stored as it is."""
    m = problem.sets.count
    return (1, 1) if problem.reading.get("stored_variance") == "biased" else (m, m - 1)


def references(problem: BatchNorm) -> dict[str, Array]:
    """(1 - a) * before + a * the statistic of the batch, in float64; what was there, where nothing is updated."""
    before = {name: as_float(getattr(problem, name)) for name in present(problem)}
    if not before or not _is_updated(problem):
        return {name: array.copy() for name, array in before.items()}
    found, a = found_in(problem), problem.momentum
    times, over = _correction(problem)
    batch = {"running_mean": found.mean.ravel(), "running_var": found.variance.ravel() * times / over}
    with np.errstate(invalid="ignore", over="ignore"):
        return {name: np.asarray((1 - a) * array + a * batch[name]) for name, array in before.items()}


def truths(problem: BatchNorm) -> dict[str, tuple[Array, Array]]:
    """As `references`, in 40 digits where the problem is in float64."""
    if problem.dtype != np.float64 or not _is_updated(problem):
        return {name: (array, np.zeros_like(array)) for name, array in references(problem).items()}
    mean, variance = moments(problem)
    times, over = _correction(problem)
    with localcontext(FORTY_DIGITS):
        a = Decimal(problem.momentum)
        batch = {"running_mean": mean.ravel(), "running_var": variance.ravel() * times / over}
        return {name: pair((1 - a) * decimals(getattr(problem, name)) + a * batch[name]) for name in present(problem)}


def judgements(problem: BatchNorm, arithmetic: Arithmetic, off: tuple[Array, Array] | None) -> dict[str, Bound]:
    """How far (1-a)*before + a*s may be off, s being the mean or the stored variance; `off` is dmu and dv, of a step.

    ds = dmu for the mean, and (dv + c*(v + dv))*m/(m-1) for the variance, c = (1+u)^3 - 1: a product, a division and
    the rounding of their factor. Then no path from `before` or s to the result has more than four roundings (of a as a
    number, of 1-a, of the product and of the sum; or of a, of s - before, of the product and of the sum): E = a*ds +
    ((1+u)^4 - 1)*(|before| + a*(|s| + ds)). 16-bit statistics may be updated in their own format: then u is its unit,
    here and, if they are declared to be kept in it, once more for s; the last rounding of a wider accumulator adds
    u_d*(|new| + E). Underflow costs half the spacing of subnormal numbers of that format, for each of the two products
    and for s.

    Derived here.

    Nothing may change where nothing is updated, nor where a = 0: 1*before + 0*s and before + 0*(s - before) are exact.
    """
    names = present(problem)
    if not names or not _is_updated(problem) or off is None:
        return {name: Bound.exact(getattr(problem, name).shape) for name in names}
    out, acc, u, a, m = arithmetic.out, arithmetic.acc, arithmetic.unit, problem.momentum, problem.sets.count
    found, due = found_in(problem), references(problem)
    mu, v = np.abs(found.mean.ravel()), found.variance.ravel()
    dmu, dv = (d.ravel() for d in off)
    times, over = _correction(problem)
    widest = max(u, out.unit)
    three, four = raised(u, 3), raised(widest, 4)
    narrow = FORMATS[arithmetic.statistics] if arithmetic.statistics else None
    unit = BETTER_THAN_DOUBLE if problem.dtype == np.float64 else FORMATS["float64"].unit
    bounds = {}
    with np.errstate(invalid="ignore", over="ignore"):
        # Of the reference: two sums of m terms, the second of squares about a mean that is off.
        rough = (m + 16) * unit * found.modulus.ravel()
        size = {
            "running_mean": (mu, dmu, rough),
            "running_var": (
                v * times / over,
                (dv + three * (v + dv)) * times / over,
                4 * (m + 16) * unit * v + 2 * rough**2,
            ),
        }
        for name in names:
            statistic, ds, reference = size[name]
            before, new = np.abs(as_float(getattr(problem, name))), np.abs(due[name])
            if narrow:
                ds = ds + narrow.unit * (statistic + ds) + narrow.spacing / 2
            error = a * ds + four * (before + a * (statistic + ds)) + a * reference + 4 * unit * before
            if arithmetic.widens:
                error = error + out.unit * (new + error)
            error = error + 4 * lost(arithmetic) + out.spacing
            overflows = ~(m * (v + mu**2 + dv) < acc.largest / 2) | ~(before + statistic + ds < acc.largest)
            frozen = np.full(new.shape, a == 0) & ~overflows
            bounds[name] = Bound(np.where(frozen, 0.0, error), frozen, overflows, new + before + a * statistic)
    return bounds


# Drawing.

MOMENTA = tuple(map(attribute, (0.1, 0.5, 0.25, 0.9, 1.0, 0.0, 0.99, 0.999, 0.001)))


def drawn(pick: Pick, x: Tensor, *, needed: bool) -> dict[str, Any]:
    """Momentum and running statistics of the channels of x: as before the first step, near those of x, whole numbers,
    far from what they are before the first step, or, unless they are needed, none. The variances are positive."""
    momentum = pick.one_of(MOMENTA, (40, 20, 10, 8, 10, 10, 2, 3, 3))
    sorts, often = ("fresh", "near", "whole", "far", "none"), (15, 40, 22, 8, 15)
    sort = pick.one_of(sorts[:4], often[:4]) if needed else pick.one_of(sorts, often)
    c = x.shape[1]
    if sort == "none":
        return {"momentum": momentum, "running_mean": None, "running_var": None}
    random = np.random.default_rng(pick.seed())
    if sort == "near":
        values = as_float(x)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, variance = values.mean(axis=(0, 2, 3)), values.var(axis=(0, 2, 3))
            mean = mean + np.sqrt(variance) * random.standard_normal(c)
            variance = variance * random.choice((0.25, 1.0, 2.5), c)
    elif sort == "whole":
        mean, variance = random.integers(-3, 4, c) * 1.0, (2 * random.integers(0, 9, c) + 1) / 8
    elif sort == "far":
        mean, variance = random.choice((-96.0, 40.0, 500.0), c), random.choice((1 / 64, 64.0, 900.0), c)
    else:
        mean, variance = np.zeros(c), np.ones(c)
    # Four times as large they are still numbers of the format, and what rounds to zero is not positive.
    most, least = format_of(pick.dtype).largest / 4, format_of(pick.dtype).smallest_normal
    variance = np.clip(np.where(variance >= least, variance, 2.0), None, most)
    mean = np.clip(mean, -most, most)
    return {
        "momentum": momentum,
        "running_mean": mean.astype(pick.dtype),
        "running_var": variance.astype(pick.dtype),
    }
