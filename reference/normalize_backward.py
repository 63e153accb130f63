"""What the gradients of the normalizations share: the formula, its value in many digits, how far it may be off.

Notation as in sets.py and normalize.py, of a set: m elements, mean mu, variance v, r = (v + eps)^-1/2, dmu and dr. Then
g = grad_output, h = g * weight, H = mean(h), A = mean|h| and T = mean(h * (x - mu)). A weight has p users: the elements
that it multiplies. g(k) = k*u/(1 - k*u).
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from . import backward
from .backward import Backward, HiLo
from .dot import BETTER_THAN_DOUBLE, as_float, judge_dot
from .normalize import FORTY_DIGITS, affine, decimals, inverse_deviation, moments, pair
from .rounding import FORMATS, Arithmetic, Bound
from .sets import Array, Sets, errors, found_in, held, lost

Numbers = npt.NDArray[Any]  # of float64, or of decimals


class NormalizationBackward(Backward):
    """The gradients of a normalization with respect to x, weight and bias.

    A subclass has the fields of the forward operation and `grad_output`, and writes `forward`.
    """

    x: Any
    grad_output: Any
    bias: Any
    eps: float
    outputs: ClassVar[tuple[str, ...]] = backward.PARAMETERS
    fresh: ClassVar[bool] = False

    @property
    def sets(self) -> Sets:
        """What is normalized together."""
        found: Sets = self.forward.sets
        return found

    @property
    def held(self) -> tuple[Array, Array] | None:
        """Mean and variance where they are given, as in the forward operation."""
        return held(self.forward)

    @property
    def users(self) -> Sets:
        """x as the sets see it, the elements together that share a weight and a bias."""
        sets = self.sets
        return Sets(sets.shape, tuple(a for a, size in enumerate(sets.affine) if size == 1), sets.affine)

    def references(self) -> dict[str, Array]:
        if not self.x.size:
            return self._nothing()
        found = found_in(self)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            r = 1 / np.sqrt(found.variance + self.eps)
            return self._gradients(as_float, found.mean, r)

    def truths(self) -> dict[str, HiLo]:
        """Of float64 arrays in 40 digits."""
        if self.dtype != np.float64 or not self.x.size:
            return super().truths()
        mean, variance = moments(self)
        with decimal.localcontext(FORTY_DIGITS):
            root = np.frompyfunc(lambda v: v.sqrt(), 1, 1)
            r = 1 / root(variance + decimal.Decimal(self.eps))
            return {name: pair(found) for name, found in self._gradients(decimals, mean, r).items()}

    def _nothing(self) -> dict[str, Array]:
        return {name: np.zeros(shape) for name, shape in self.output_shapes().items()}

    def _gradients(self, numbers: Callable[[Numbers], Numbers], mean: Numbers, r: Numbers) -> dict[str, Numbers]:
        """The formulas, in whatever numbers; mean and r of each set, with its axes kept."""
        sets, shapes = self.sets, self.output_shapes()
        x, g = (numbers(a).reshape(sets.shape) for a in (self.x, self.grad_output))
        h, centred = g * numbers(affine(self)[0]), x - mean

        def average(a: Numbers) -> Numbers:
            return np.asarray(a.sum(axis=sets.axes, keepdims=True) / sets.count)

        x_hat = centred * r
        inner = h if self.held is not None else h - average(h) - x_hat * average(h * x_hat)
        found = {
            "grad_x": inner * r,
            "grad_weight": (g * x_hat).sum(axis=self.users.axes),
            "grad_bias": g.sum(axis=self.users.axes),
        }
        return {name: np.asarray(found[name]).reshape(shape) for name, shape in shapes.items()}

    def judgements(self, arithmetic: Arithmetic) -> dict[str, Bound]:
        shapes = self.output_shapes()
        if not self.x.size:
            return {name: Bound.exact(shape) for name, shape in shapes.items()}
        seen = _Seen(self, arithmetic)
        judge = {"grad_x": judge_x, "grad_weight": judge_weight, "grad_bias": judge_bias}
        return {name: judge[name](self, seen, arithmetic) for name in shapes}

    @staticmethod
    def terms(forward: Any) -> int:
        users = (size for size, own in zip(forward.sets.shape, forward.sets.affine, strict=True) if own == 1)
        return max(forward.sets.count, prod(users))


class _Seen:
    """What the bounds are made of: the arrays in the view of the sets, and how far mean and deviation may be off."""

    def __init__(self, problem: NormalizationBackward, arithmetic: Arithmetic) -> None:
        sets = problem.sets
        self.given, self.found, self.due = problem.held is not None, found_in(problem), problem.references()
        self.x, self.g = (as_float(a).reshape(sets.shape) for a in (problem.x, problem.grad_output))
        self.weight = affine(problem)[0]
        self.centred = self.x - self.found.mean
        none = np.zeros(self.found.mean.shape)
        off = (none, none) if self.given else errors(self.found, sets.count, arithmetic)
        mu, v = np.abs(self.found.mean), self.found.variance
        self.r, self.dr, self.dmu = inverse_deviation(mu, v, problem.eps, off, arithmetic)
        self.mu = mu + self.dmu  # as large as a computed mean may be
        self.clipped = (v <= off[1]) & (not self.given)
        # The reference: sums of m terms, three factors r of which each may carry half the error of such a sum, the rest.
        unit = BETTER_THAN_DOUBLE if problem.dtype == np.float64 else FORMATS["float64"].unit
        self.rough = (4 * sets.count + problem.users.count + 40) * unit
        # Where m * (v + mu^2) comes near the end of the range nothing is demanded, as in the forward operation.
        self.beyond = ~(sets.count * (v + mu**2) < arithmetic.acc.largest / 2) & (not self.given)


def growth(k: int, arithmetic: Arithmetic) -> float:
    """g(k): how much k roundings may change what they are applied to."""
    ku = k * arithmetic.unit
    return ku / (1 - ku) if ku < 1 else np.inf


def judge_x(problem: NormalizationBackward, s: _Seen, arithmetic: Arithmetic) -> Bound:
    """How far grad_x = r*(h - H - (x - mu)*r^2*T) may be off, in whatever order and form it is computed.

    Mean and r come with the errors that they have in the forward operation, wherever they are used: let R = r + dr,
    c = |x - mu| and M = |mu| + dmu. A sum of h that is divided has an error dH, one of h*(x - mu) an error dT:

        dH = g(m+4) * A                     weight, r, an addition, m-1 of the sum, two of the division
        dT = g(m+8) * Q + dmu * |H|,        Q = mean(|h|*|x|) + M*A

    for T is computed about a mean that is off, which moves it by dmu*|H|, from products h*(x - mu) or as the difference
    of sum h*x and mu * sum h, as PyTorch does: then terms as large as Q cancel. With t = |T| + dT the formula itself is
    off by

        E1 = dr*|h - H| + R*dH + R^3*t*dmu + 3*dr*R^2*c*t + r^3*c*dT,

    as r^3 moves by at most 3*dr*R^2. On the way to the result a product passes no more than seven roundings more (three
    factors r, mu, three additions), if it is computed as a*g + b*x + c with a = r*weight, b = -T*r^3 and c = -b*mu - H*r
    apart, as PyTorch does; the centred forms, where r*(h - H - ...) is computed last, have fewer, and smaller terms:

        E2 = g(7) * (R*|h| + R*(|H| + dH) + R^3*t*(|x| + M)).

    Automatic differentiation subtracts the mean of r*h + b*(x - mu), where that of x - mu is not quite zero:
    E3 = g(m+8)*R^3*t*(mean|x - mu| + dmu). Where v <= dv, a variance may be clipped at zero and then pass no gradient:
    E4 = r^3*c*|T|.

    With given mean and variance grad_x = h*r: E = |h|*(dr + g(3)*R). A wider accumulator is rounded once at the end.
    What underflows is multiplied by no more than three r, two x, g and the weight. Where h is zero in the whole set, or,
    with a given mean, itself, grad_x is zero.

    The a*g + b*x + c form costs what it costs: far from zero the bound is |mu|/deviation times what the centred form
    needs.
    """
    sets, out, acc = problem.sets, arithmetic.out, arithmetic.acc
    m, r, dr, dmu, mu = sets.count, s.r, s.dr, s.dmu, s.mu

    def average(a: Array) -> Array:
        return np.asarray(a.mean(axis=sets.axes, keepdims=True))

    y = s.due["grad_x"].reshape(sets.shape)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        h = s.g * s.weight
        size, x, c, most = np.abs(h), np.abs(s.x), np.abs(s.centred), r + dr
        if s.given:
            error = size * (dr + growth(3, arithmetic) * most)
            terms = rough = size * r
            zero = size == 0
        else:
            mean_h, mean_size, mean_hc = average(h), average(size), average(h * s.centred)
            q = average(size * x) + mu * mean_size
            dh = growth(m + 4, arithmetic) * mean_size
            dt = growth(m + 8, arithmetic) * q + dmu * np.abs(mean_h)
            t = np.abs(mean_hc) + dt
            error = dr * np.abs(h - mean_h) + most * dh + most**3 * t * dmu + 3 * dr * most**2 * c * t + r**3 * c * dt
            inner = most * size + most * (np.abs(mean_h) + dh) + most**3 * t * (x + mu)
            error = error + growth(7, arithmetic) * inner
            error = error + growth(m + 8, arithmetic) * most**3 * t * (average(c) + dmu)
            error = error + s.clipped * r**3 * c * np.abs(mean_hc)
            terms = r * (size + mean_size) + r**3 * c * average(size * c)
            rough = r * (size + mean_size) + r**3 * q * (x + s.found.modulus)
            zero = (mean_size == 0) & np.ones(x.shape, bool)
        if arithmetic.widens:
            error = error + out.unit * (np.abs(y) + error)
        largest = 1 + np.abs(s.weight).max()
        below = 16 * (1 + most) ** 3 * (1 + x + mu + s.found.largest) ** 2
        below = below * (1 + np.abs(s.g) + average(np.abs(s.g))) * largest
        error = error + lost(arithmetic) * below + out.spacing / 2 + s.rough * rough
        reach = np.maximum(most, 1) ** 3 * largest * np.maximum(x + mu, 1)
        reach = reach * (1 + m * (average(np.abs(s.g) * x) + (1 + mu) * average(np.abs(s.g))) + np.abs(s.g))
        overflows = s.beyond | ~(reach < acc.largest)
    return _bound(error, zero, overflows, np.abs(y) + terms, problem.x.shape)


def judge_weight(problem: NormalizationBackward, s: _Seen, arithmetic: Arithmetic) -> Bound:
    """How far grad_weight = sum of g*(x - mu)*r over the p users of a weight may be off.

    With R = r + dr, c = |x - mu| and M = |mu| + dmu, mean and deviation move it by the sum of |g|*(R*dmu + c*dr). As the
    sum of g*(a*x + b) with a = r and b = -mu*r, or of (sum g*x - mu * sum g)*r set by set, as PyTorch does, no product
    passes more than p - 1 additions and five roundings: g(p+4) times the sum of |g|*R*(|x| + M). A wider accumulator is
    rounded once at the end; where statistics are declared to be kept in a narrower format, these sums are kept in it
    too. Where all g are zero, so is grad_weight.
    """
    axes, out, kept = problem.users.axes, arithmetic.out, _kept(arithmetic)
    y = s.due["grad_weight"]
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        g, x, c, most = np.abs(s.g), np.abs(s.x), np.abs(s.centred), s.r + s.dr
        error = (g * (most * s.dmu + c * s.dr)).sum(axis=axes)
        size = (g * most * (x + s.mu)).sum(axis=axes).reshape(y.shape)
        error = error.reshape(y.shape) + growth(problem.users.count + 4, kept) * size
        if kept.widens:
            error = error + out.unit * (np.abs(y) + error)
        below = ((1 + most) * (1 + x + s.mu) * (1 + g)).sum(axis=axes).reshape(y.shape)
        rough = (g * s.r * (x + s.found.modulus)).sum(axis=axes).reshape(y.shape)
        error = error + 4 * lost(arithmetic) * below + out.spacing / 2 + s.rough * rough
        error = error + problem.users.count * lost(kept)
        terms = (g * c * s.r).sum(axis=axes).reshape(y.shape)
        reach = (np.maximum(most, 1) * np.maximum(x + s.mu, 1) * np.maximum(g, 1)).sum(axis=axes).reshape(y.shape)
        beyond = np.broadcast_to(s.beyond, x.shape).any(axis=axes).reshape(y.shape)
        overflows = beyond | ~(reach < arithmetic.acc.largest) | ~(size < kept.acc.largest)
        zero = (g.sum(axis=axes) == 0).reshape(y.shape)
    return _bound(error, zero, overflows, np.abs(y) + terms, y.shape)


def judge_bias(problem: NormalizationBackward, s: _Seen, arithmetic: Arithmetic) -> Bound:
    """grad_bias is a sum of numbers that are given, in the accumulator or where the statistics are kept."""
    assert problem.bias is not None
    rows, shape = problem.users.rows(s.g), problem.bias.shape

    def summed(g: Array, ones: Array) -> Array:
        return np.asarray(g @ ones).reshape(shape)

    return judge_dot(summed, rows, np.ones(rows.shape[1]), None, _kept(arithmetic), problem.dtype)


def _kept(arithmetic: Arithmetic) -> Arithmetic:
    """That of sums for each parameter: in the accumulator, or in the format of the statistics, if that is narrower."""
    return replace(arithmetic, accumulator=arithmetic.statistics or arithmetic.accumulator)


def _bound(error: Array, zero: Any, overflows: _Seen, size: Array, shape: tuple[int, ...]) -> Bound:
    """The bound with what must be zero; an error that is no number, as where a variance may be lost, says nothing."""
    forced = zero & ~overflows
    error = np.where(forced, 0.0, np.where(np.isnan(error), np.inf, error))
    return Bound(error.reshape(shape), forced.reshape(shape), overflows.reshape(shape), size.reshape(shape))
