"""What the normalizations share: the formula, its value in many digits, how far it may be off, and their drawing."""

from __future__ import annotations

import decimal
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .dot import BETTER_THAN_DOUBLE, as_float
from .formats import FORMATS, format_of
from .parameters import EPS, attribute
from .pick import Pick
from .rounding import Arithmetic, Bound, own_rounding
from .sets import Array, Normalization, Sets, Shape, Statistics, errors, found_in, held, lost
from .window import STRETCHED, WIDE

Tensor = npt.NDArray[Any]


def affine(problem: Normalization) -> tuple[Array, Array]:
    """Weight and bias in the view of the sets; ones and zeros where there are none."""
    shape = problem.sets.affine
    weight = np.ones(shape) if problem.weight is None else as_float(problem.weight).reshape(shape)
    bias = np.zeros(shape) if problem.bias is None else as_float(problem.bias).reshape(shape)
    return weight, bias


def reference(problem: Normalization) -> Array:
    """(x - mu) / sqrt(v + eps) * weight + bias, in float64."""
    sets = problem.sets
    x = as_float(problem.x).reshape(sets.shape)
    if not x.size:
        return np.zeros(problem.x.shape)
    found = found_in(problem)
    weight, bias = affine(problem)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        y = (x - found.mean) / np.sqrt(found.variance + problem.eps) * weight + bias
    return np.asarray(y.reshape(problem.x.shape))


# Numbers of 40 decimal digits, more than twice as many as float64 holds; what is not a number stays none.
FORTY_DIGITS = decimal.Context(prec=40, traps=[])


def decimals(array: Tensor) -> npt.NDArray[Any]:
    """The same numbers, exactly, as an array of decimals."""
    values = as_float(array)
    exact = [decimal.Decimal(v) for v in values.ravel().tolist()]
    return np.array(exact, object).reshape(values.shape)


def pair(values: npt.NDArray[Any]) -> tuple[Array, Array]:
    """Decimals as hi + lo: the nearest float64 numbers, and what they miss; nothing beyond 100 bits, where the decimals
    themselves are rounded."""
    hi = values.astype(np.float64)
    lo = (values - decimals(hi)).astype(np.float64)
    return hi, np.where(np.isfinite(hi) & (np.abs(lo) > BETTER_THAN_DOUBLE * np.abs(hi)), lo, 0.0)


def moments(problem: Normalization) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Mean and variance of every set of a problem that has elements, in 40 digits; those that it holds, if it does."""
    sets, given = problem.sets, held(problem)
    with decimal.localcontext(FORTY_DIGITS):
        if given is not None:
            return decimals(given[0]), decimals(given[1])
        x = decimals(problem.x).reshape(sets.shape)
        mean = x.sum(axis=sets.axes, keepdims=True) / sets.count
        centred = x - mean
        return mean, (centred * centred).sum(axis=sets.axes, keepdims=True) / sets.count


def truth(problem: Normalization) -> tuple[Array, Array]:
    """As `reference`, in 40 digits."""
    if not problem.x.size:
        zero = np.zeros(problem.x.shape)
        return zero, zero.copy()
    root = np.frompyfunc(lambda v: v.sqrt(), 1, 1)
    mean, variance = moments(problem)
    with decimal.localcontext(FORTY_DIGITS):
        centred = decimals(problem.x).reshape(problem.sets.shape) - mean
        weight, bias = (decimals(a) for a in affine(problem))
        y = centred / root(variance + decimal.Decimal(problem.eps)) * weight + bias
        return pair(y.reshape(problem.x.shape))


def root_in(unit: float) -> float:
    """How far (v + eps)^-1/2 is off, relatively, by an addition, a root and a division in a format of this unit."""
    return math.expm1(2 * math.log1p(unit) - math.log1p(-unit) / 2)


def inverse_deviation(
    mu: Array, v: Array, eps: float, off: tuple[Array, Array], count: int, arithmetic: Arithmetic
) -> tuple[Array, Array, Array]:
    """r = (v + eps)^-1/2, and how far it and the mean may be off where |mu| and v are off by dmu and dv: dr and dmu.

    r lies between those of v - dv and v + dv, and 5u come on top: the addition of eps (1/2), eps itself as a number of
    the accumulator (1/2), a reciprocal square root good to 2 ulp (4; Vulkan and CUDA allow as much). Where mean and r
    are declared to be stored in a narrower format, its unit d adds d*(|mu| + dmu) to dmu; to dr, of an addition of eps
    under the root, a root and a division in that format, ((1+d)^2/(1-d)^(1/2) - 1)*(r + dr), which is 2.5d and a
    little; and half the spacing of its subnormal numbers to each: r is one of them where the deviation is beyond
    1/omega. Derived here; what Vulkan and CUDA say of roots was read (docs/numerics.md, 17).

    In float64 the two ends are about as near to r as rounding lets them be told, and their differences from it would
    cancel. With s = v + eps they are, without a subtraction,

        high - r = r*(sqrt(1 + a) - 1),       a = (min(dv, v) + 2u*eps) / (max(v - dv, 0) + eps*(1-2u))
        r - low  = r*(1 - 1/sqrt(1 + b)),     b = (dv + 2u*eps) / s

    by expm1 and log1p. What rounding is left is that of v and dv, float64 sums of `count` terms: dv is good to
    own_rounding(count) of itself, v to t, as much of v + dv. (A mean that is off by a rounding, at most u*|mu|, adds
    its square to v, and dv is at least 4u*mu^2.) Both are charged where they count: v - dv may be much smaller than v.
    r is off by no more than t/s of itself, by which dr is enlarged.
    """
    (dmu, dv), u, own = off, arithmetic.unit, own_rounding(count)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        s, t, moved, added = v + eps, own * (v + dv), dv * (1 + own), 2 * u * eps * (1 + own)
        r = s**-0.5
        least = np.maximum(v - dv - t, 0) + eps * (1 - 2 * u) * (1 - own)
        above = r * np.expm1(np.log1p((np.minimum(moved, v + t) + added) / least) / 2)
        below = -r * np.expm1(np.log1p((moved + added) / s) / -2)
        dr = (np.maximum(above, below) + 5 * u * (r + above)) * (1 + own + t / s)
        if arithmetic.statistics:
            narrow = FORMATS[arithmetic.statistics]
            dr = dr + root_in(narrow.unit) * (r + dr) + narrow.spacing / 2
            dmu = dmu + narrow.unit * (mu + dmu) + narrow.spacing / 2
    return r, dr, dmu


def distance(x: Array, found: Statistics, count: int) -> Array:
    """|x - mu|, no smaller than it is: a mean of `count` elements, corrected once, is off by less than two roundings of
    itself and count + 8 of the deviation."""
    unit = FORMATS["float64"].unit
    return np.asarray(np.abs(x - found.mean) + unit * (2 * np.abs(found.mean) + (count + 8) * np.sqrt(found.variance)))


def judgement(problem: Normalization, arithmetic: Arithmetic, off: tuple[Array, Array] | None = None) -> Bound:
    """How far (x - mu)*r*weight + bias, r = (v + eps)^-1/2, may be off.

    dr is that of inverse_deviation. Centred, with z = |x-mu| and three roundings c = (1+u)^3 - 1 before the last:
    e = |w|*(z*(dr + c*(r+dr)) + dmu*(r+dr)*(1+c)). Folded into x*a + (bias - mu*a) with a = r*w, which passes too:
    u*(|w|*(r+dr)*(|x| + 2|mu|)*(1+4u) + |bias|) more: x*a has two roundings, mu*a three, of which
    c covers what multiplies dmu. The last addition makes of e E = (1+u)*e + u*|y|. A wider accumulator is rounded once
    at the end. What underflows, of z*r, of its product with w or of a: once each. Where subnormals are flushed, w and
    bias may be read as zero. Where m*(v + mu^2 + dv) comes near the end of the range, nothing is demanded, nor where r
    is beyond that of a narrower format in which it is declared to be kept.

    `off` is dmu and dv; by default those of one set of elements. A mean and a variance that are given are not off.

    These figures are computed in float64, by whose rounding E is enlarged: own_rounding(m). z is taken by `distance`.
    In a float64 problem that is of second order; y is the truth rounded once or off by (m + 16)*2^-53 of |w|*r*(|x| +
    mean|x|) + |bias|, of which E has more than u. The bound is derived here (docs/numerics.md, 9).

    Where the weight or the whole set is zero, the output is the bias, whatever r is; where the mean is given, where the
    weight is zero.
    """
    sets = problem.sets
    if not problem.x.size:
        return Bound.exact(problem.x.shape)
    out, acc, u = arithmetic.out, arithmetic.acc, arithmetic.unit
    x = as_float(problem.x).reshape(sets.shape)
    given, found = held(problem) is not None, found_in(problem)
    weight, bias = affine(problem)
    y = as_float(reference(problem)).reshape(sets.shape)
    none = np.zeros(found.mean.shape)
    dmu, dv = (none, none) if given else off or errors(found, sets.count, arithmetic)
    mu, v, eps, w, flush = np.abs(found.mean), found.variance, problem.eps, np.abs(weight), lost(arithmetic)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        r, dr, dmu = inverse_deviation(mu, v, eps, (dmu, dv), sets.count, arithmetic)
        most = r + dr
        three, z = u * (3 + 3 * u + u * u), distance(x, found, sets.count)
        error = w * (z * (dr + three * most) + dmu * most * (1 + three))
        error = error + u * (w * most * (np.abs(x) + 2 * mu) * (1 + 4 * u) + np.abs(bias))
        error = error + flush * (w * most + w + 2 + (z + dmu) * (1 + most if arithmetic.flush_to_zero else 1))
        error = ((1 + u) * error + u * np.abs(y)) * (1 + own_rounding(sets.count))
        if arithmetic.widens:
            error = error + out.unit * (np.abs(y) + error)
        error = error + out.spacing / 2
        # The reference: two sums of m terms in the order of NumPy, and a handful of operations more.
        unit = BETTER_THAN_DOUBLE if problem.dtype == np.float64 else FORMATS["float64"].unit
        size = w * r * (np.abs(x) + found.modulus) + np.abs(bias)
        error = error + (sets.count + 16) * unit * size
        # Without eps a variance may be lost altogether: then only a finite answer is demanded.
        error = np.where(np.isnan(error) & np.isfinite(y), np.inf, error)
        reach = np.abs(y) + size + np.where(np.isposinf(error), 0.0, error)
        if given:  # no sum of squares, but outputs of any size before the weight
            overflows = ~((np.abs(x) + mu) * np.maximum(most, 1) < acc.largest) | ~(reach < acc.largest)
        else:
            squares = ~(sets.count * (v + mu**2 + dv) < acc.largest / 2)
            error = np.where(squares, np.inf, error)  # of an infinite variance zeros are left, or NaN
            overflows = squares | ~(reach < acc.largest)
        if arithmetic.statistics:
            overflows = overflows | ~(most < FORMATS[arithmetic.statistics].largest)
    forced = ((weight == 0) | ((found.largest == 0) & (not given))) & (eps > 0) & ~overflows
    error = np.where(forced, 0.0, error)
    shape = problem.x.shape
    whole = (np.abs(y) + size) * np.ones(x.shape)
    return Bound(error.reshape(shape), forced.reshape(shape), overflows.reshape(shape), whole.reshape(shape))


# Drawing.

EPSILONS = (EPS, attribute(1e-3), 0.5, 0.0, 8.0)


def drawn(pick: Pick, shape: Shape, sets: Sets, affine: Shape) -> dict[str, Any]:
    """x, weight, bias and eps. The data are of three sorts: those of every operation; sets whose variance is near eps,
    where a misplaced eps shows; and sets whose mean is up to 1e4 deviations from zero, where cancellation shows.
    """
    sort = pick.one_of(("plain", "small", "shifted"), (50, 25, 25))
    eps = pick.one_of(EPSILONS, (57, 15, 13, 10, 5))
    if sort == "plain":
        x = pick.data(sets.count).array(shape)
    else:
        random = np.random.default_rng(pick.seed())
        values = random.standard_normal(shape)
        if sort == "small":
            values *= np.sqrt(eps or EPS) * pick.one_of((1.0, 0.25, 2.0))
        else:
            values = (values + pick.one_of((1e1, 1e2, 1e3, 1e4))) * pick.one_of((1.0, 0.125))
        x = values.astype(pick.dtype)
    weight = parameter(pick, affine, pick.one_of(("normal", "none", "integers"), (35, 25, 40)))
    bias = parameter(pick, affine, pick.one_of(("normal", "none", "integers"), (45, 25, 30)))
    if not eps and not _vary(x, sets):
        x = np.random.default_rng(pick.seed()).standard_normal(shape).astype(pick.dtype)
        eps = eps if _vary(x, sets) else EPSILONS[0]
    return {"x": x, "weight": weight, "bias": bias, "eps": eps}


def _vary(x: Tensor, sets: Sets) -> bool:
    """Do two elements of every set differ by so much that its variance is positive and is not lost?"""
    seen = as_float(x).reshape(sets.shape)
    least = 2 * np.sqrt(sets.count * format_of(x.dtype).smallest_normal)
    with np.errstate(over="ignore"):
        return bool(np.all(seen.max(axis=sets.axes) - seen.min(axis=sets.axes) > least))


LONG = ("", "group", "rows", "columns", "groups", "group, columns", "groups, columns", "images")


def drawn_images(op: Any, pick: Pick, *, grouped: bool) -> dict[str, Any]:
    """Fields of a normalization of images: every set has at least two elements, and some have many. Batches are long
    where their images are no sets of their own; elsewhere a check puts images into batches of every size."""
    often = (68, 9, 9, 8, 2, 2, 2)
    stretch = pick.one_of(LONG[:-1], often) if op.has_batch else pick.one_of(LONG, (*often, 12))
    n = pick.one_of(STRETCHED) if stretch == "images" else pick.integer(1, 3)
    count = (pick.one_of(STRETCHED) if "groups" in stretch else pick.integer(1, 3)) if grouped else 1
    size = pick.one_of(STRETCHED) if stretch.split(",")[0] == "group" else pick.integer(1, 4, unlike=(n,))
    h = pick.one_of(STRETCHED) if stretch == "rows" else pick.integer(1, 4, unlike=(n, count * size))
    w = pick.one_of(WIDE) if "columns" in stretch else pick.integer(1, 4, unlike=(n, count * size, h))
    groups = {"groups": count} if grouped else {}
    for _ in range(2):
        sets: Sets = op(x=np.empty((n, count * size, h, w)), **groups).sets
        if sets.count == 1:  # of one pixel, or of one channel
            size, w = (size, 2) if len(sets.axes) > 1 else (2, w)
    shape = (n, count * size, h, w)
    return {**drawn(pick, shape, sets, shape[1:2]), **groups}


def parameter(pick: Pick, shape: Shape, sort: str) -> Tensor | None:
    """A weight or bias: absent, ordinary numbers, or integers of [-2, 2], a fifth of them zero."""
    if sort == "none":
        return None
    random = np.random.default_rng(pick.seed())
    values = random.integers(-2, 3, shape) if sort == "integers" else random.standard_normal(shape)
    return np.asarray(values).astype(pick.dtype)
