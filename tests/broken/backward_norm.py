"""Bugs of the gradients of normalizations that those of all of them may have."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference.sets import Sets

from .backward import Gradients
from .base import Array, Right, broken, rounded, wide

NORMS = ("batch_norm2d_backward", "layer_norm_backward", "group_norm_backward")
WORKED = {
    "batch_norm2d_backward": "four_numbers",
    "layer_norm_backward": "four_numbers",
    "group_norm_backward": "two_groups",
}
ONE = {
    "batch_norm2d_backward": "one_pixel one_image",
    "layer_norm_backward": "one_value",
    "group_norm_backward": "one_value_per_group one_pixel",
}


def norms(clauses: str, *more: dict[str, str]) -> dict[str, str]:
    """The same clauses for the gradients of every normalization, and more for each."""
    return {name: " ".join([clauses, *(one.get(name, "") for one in more)]) for name in NORMS}


class RightGradients(Right):
    """The gradients of normalizations, row by row: a bug overrides one step. Everything else is right."""

    def answer(self, problem: Any) -> Any:
        if problem.name not in NORMS:
            return super().answer(problem)
        problem.validate()
        if not problem.x.size:
            return super().answer(problem)
        with np.errstate(all="ignore"):
            found = self.gradients(problem)
            return tuple(None if one is None else rounded(one, problem) for one in found)

    def gradients(self, problem: Any) -> tuple[Any, ...]:
        sets, shape, users = self.sets(problem), problem.x.shape, problem.users
        affine = np.ones(sets.affine) if problem.weight is None else wide(problem.weight).reshape(sets.affine)
        weight = np.broadcast_to(affine, sets.shape).reshape(shape)
        x, g, w = (sets.rows(wide(a)) for a in (problem.x, problem.grad_output, weight))
        centred, r = self.standing(problem, x)
        inner = self.inner(g, w, centred * r) if problem.held is None else self.held(problem, g * w, centred * r)
        grad_weight = users.rows(sets.whole(g * self.hat(centred, r), shape)).sum(1)
        grads = (sets.whole(inner * self.factor(r), shape), grad_weight, users.rows(wide(problem.grad_output)).sum(1))
        given = (problem.x, problem.weight, problem.bias)
        return tuple(None if a is None else one.reshape(a.shape) for one, a in zip(grads, given, strict=True))

    def sets(self, problem: Any) -> Sets:
        found: Sets = problem.sets
        return found

    def standing(self, problem: Any, x: Array) -> tuple[Array, Array]:
        """Rows less their mean, and their inverse deviation."""
        if problem.held is not None:
            mean, variance = (a.reshape(-1, 1) for a in problem.held)
            return x - mean, self.inverse(variance, problem.eps)
        centred = x - x.mean(axis=1, keepdims=True)
        return centred, self.inverse((centred**2).mean(axis=1, keepdims=True), problem.eps)

    def inverse(self, variance: Array, eps: float) -> Array:
        return np.asarray(1 / np.sqrt(variance + eps))

    def inner(self, g: Array, w: Array, hat: Array) -> Array:
        """What is divided by the deviation, where mean and variance depend on x."""
        h = g * w
        return np.asarray(h - self.mean(h) - hat * self.mean(h * hat))

    def mean(self, rows: Array) -> Array:
        return np.asarray(rows.mean(axis=1, keepdims=True))

    def held(self, problem: Any, h: Array, hat: Array) -> Array:
        return h

    def hat(self, centred: Array, r: Array) -> Array:
        return centred * r

    def factor(self, r: Array) -> Array:
        return r


@broken(
    60,
    **norms(
        "the_gradient_is_the_adjoint gradients_of_a_set_add_up_to_zero a_constant_set within_the_bound", ONE, WORKED
    ),
)
class HoldsTheStatistics(RightGradients):
    """Mean and variance are taken for constants, as in evaluation."""

    def inner(self, g: Array, w: Array, hat: Array) -> Array:
        return g * w


@broken(60, **norms("the_gradient_is_the_adjoint within_the_bound", WORKED))
class HoldsTheVariance(RightGradients):
    """The variance is taken for a constant."""

    def inner(self, g: Array, w: Array, hat: Array) -> Array:
        return g * w - self.mean(g * w)


@broken(60, **norms("gradients_of_a_set_add_up_to_zero the_gradient_is_the_adjoint within_the_bound", WORKED))
class HoldsTheMean(RightGradients):
    """The mean is taken for a constant."""

    def inner(self, g: Array, w: Array, hat: Array) -> Array:
        return np.asarray(g * w - hat * self.mean(g * w * hat))


@broken(60, **norms("the_weight_scales_the_gradient the_gradient_is_the_adjoint within_the_bound", WORKED))
class ForgetsTheWeight(RightGradients):
    """grad_x is that without a weight."""

    def inner(self, g: Array, w: Array, hat: Array) -> Array:
        return super().inner(g, np.ones_like(w), hat)


@broken(
    60,
    layer_norm_backward="the_weight_scales_the_gradient gradients_of_a_set_add_up_to_zero four_numbers",
    group_norm_backward="the_weight_scales_the_gradient gradients_of_a_set_add_up_to_zero two_groups",
)
class MultipliesByTheWeightLast(RightGradients):
    """The weight multiplies grad_x at the end, as batch normalization may do where it is the same in the whole set."""

    def inner(self, g: Array, w: Array, hat: Array) -> Array:
        return w * super().inner(g, np.ones_like(w), hat)


@broken(60, **norms("gradients_shrink_as_the_input_grows the_gradient_is_the_adjoint within_the_bound", WORKED))
class ForgetsTheDeviation(RightGradients):
    """grad_x is not divided by the deviation."""

    def factor(self, r: Array) -> Array:
        return np.ones_like(r)


@broken(60, **norms("the_weight_collects_what_it_scales gradients_shrink_as_the_input_grows within_the_bound", WORKED))
class CollectsWhatIsOnlyCentred(RightGradients):
    """grad_weight is the sum of grad_output * (x - mean), the deviation forgotten."""

    def hat(self, centred: Array, r: Array) -> Array:
        return centred


@broken(60, **norms("the_gradient_is_the_adjoint the_weight_collects_what_it_scales a_constant_set within_the_bound"))
class ForgetsEps(RightGradients):
    """eps is left out."""

    def inverse(self, variance: Array, eps: float) -> Array:
        return super().inverse(variance, 0)


@broken(60, **norms("gradients_shrink_as_the_input_grows within_the_bound"))
class HasItsOwnEps(RightGradients):
    """eps is 1e-5 whatever is asked for."""

    def inverse(self, variance: Array, eps: float) -> Array:
        return super().inverse(variance, 1e-5)


@broken(60, **norms("no_eps a_tiny_eps"))
class KeepsEpsAway(RightGradients):
    """An eps below 1e-3 is replaced by 1e-3, so as never to divide by zero."""

    def inverse(self, variance: Array, eps: float) -> Array:
        return super().inverse(variance, max(eps, 1e-3))


@broken(60, **norms("the_gradient_is_the_adjoint within_the_bound", WORKED))
class DividesByOneLess(RightGradients):
    """The variance is the unbiased one."""

    def standing(self, problem: Any, x: Array) -> tuple[Array, Array]:
        centred, r = super().standing(problem, x)
        m = x.shape[1]
        if problem.held is not None or m == 1:
            return centred, r
        return centred, self.inverse((centred**2).sum(axis=1, keepdims=True) / (m - 1), problem.eps)


@broken(60, **norms("sets_are_separate within_the_bound"))
class TakesTheMeansOfAll(RightGradients):
    """The means of h and of h * x_hat are those of all sets."""

    def mean(self, rows: Array) -> Array:
        return np.asarray(rows.mean())


@broken(**norms("nan_in_the_gradient_fills_its_set_and_no_other"))
class TakesNaNAsZero(RightGradients):
    """NaN in the gradient is replaced by zero on the way in."""

    def inner(self, g: Array, w: Array, hat: Array) -> Array:
        return super().inner(np.nan_to_num(g), w, hat)


@broken(**norms("nan_in_the_gradient_fills_its_set_and_no_other"))
class SpreadsNaN(RightGradients):
    """The gradient is scaled by its largest value and scaled back: one NaN reaches every set."""

    def inner(self, g: Array, w: Array, hat: Array) -> Array:
        return np.asarray(super().inner(g, w, hat) + 0 * g.max())


class Clears(RightGradients):
    """NaN and infinities of some arrays are taken for zero on the way in."""

    cleared: tuple[str, ...] = ()

    def gradients(self, problem: Any) -> tuple[Any, ...]:
        given = {name: array for name, array in problem.arrays().items() if name in self.cleared}
        zero = {name: np.where(np.isfinite(a), a, 0).astype(problem.dtype) for name, a in given.items()}
        return super().gradients(problem.but(**zero))


@broken(**norms("what_is_not_finite_reaches_its_sums_and_no_other"))
class ClearsTheInput(Clears):
    """NaN and infinities in x are taken for zero."""

    cleared = ("x",)


@broken(**norms("what_is_not_finite_reaches_its_sums_and_no_other"))
class ClearsTheWeight(Clears):
    """NaN and infinities in the weight are taken for zero."""

    cleared = ("weight",)


@broken(**norms("what_is_not_finite_reaches_its_sums_and_no_other"))
class ClearsInfinitiesOfTheGradient(RightGradients):
    """Infinities in grad_output are taken for zero; NaN is not."""

    def gradients(self, problem: Any) -> tuple[Any, ...]:
        cleared = np.where(np.isinf(problem.grad_output), 0, problem.grad_output).astype(problem.dtype)
        return super().gradients(problem.but(grad_output=cleared))


@broken(**norms("what_is_not_finite_reaches_its_sums_and_no_other"))
class LosesTheBiasWithTheInput(RightGradients):
    """grad_bias is made by one sweep with x, and lost where x is not finite."""

    def gradients(self, problem: Any) -> tuple[Any, ...]:
        grad_x, grad_weight, grad_bias = super().gradients(problem)
        lost = not np.isfinite(wide(problem.x)).all() and grad_bias is not None
        return grad_x, grad_weight, np.full_like(grad_bias, np.nan) if lost else grad_bias


@broken(**norms("finite_inputs_give_finite_gradients"))
class TakesTheVarianceInOnePass(RightGradients):
    """The variance is mean(x^2) - mean(x)^2 in float32, which may come out negative."""

    def standing(self, problem: Any, x: Array) -> tuple[Array, Array]:
        centred, r = super().standing(problem, x)
        if problem.held is not None:
            return centred, r
        y = x.astype(np.float32)
        mean = y.mean(axis=1, keepdims=True)
        return centred, self.inverse(wide((y * y).mean(axis=1, keepdims=True) - mean * mean), problem.eps)


@broken(200, **norms("within_the_bound"))
class RoundsTheRootToTwelveBits(RightGradients):
    """The reciprocal root comes from a table of 12 bits and is not refined."""

    def inverse(self, variance: Array, eps: float) -> Array:
        mantissa, exponent = np.frexp(super().inverse(variance, eps))
        return np.ldexp(np.rint(mantissa * 2.0**12) / 2.0**12, exponent)


# Weight and bias.


@broken(60, **{name: "images_add_up within_the_bound" for name in NORMS[1:]})
class KeepsTheLastImage(Gradients):
    """grad_weight and grad_bias are written, not added to: those of the last image are left."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name not in NORMS[1:]:
            return right
        last = {name: np.array(getattr(problem, name)[-1:]) for name in ("x", "grad_output")}
        return right[0], *self.of(problem, **last)[1:]


@broken(60, **norms("values_of_the_bias_do_not_matter exact_on_integers"))
class AddsTheBias(Gradients):
    """The epilogue of the forward operation was left on: the bias is added to grad_output."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name not in NORMS or problem.bias is None:
            return right
        sets = problem.sets
        bias = np.broadcast_to(problem.bias.reshape(sets.affine), sets.shape).reshape(problem.x.shape)
        return self.of(problem, grad_output=(problem.grad_output + bias).astype(problem.dtype))


@broken(60, **norms("the_bias_collects_its_outputs exact_on_integers", WORKED))
class CountsBiasesTwice(Gradients):
    """grad_bias is added up atomically by two threads each."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name not in NORMS or right[2] is None:
            return right
        return (*right[:2], right[2] + right[2])
