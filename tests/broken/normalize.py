"""Bugs of the operations that subtract a mean and divide by a deviation."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Op
from convspec.reference.sets import held

from .base import Array, Right, broken, last_pair_repeats, rounded, wide

NORMS = ("batch_norm2d", "sync_batch_norm2d", "layer_norm", "group_norm", "instance_norm2d", "pixel_group_norm")


def norms(clauses: str, **more: str) -> dict[str, str]:
    """The same clauses for every normalization, and more for some."""
    return {name: f"{clauses} {more.get(name, '')}" for name in NORMS}


class RightNorm(Right):
    """The normalizations, row by row: a bug overrides one step. Everything else is right."""

    def answer(self, problem: Any) -> Any:
        if problem.name not in NORMS or held(problem) is not None:
            return super().answer(problem)
        problem.validate()
        with np.errstate(all="ignore"):
            y = rounded(self.whole(problem), problem) if problem.x.size else np.array(problem.x)
        return y if len(problem.outputs) == 1 else (y, *super().answer(problem)[1:])

    def whole(self, problem: Any) -> Array:
        y = problem.sets.whole(self.rows(problem.sets.rows(wide(problem.x)), problem.eps), problem.x.shape)
        return self.scaled(y, *self.affine(problem))

    def rows(self, x: Array, eps: float) -> Array:
        """One set a row."""
        mean = x.mean(axis=1, keepdims=True)
        return np.asarray((x - mean) / np.sqrt(((x - mean) ** 2).mean(axis=1, keepdims=True) + eps))

    def affine(self, problem: Any) -> tuple[Array, Array]:
        """Weight and bias, as large as x."""
        sets = problem.sets
        given = (
            (np.ones(sets.affine) if problem.weight is None else wide(problem.weight)),
            (np.zeros(sets.affine) if problem.bias is None else wide(problem.bias)),
        )
        weight, bias = (np.broadcast_to(a.reshape(sets.affine), sets.shape).reshape(problem.x.shape) for a in given)
        return weight, bias

    def scaled(self, y: Array, weight: Array, bias: Array) -> Array:
        return y * weight + bias


def deviations(x: Array) -> tuple[Array, Array]:
    """x less its mean, and the variance, row by row."""
    centred = x - x.mean(axis=1, keepdims=True)
    return centred, (centred**2).mean(axis=1, keepdims=True)


WORKED = {
    "batch_norm2d": "four_numbers",
    "sync_batch_norm2d": "three_and_five",
    "layer_norm": "four_numbers",
    "group_norm": "two_groups",
    "instance_norm2d": "two_channels",
    "pixel_group_norm": "two_pixels",
}


UNBIASED = {
    "batch_norm2d": "four_numbers a_doubled_batch_gives_the_same_twice",
    "sync_batch_norm2d": "three_and_five a_doubled_batch_gives_the_same_twice",
}


@broken(60, **norms("scale_and_shift_do_not_matter squares_of_a_set_average_below_one within_the_bound", **WORKED))
class AddsEpsOutsideTheRoot(RightNorm):
    """eps is added to the deviation instead of to the variance."""

    def rows(self, x: Array, eps: float) -> Array:
        centred, variance = deviations(x)
        return np.asarray(centred / (np.sqrt(variance) + eps))


@broken(60, **norms("squares_of_a_set_average_below_one a_constant_set within_the_bound", **WORKED))
class ForgetsEps(RightNorm):
    """eps is left out."""

    def rows(self, x: Array, eps: float) -> Array:
        centred, variance = deviations(x)
        return np.asarray(centred / np.sqrt(variance))


@broken(60, **norms("squares_of_a_set_average_below_one within_the_bound", **WORKED))
class AddsEpsTwice(RightNorm):
    """eps is added to the variance and again under the root."""

    def rows(self, x: Array, eps: float) -> Array:
        return super().rows(x, 2 * eps)


@broken(
    60,
    **norms(
        "within_the_bound scale_and_shift_do_not_matter",
        batch_norm2d="the_size_of_filters_before_it_does_not_matter",
    ),
)
class HasItsOwnEps(RightNorm):
    """eps is 1e-5 whatever is asked for."""

    def rows(self, x: Array, eps: float) -> Array:
        return super().rows(x, 1e-5)


@broken(60, **norms("no_eps"))
class KeepsEpsAway(RightNorm):
    """An eps below 1e-3 is replaced by 1e-3, so as never to divide by zero."""

    def rows(self, x: Array, eps: float) -> Array:
        return super().rows(x, max(eps, 1e-3))


@broken(60, **norms("a_tiny_eps"))
class KeepsEpsInFloat16(RightNorm):
    """eps is a number of float16, where 1e-8 is zero."""

    def rows(self, x: Array, eps: float) -> Array:
        return super().rows(x, float(np.float16(eps)))


@broken(
    60,
    **norms("squares_of_a_set_average_below_one within_the_bound", **WORKED | UNBIASED),
)
class DividesByOneLess(RightNorm):
    """The variance is the unbiased one."""

    def rows(self, x: Array, eps: float) -> Array:
        centred, variance = deviations(x)
        m = x.shape[1]
        return np.asarray(centred / np.sqrt(variance * m / max(m - 1, 1) + eps))


@broken(
    60,
    **norms("outputs_of_a_set_add_up_to_zero scale_and_shift_do_not_matter a_constant_set within_the_bound", **WORKED),
)
class ForgetsTheMean(RightNorm):
    """x is divided by the root of its mean square, as RMS normalization does."""

    def rows(self, x: Array, eps: float) -> Array:
        return np.asarray(x / np.sqrt((x**2).mean(axis=1, keepdims=True) + eps))


@broken(**norms("finite_inputs_give_finite_outputs"))
class TakesTheVarianceInOnePass(RightNorm):
    """The variance is mean(x^2) - mean(x)^2 in the dtype, which may come out negative."""

    def rows(self, x: Array, eps: float) -> Array:
        y = x.astype(np.float32)
        mean = y.mean(axis=1, keepdims=True)
        variance = (y * y).mean(axis=1, keepdims=True) - mean * mean
        return np.asarray((y - mean) / np.sqrt(variance + np.float32(eps)), np.float64)


@broken(60, **norms("elements_of_a_set_may_be_permuted within_the_bound"))
class LeavesTheLastElementOut(RightNorm):
    """The last element of a set is normalized, but not counted."""

    def rows(self, x: Array, eps: float) -> Array:
        seen = x[:, : max(x.shape[1] - 1, 1)]
        mean = seen.mean(axis=1, keepdims=True)
        return np.asarray((x - mean) / np.sqrt(((seen - mean) ** 2).mean(axis=1, keepdims=True) + eps))


@broken(60, **norms("negated_inputs_give_negated_outputs outputs_of_a_set_add_up_to_zero exact_on_integers"))
class FusesTheRectifier(RightNorm):
    """A rectifier was left on at the end."""

    def scaled(self, y: Array, weight: Array, bias: Array) -> Array:
        return np.maximum(super().scaled(y, weight, bias), 0)


@broken(60, **norms("weight_and_bias_act_last within_the_bound"))
class AddsTheBiasFirst(RightNorm):
    """The bias is added before the weight multiplies."""

    def scaled(self, y: Array, weight: Array, bias: Array) -> Array:
        return (y + bias) * weight


@broken(60, **norms("weight_and_bias_act_last exact_on_integers"))
class ForgetsTheBias(RightNorm):
    """Where there is a weight, the bias is forgotten."""

    def affine(self, problem: Any) -> tuple[Array, Array]:
        weight, bias = super().affine(problem)
        return weight, bias * (problem.weight is None)


@broken(60, **norms("sets_are_separate within_the_bound"))
class TakesTheMeanOfAll(RightNorm):
    """The mean is that of the whole of x, the variance that of the set about its own mean."""

    def rows(self, x: Array, eps: float) -> Array:
        _, variance = deviations(x)
        return np.asarray((x - x.mean()) / np.sqrt(variance + eps))


@broken(60, **norms("sets_are_separate images_are_independent within_the_bound"))
class TakesTheVarianceOfAll(RightNorm):
    """The variance is the mean of those of all sets."""

    def rows(self, x: Array, eps: float) -> Array:
        centred, variance = deviations(x)
        return np.asarray(centred / np.sqrt(variance.mean() + eps))


@broken(**norms("nan_fills_its_set_and_no_other"))
class TakesNaNAsZero(RightNorm):
    """NaN is replaced by zero on the way in."""

    def rows(self, x: Array, eps: float) -> Array:
        return super().rows(np.nan_to_num(x), eps)


@broken(**norms("nan_fills_its_set_and_no_other"))
class LetsNaNThrough(RightNorm):
    """The statistics pass over NaN: only the element itself stays NaN."""

    def rows(self, x: Array, eps: float) -> Array:
        return np.where(np.isnan(x), x, super().rows(np.nan_to_num(x), eps))


@broken(**norms("nan_fills_its_set_and_no_other"))
class SpreadsNaN(RightNorm):
    """x is scaled by its largest value and scaled back: one NaN reaches every set."""

    def rows(self, x: Array, eps: float) -> Array:
        return super().rows(x, eps) + 0 * x.max()


@broken(60, **norms("within_the_bound"))
class RoundsTheRootToTwelveBits(RightNorm):
    """The reciprocal root comes from a table of 12 bits and is not refined."""

    def rows(self, x: Array, eps: float) -> Array:
        centred, variance = deviations(x)
        mantissa, exponent = np.frexp(1 / np.sqrt(variance + eps))
        return np.asarray(centred * np.ldexp(np.rint(mantissa * 2.0**12) / 2.0**12, exponent))


@broken(200, **norms("within_the_bound"))
class KeepsStatisticsInFloat16(RightNorm):
    """Mean and variance are kept in float16, and nothing says so."""

    def rows(self, x: Array, eps: float) -> Array:
        mean = x.mean(axis=1, keepdims=True).astype(np.float16).astype(np.float64)
        variance = ((x - mean) ** 2).mean(axis=1, keepdims=True).astype(np.float16).astype(np.float64)
        return np.asarray((x - mean) / np.sqrt(variance + eps))


@broken(
    60,
    batch_norm2d="pixels_may_be_permuted",
    sync_batch_norm2d="pixels_may_be_permuted",
    group_norm="pixels_may_be_permuted",
    instance_norm2d="pixels_may_be_permuted",
    pixel_group_norm="pixels_may_be_permuted",
)
class RepeatsAnOddLastColumn(RightNorm):
    """Columns are made in pairs, and an odd last one is left with what its neighbour has."""

    def scaled(self, y: Array, weight: Array, bias: Array) -> Array:
        return last_pair_repeats(super().scaled(y, weight, bias))


@broken(**norms("one_nan_touches_its_field"))
class TakesInfinityInXForZero(Right):
    """Infinities in x are taken for zero; NaN is not."""

    def answer(self, problem: Op) -> Any:
        x = problem.arrays()["x"]
        if problem.name in NORMS and not problem.broken_rules() and np.isinf(x).any():
            problem = problem.but(x=np.where(np.isinf(x), 0, x).astype(problem.dtype))
        return super().answer(problem)
