"""How far the gradients of the normalizations may be off, however they are computed.

Notation as in sets.py and normalize.py, of a set: m elements, mean mu, variance v, r = (v + eps)^-1/2, dmu and dr. Then
g = grad_output, h = g * weight, H = mean(h), A = mean|h| and T = mean(h * (x - mu)). A weight has p users: the elements
that it multiplies. g(k) = k*u/(1 - k*u).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .dot import BETTER_THAN_DOUBLE, as_float, judge_dot
from .formats import FORMATS
from .normalize import affine, distance, inverse_deviation
from .rounding import Arithmetic, Bound, own_rounding
from .sets import Array, errors, found_in, lost

Problem = Any  # a NormalizationBackward


class Seen:
    """What the bounds are made of: the arrays in the view of the sets, and how far mean and deviation may be off."""

    def __init__(self, problem: Problem, arithmetic: Arithmetic) -> None:
        sets = problem.sets
        self.given, self.found, self.due = problem.held is not None, found_in(problem), problem.references()
        self.x, self.g = (as_float(a).reshape(sets.shape) for a in (problem.x, problem.grad_output))
        self.weight = affine(problem)[0]
        self.centred, self.apart = self.x - self.found.mean, distance(self.x, self.found, sets.count)
        none = np.zeros(self.found.mean.shape)
        off = (none, none) if self.given else errors(self.found, sets.count, arithmetic)
        mu, v = np.abs(self.found.mean), self.found.variance
        self.r, self.dr, self.dmu = inverse_deviation(mu, v, problem.eps, off, sets.count, arithmetic)
        self.mu = mu + self.dmu  # as large as a computed mean may be
        self.own = own_rounding(sets.count)
        self.clipped = (v <= off[1] + self.own * (v + off[1])) & (not self.given)
        # The reference: sums of m terms, three factors r each of which may carry half the error of one, and the rest.
        unit = BETTER_THAN_DOUBLE if problem.dtype == np.float64 else FORMATS["float64"].unit
        self.rough = (4 * sets.count + problem.users.count + 40) * unit
        # Where m * (v + mu^2) comes near the end of the range nothing is demanded, as in the forward operation.
        self.beyond = ~(sets.count * (v + mu**2) < arithmetic.acc.largest / 2) & (not self.given)


def growth(k: int, arithmetic: Arithmetic) -> float:
    """g(k): how much k roundings may change what they are applied to."""
    ku = k * arithmetic.unit
    return ku / (1 - ku) if ku < 1 else np.inf


def judge_x(problem: Problem, s: Seen, arithmetic: Arithmetic) -> Bound:
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
    factors r, mu, three additions), if it is computed as a*g + b*x + c with a = r*weight, b = -T*r^3 and
    c = -b*mu - H*r apart, as PyTorch does; the centred forms, where r*(h - H - ...) is computed last, have fewer, and
    smaller terms:

        E2 = g(7) * (R*|h| + R*(|H| + dH) + R^3*t*(|x| + M)).

    Automatic differentiation subtracts the mean of r*h + b*(x - mu), where that of x - mu is not quite zero:
    E3 = g(m+8)*R^3*t*(mean|x - mu| + dmu). Where v <= dv, a variance may be clipped at zero and then pass no gradient:
    E4 = r^3*c*|T|.

    With given mean and variance grad_x = h*r: E = |h|*(dr + g(3)*R). A wider accumulator is rounded once at the end.
    Where statistics are declared to be kept in a narrower format, whose unit is d, the operations on single elements of
    the centred forms may be in it, the sums not: with g_d(k) = k*d/(1 - k*d), dT is g_d(3)*mean(|h|*(c + dmu)) larger
    and E g_d(6)*(R*|h| + R*(|H| + dH) + R^3*t*(c + dmu)). What underflows is multiplied by no more than three r, two x,
    g and the weight; where something may leave the range, nothing is demanded. Where h is zero in the whole set, or,
    with a given mean, itself, grad_x is zero. All this is computed in float64: E is enlarged by own_rounding(m), and
    the means of h and of h*(x - mu), which may cancel, by as much of A and of Q. Derived here.

    Far from zero the bound is about |mu|/deviation times what the centred forms need: a*g + b*x + c passes too.
    """
    sets, out, acc = problem.sets, arithmetic.out, arithmetic.acc
    kept = _kept(arithmetic)
    m, r, dr, dmu, mu = sets.count, s.r, s.dr, s.dmu, s.mu

    def average(a: Array) -> Array:
        return np.asarray(a.mean(axis=sets.axes, keepdims=True))

    def narrow(k: int) -> float:
        return growth(k, kept) if arithmetic.statistics else 0.0

    y = s.due["grad_x"].reshape(sets.shape)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        h = s.g * s.weight
        size, x, c, most = np.abs(h), np.abs(s.x), s.apart, r + dr
        if s.given:
            error = size * (dr + (growth(3, arithmetic) + narrow(3)) * most)
            terms = rough = size * r
            zero = size == 0
        else:
            mean_size = average(size)
            q = average(size * x) + mu * mean_size
            of_h, of_t = s.own * mean_size, s.own * q  # what the means lose in float64, which they may cancel to
            mean_h, mean_t = np.abs(average(h)) + of_h, np.abs(average(h * s.centred)) + of_t
            dh = growth(m + 4, arithmetic) * mean_size
            dt = growth(m + 8, arithmetic) * q + dmu * mean_h + narrow(3) * average(size * (c + dmu))
            t, rest = mean_t + dt, np.abs(h - average(h)) + of_h
            error = dr * rest + most * dh + most**3 * t * dmu + 3 * dr * most**2 * c * t + r**3 * c * dt
            inner = most * size + most * (mean_h + dh)
            error = error + growth(7, arithmetic) * (inner + most**3 * t * (x + mu))
            error = error + narrow(6) * (inner + most**3 * t * (c + dmu))
            error = error + growth(m + 8, arithmetic) * most**3 * t * (average(c) + dmu)
            error = error + s.clipped * r**3 * c * mean_t
            terms = r * (size + mean_size) + r**3 * c * average(size * c)
            rough = r * (size + mean_size) + r**3 * q * (x + s.found.modulus)
            zero = (mean_size == 0) & np.ones(x.shape, bool)
        error = error * (1 + s.own)
        if arithmetic.widens:
            error = error + out.unit * (np.abs(y) + error)
        largest, g, off = 1 + np.abs(s.weight).max(), np.abs(s.g), c + dmu
        below = 16 * (1 + most) ** 3 * (1 + x + mu + s.found.largest) ** 2 * (1 + g + average(g)) * largest
        error = error + lost(arithmetic) * below + out.spacing / 2 + s.rough * rough
        error = np.where(s.beyond, np.inf, error)  # of an infinite variance zeros are left, or NaN
        reach = np.maximum(most, 1) ** 3 * largest * np.maximum(x + mu, 1)
        reach = reach * (1 + m * (average(g * x) + (1 + mu) * average(g)) + g)
        overflows = s.beyond | ~(reach < acc.largest)
        if arithmetic.statistics:
            overflows = overflows | ~(most < kept.acc.largest)
            error = error + 4 * lost(kept) * largest * (1 + most) * (1 + off * (1 + most**2))
            reach = off * (1 + g) + largest * (1 + most) * (g + average(g) + most**2 * off * average(g * off))
            overflows = overflows | ~(reach.max(axis=sets.axes, keepdims=True) < kept.acc.largest)
    return _bound(error, zero, overflows, np.abs(y) + terms, problem.x.shape)


def judge_weight(problem: Problem, s: Seen, arithmetic: Arithmetic) -> Bound:
    """How far grad_weight = sum of g*(x - mu)*r over the p users of a weight may be off.

    With R = r + dr, c = |x - mu| and M = |mu| + dmu, mean and r move it by the sum of |g|*(R*dmu + c*dr). As the sum of
    g*(a*x + b) with a = r and b = -mu*r, or of (sum g*x - mu * sum g)*r set by set, as PyTorch does, no product passes
    more than p - 1 additions and five roundings: g(p+4) times the sum of |g|*R*(|x| + M). A wider accumulator is
    rounded once at the end; where statistics are declared to be kept in a narrower format, these sums are kept in it
    too. Where all g are zero, so is grad_weight. Derived here; the float64 figures as in judge_x.
    """
    kept, out, y = _kept(arithmetic), arithmetic.out, s.due["grad_weight"]

    def total(a: Array) -> Array:
        return np.asarray(np.broadcast_to(a, s.x.shape).sum(axis=problem.users.axes).reshape(y.shape))

    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        g, x, c, most = np.abs(s.g), np.abs(s.x) + s.mu, s.apart, s.r + s.dr
        size = total(g * most * x)
        error = total(g * (most * s.dmu + c * s.dr)) + growth(problem.users.count + 4, kept) * size
        error = error * (1 + s.own + own_rounding(problem.users.count))
        if kept.widens:
            error = error + out.unit * (np.abs(y) + error)
        error = error + 4 * lost(arithmetic) * total((1 + most) * (1 + x) * (1 + g)) + lost(kept) * total(1 + most)
        error = error + out.spacing / 2 + s.rough * total(g * s.r * (np.abs(s.x) + s.found.modulus))
        error = np.where(total(s.beyond) > 0, np.inf, error)
        beyond = s.beyond | ~(
            np.maximum(most, 1) * np.maximum(x, 1) * np.maximum(g, 1) < arithmetic.acc.largest / s.x.size
        )
        if arithmetic.statistics:
            beyond = beyond | ~(np.maximum((1 + g) * (c + s.dmu), most) < kept.acc.largest)
        overflows = (total(beyond) > 0) | ~(size < kept.acc.largest)
    return _bound(error, total(g) == 0, overflows, np.abs(y) + total(g * c * s.r), y.shape)


def judge_bias(problem: Problem, s: Seen, arithmetic: Arithmetic) -> Bound:
    """grad_bias is a sum of numbers that are given, in the accumulator or where the statistics are kept: one alone is
    a copy, and exact where that format holds the numbers of the storage (rounding.dot_bound)."""
    assert problem.bias is not None
    rows, shape = problem.users.rows(s.g), problem.bias.shape

    def summed(g: Array, ones: Array) -> Array:
        return np.asarray(g @ ones).reshape(shape)

    return judge_dot(summed, rows, np.ones(rows.shape[1]), None, _kept(arithmetic), problem.dtype, summed=True)


def _kept(arithmetic: Arithmetic) -> Arithmetic:
    """That of sums for each parameter: in the accumulator, or in the format of the statistics, if that is narrower."""
    return replace(arithmetic, accumulator=arithmetic.statistics or arithmetic.accumulator)


def _bound(error: Array, zero: Any, overflows: Any, size: Array, shape: tuple[int, ...]) -> Bound:
    """The bound with what must be zero; an error that is no number, as where a variance may be lost, says nothing."""
    forced = zero & ~overflows
    error = np.where(forced, 0.0, np.where(np.isnan(error), np.inf, error))
    return Bound(error.reshape(shape), forced.reshape(shape), overflows.reshape(shape), size.reshape(shape))


JUDGES: dict[str, Callable[[Problem, Seen, Arithmetic], Bound]] = {
    "grad_x": judge_x,
    "grad_weight": judge_weight,
    "grad_bias": judge_bias,
}
