"""What `Dropout` and `Dropout2d` have in common: the mask read off an answer, value, bound, the problems drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .features import Feature, flag
from .formats import FORMATS
from .measured import two_product, two_sum
from .op import Tensor, Undetermined
from .parameters import attribute
from .pick import Pick
from .rounding import Arithmetic, Bound

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Problem = Any

# The largest seed: that of a signed 64-bit number, which every interface can carry.
LARGEST_SEED = 2**63 - 1

HELD = FORMATS["float32"]  # in which p may be held where arrays have no more digits


def drops(problem: Problem) -> bool:
    """Does chance decide: in training, with p neither 0 nor 1?"""
    return bool(problem.training and 0 < problem.p < 1)


def settled(problem: Problem, answer: Tensor) -> Problem:
    """The problem with the mask that an answer shows.

    Where x is not zero, an element that is not zero was kept, and all that share its draw with it. Of a dropped NaN or
    infinity both 0 and NaN may be left (a product with the mask leaves NaN): NaN there is no sign of having been kept.
    """
    if not problem.random:
        return problem
    x, y = np.asarray(problem.x, np.float64), np.asarray(answer, np.float64)
    spoilt = np.isnan(y) & ~np.isfinite(x)
    kept = (y != 0) & (x != 0) & ~spoilt
    shared = tuple(range(x.ndim - problem.shared_axes, x.ndim))
    read = {"mask": kept.any(axis=shared, keepdims=True) if shared else kept}
    return problem.read(**read, spoilt=spoilt) if spoilt.any() else problem.read(**read)


def mask(problem: Problem) -> Mask:
    """Which elements are kept, in the shape of x. Raises Undetermined before an answer has settled it."""
    if problem.random:
        raise Undetermined(
            f"{problem.name}: in training what is dropped is drawn, so that there is no one result; "
            "problem.settled(y) is the problem with the mask of an answer y"
        )
    drawn = problem.reading.get("mask", np.asarray(not problem.training or problem.p == 0))
    return np.broadcast_to(drawn, problem.x.shape)


def reference(problem: Problem) -> Array:
    """x / (1 - p) where it is kept, 0 elsewhere; in evaluation x."""
    kept, x = mask(problem), np.asarray(problem.x, np.float64)
    dropped = np.where(problem.reading.get("spoilt", False), np.nan, 0.0)
    return np.where(kept, x / (1 - problem.p) if drops(problem) else x, dropped)


def truth(problem: Problem) -> tuple[Array, Array]:
    """The value in about 106 bits: 1 - p as s + e without error, then one step of the division by it."""
    hi = reference(problem)
    if not drops(problem):
        return hi, np.zeros_like(hi)
    s, e = two_sum(np.asarray(1.0), np.asarray(-float(problem.p)))
    with np.errstate(invalid="ignore", over="ignore"):
        product, lost = two_product(hi, np.broadcast_to(s, hi.shape))
        rest = (np.asarray(problem.x, np.float64) - product) - lost - hi * e
        lo = np.where(mask(problem) & np.isfinite(hi), rest / s, 0.0)
    return hi, np.where(np.isfinite(lo), lo, 0.0)


def judgement(problem: Problem, arithmetic: Arithmetic) -> Bound:
    """Three roundings: 1 - p, its reciprocal, the product with x; a division has one of them less.

    Each is off by a factor between 1 - u and 1 + u, and the second divides by the first: together by less than
    (1 + u)^2 / (1 - u) - 1 = 3u + O(u^2), u of the storage format, as an implementation may work in it throughout. The
    same in float64 is added for the reference. p is a float64 number; with arrays of fewer digits it may be held as a
    float32 one, as interfaces do that take a `float`: off by p*2^-24 at most, which of 1 - p is h = p*2^-24/(1 - p), so
    that what comes of it is divided by 1 - h. 1/(1 - p) makes no number smaller, so that a subnormal loses half a
    spacing, or, where flushing is declared, itself. Where p is a float32 number and 1/(1 - p) a power of two nothing is
    rounded at all, nor is it where x is copied or dropped. Derived here.
    """
    y = reference(problem)
    zero, no = np.zeros(y.shape), np.zeros(y.shape, bool)
    if not drops(problem):
        return Bound.exact(y.shape)
    keep = 1 - problem.p
    narrow = arithmetic.out.p <= HELD.p
    held = HELD.unit * problem.p / keep if narrow and float(np.float32(problem.p)) != problem.p else 0.0
    exact = not held and math.frexp(keep)[0] == 0.5 and 1 - keep == problem.p
    size = np.where(np.isfinite(y), np.abs(y), 0.0)
    off = _three(arithmetic.unit_factor * arithmetic.out.unit)
    off = (off + held) / (1 - held) if held < 1 else math.inf
    with np.errstate(invalid="ignore"):
        tolerance = zero if exact else np.where(size > 0, (off + _three(2.0**-53)) * size, 0.0)
    if not exact:
        tolerance = np.where(
            size > 0, tolerance + arithmetic.unit_factor * arithmetic.out.spacing / 2 + arithmetic.acc.spacing / 2, 0.0
        )
    if arithmetic.flush_to_zero:
        tolerance = np.where(size > 0, tolerance + arithmetic.out.smallest_normal / keep, 0.0)
    return Bound(tolerance, tolerance == 0, no | (1 / keep >= arithmetic.out.largest), 2 * size)


def _three(u: float) -> float:
    return u * (3 + u) / (1 - u)


def _odds(problem: Problem) -> str:
    """Of p: whether it is near 0 or 1, or 1/(1 - p) a power of two, by which nothing is rounded."""
    p = problem.p
    if p in (0, 1):
        return str(int(p))
    if not 0.01 <= p <= 0.99:
        return "small" if p < 0.5 else "large"
    return "power_of_two" if math.frexp(1 - p)[0] == 0.5 else "other"


def _seed(problem: Problem) -> str:
    """Of the seed: what of it a generator of 32 bits keeps."""
    return "0" if problem.seed == 0 else "small" if problem.seed < 2**32 else "large"


FEATURES = (
    Feature("p", ("0", "small", "power_of_two", "other", "large", "1"), _odds),
    flag("training", lambda problem: problem.training),
    Feature("seed", ("0", "small", "large"), _seed),
)


EXTREME = (0.001, 0.999, 0.004, 0.996)


def drawn(pick: Pick) -> dict[str, Any]:
    """p, training and seed of a problem: most of them in training with a p that leaves it to chance."""
    usual = (0.5, 0.25, 0.1, 0.75, 0.9, 0.875, 0.0, 1.0, None)
    p = pick.one_of((*usual, *EXTREME), (20, 12, 12, 12, 12, 4, 6, 4, 18, 2, 2, 2, 2))
    p = attribute(pick.integer(1, 99) / 100 if p is None else p)
    evaluation = pick.flag(0.15)
    bits = pick.one_of((0, 8, 32, 63), (15, 45, 25, 15))
    return {"p": p, "training": not evaluation, "seed": pick.integer(0, 2**bits - 1) if bits else 0}


def is_floating(problem: Problem) -> bool:
    """Is x of one of the formats that are specified?"""
    dtype = problem.dtype
    return dtype in _USUAL or str(dtype) in FORMATS


_USUAL = (np.dtype(np.float32), np.dtype(np.float64))  # the name of a dtype takes microseconds to make
