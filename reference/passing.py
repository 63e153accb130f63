"""How errors pass through a layer: the largest that can come out, and the standard deviation of what does.

Derived for this project; the layers' own bounds are those of their operations, for the largest inputs there may be.

Notation: x is the layer's input in the ground truth, D (`off`) how far each element of a backend's input may be from
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from . import normalize_passing, pool
from .averages import average_bound
from .dot import as_float, become_infinite, flushed, variance_of
from .formats import FORMATS
from .op import Op
from .rounding import Arithmetic, Bound, dot_bound
from .window import windows

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
UNIT64 = FORMATS["float64"].unit


def off_by(bound: Bound, value: Array, arithmetic: Arithmetic) -> Array:
    """D: how far an answer that is accepted may be from its truth, `value`.

    As in conformance/compare.py: by the tolerance; where flushing is declared, a zero in place of what may be
    subnormal, which is off by the value itself; without limit where it may overflow.
    """
    size = np.abs(value)
    with np.errstate(invalid="ignore"):
        off = bound.tolerance
        if arithmetic.flush_to_zero:
            off = np.where(size - off < arithmetic.out.smallest_normal, np.maximum(off, size), off)
        return np.where(bound.overflows | ~(size + bound.tolerance < arithmetic.out.largest), np.inf, off)


def passed_on(problem: Op, before: Bound, off: Array, arithmetic: Arithmetic) -> Bound:
    """How far the layer's answer may be from the truth, if its input is off by at most `off`; `before`: its bound.

    The reference's own error in float64 is counted.
    """
    shape = problem.arrays()["x"].shape
    before = replace(before, forced=before.forced.reshape(shape), size=before.size.reshape(shape))
    off = off.reshape(shape)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        if not off.any():
            bound = problem.judgements(arithmetic)[problem.outputs[0]]
            # The reference: at most one rounding per term and a handful more, relative to the sum of the terms.
            size = np.where(bound.forced, 0.0, bound.size)
            own = np.where(size == 0, 0.0, (_terms(problem) + 16) * UNIT64 * size)
            settled = before.forced if problem.name == "relu" else bool(before.forced.all())
            return replace(bound, tolerance=bound.tolerance + own, forced=bound.forced & settled)
        found = _PASSING[problem.name](problem, off, before, arithmetic)
    return replace(found, tolerance=np.where(np.isnan(found.tolerance), np.inf, found.tolerance))


def _terms(problem: Any) -> int:
    """How many terms an output has at most."""
    if hasattr(problem, "kernel_size"):
        return int(problem.kernel_size[0] * problem.kernel_size[1])
    if hasattr(problem, "sets"):
        return int(problem.sets.count)
    weight = problem.arrays().get("weight")
    return 1 if weight is None else int(np.prod(weight.shape[1:])) + 1


def _product(problem: Any) -> tuple[Callable[[Array, Array], Array], Array, Array | float]:
    """The bilinear product of a convolution or fully connected layer, its weights and its bias."""
    weight = as_float(problem.weight)
    if problem.name == "linear":
        bias = 0.0 if problem.bias is None else as_float(problem.bias)
        return lambda x, w: np.matmul(x, w.T), weight, bias
    return problem.multiply, weight, 0.0 if problem.bias is None else as_float(problem.bias)[:, None, None]


def _through_product(problem: Any, off: Array, before: Bound, arithmetic: Arithmetic) -> Bound:
    """|W|D, and the bound of rounding.dot_bound, which grows with |y|, the sum of the moduli and the number of terms:
    none is larger than those of |y| + |W|D, |W|(|x| + D) + |b| and the places where |x| + D and W are not zero. What
    is lost where subnormal inputs are read as zero, dot.flushed, is that of the largest of the inputs that there may
    be."""
    multiply, weight, bias = _product(problem)
    x = np.abs(as_float(problem.x)) + off
    y = multiply(as_float(problem.x), weight) + bias
    passed = multiply(off, np.abs(weight))
    magnitude = multiply(x, np.abs(weight)) + np.abs(bias)
    terms = multiply((x > 0).astype(np.float64), (weight != 0).astype(np.float64)) + (bias != 0)
    passed = np.where(np.isnan(passed), np.inf, passed) * (1 + (terms + 2) * UNIT64)
    lost = np.asarray(flushed(multiply, as_float(problem.x), weight, np.asarray(bias), arithmetic, off))
    lost = np.where(np.isnan(lost), np.inf, lost)
    direct = dot_bound(np.abs(y) + passed, magnitude, terms, arithmetic, bias=np.abs(bias), flushed=lost)
    bound: Bound = problem.transformed(direct, x, arithmetic)
    zero = (terms == 0) & (bound.tolerance == 0)
    over = bound.overflows | become_infinite(arithmetic, x, weight)
    return Bound(passed + bound.tolerance, zero, over, np.abs(y) + magnitude, bound.terms)


def _through_average(problem: Any, off: Array, before: Bound, arithmetic: Arithmetic) -> Bound:
    """The average of D, and the bound of averages.average_bound, which grows as that of sums of products does."""
    x = as_float(problem.x)
    total, moved, size = (problem.taps(a).sum(axis=(4, 5)) for a in (x, off, np.abs(x) + off))
    count = problem.taps(((np.abs(x) + off) > 0).astype(np.float64)).sum(axis=(4, 5))
    moved = np.where(np.isnan(moved), np.inf, moved) * (1 + (count + 2) * UNIT64)
    bound = average_bound(np.abs(total) + moved, size, count, problem.divisor, arithmetic, UNIT64)
    return replace(bound, tolerance=moved / problem.divisor + bound.tolerance)


def _candidates(problem: Any, by: Array) -> tuple[Array, Mask]:
    """`by` in each window, and where a tap may be the largest if every element moves by at most so much."""
    x = as_float(problem.x)
    rows, columns = problem.axes
    low, high, moved = (
        windows(pool.filled(problem.but(x=a), fill), rows, columns)
        for a, fill in ((x - by, -np.inf), (x + by, -np.inf), (by, 0.0))
    )
    return moved, ~(high < low.max(axis=(4, 5), keepdims=True))


def _through_maximum(problem: Any, off: Array, before: Bound, arithmetic: Arithmetic) -> Bound:
    """The largest D of the taps that may win: those with x + D >= max(x - D). The winner is one of them, before and
    after."""
    moved, may_win = _candidates(problem, off)
    error = np.where(may_win, moved, 0.0).max(axis=(4, 5))
    size = windows(pool.filled(problem.but(x=before.size), 0.0), *problem.axes).max(axis=(4, 5))
    return Bound(error, (error == 0) & bool(before.forced[off == 0].all()), np.isinf(error), size)


def _through_relu(problem: Any, off: Array, before: Bound, arithmetic: Arithmetic) -> Bound:
    """D, but no more than x + D, and nothing where that is not positive."""
    error = np.minimum(off, np.maximum(as_float(problem.x) + off, 0.0))
    return Bound(error, before.forced & (off == 0), np.isinf(error), before.size)


def _through_norm(problem: Any, off: Array, before: Bound, arithmetic: Arithmetic) -> Bound:
    return normalize_passing.passed_on(problem, off, arithmetic)


_PASSING: dict[str, Callable[[Any, Array, Bound, Arithmetic], Bound]] = {
    "conv2d": _through_product,
    "linear": _through_product,
    "avg_pool2d": _through_average,
    "max_pool2d": _through_maximum,
    "relu": _through_relu,
    "batch_norm2d": _through_norm,
    "layer_norm": _through_norm,
    "group_norm": _through_norm,
    "instance_norm2d": _through_norm,
}


def spread_on(problem: Any, spread: Array, arithmetic: Arithmetic) -> Array:
    """The standard deviation of the layer's error, were roundings independent and of mean zero (0.4u each).

    A sum of products: dot.variance_of, and what the squared weights make of the variances that come in.
    """
    u, out = 0.4 * arithmetic.unit, 0.4 * arithmetic.out.unit
    x = as_float(problem.x)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        if problem.name in ("conv2d", "linear"):
            multiply, weight, bias = _product(problem)
            y = multiply(x, weight) + bias
            squares = multiply(x**2, weight**2) + np.square(bias)
            terms = multiply((x != 0).astype(np.float64), (weight != 0).astype(np.float64)) + (bias != 0)
            own = variance_of(y, squares, terms, arithmetic, bias)
            return np.asarray(np.sqrt(multiply(spread**2, weight**2) + own))
        if problem.name == "avg_pool2d":
            d, k = problem.divisor, float(_terms(problem))
            y, squares, came = (problem.taps(a).sum(axis=(4, 5)) for a in (x, x**2, spread**2))
            own = u**2 * ((k + 1) / 2 * squares + (k / 3 + 1) * y**2)
            return np.asarray(np.sqrt(came + own + (out * y) ** 2 * arithmetic.widens) / d)
        if problem.name == "max_pool2d":
            moved, _ = _candidates(problem, spread)
            _, may_win = _candidates(problem, 4 * spread)
            return np.asarray(np.where(may_win, moved, 0.0).max(axis=(4, 5)))
        if problem.name == "relu":
            return np.where(x + 4 * spread > 0, spread, 0.0)
        return normalize_passing.spread(problem, spread, arithmetic)
