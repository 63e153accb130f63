"""The gradients of normalizations computed in other ways that are right."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backward_norm import NORMS
from .base import Right, Tensor


class Steps(Right):
    """The gradients in the dtype, row by row; everything else is right."""

    def answer(self, problem: Any) -> Any:
        if problem.name not in NORMS:
            return super().answer(problem)
        problem.validate()
        if not problem.x.size:
            return super().answer(problem)
        sets, users, shape = problem.sets, problem.users, problem.x.shape
        weight = np.ones(sets.affine, problem.dtype) if problem.weight is None else problem.weight.reshape(sets.affine)
        whole = np.broadcast_to(weight, sets.shape).reshape(shape)
        x, g, w = (sets.rows(a) for a in (problem.x, problem.grad_output, whole))
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            mean, variance = self.moments(x)
            if problem.held is not None:
                mean, variance = (a.reshape(-1, 1).astype(problem.dtype) for a in problem.held)
            r = problem.dtype.type(1) / np.sqrt(variance + problem.dtype.type(problem.eps))
            grad_x = self.gradient(x, g, w, mean, r) if problem.held is None else g * (w * r)
            shares = users.rows(sets.whole(g * self.hat(x, mean, r), shape))
        grads = sets.whole(grad_x, shape), self.added(shares), self.added(users.rows(problem.grad_output))
        given = (problem.x, problem.weight, problem.bias)
        return tuple(None if a is None else one.reshape(a.shape) for one, a in zip(grads, given, strict=True))

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of rows."""
        mean = x.mean(axis=1, keepdims=True)
        return mean, np.square(x - mean).mean(axis=1, keepdims=True)

    def gradient(self, x: Tensor, g: Tensor, w: Tensor, mean: Tensor, r: Tensor) -> Tensor:
        raise NotImplementedError

    def hat(self, x: Tensor, mean: Tensor, r: Tensor) -> Tensor:
        return (x - mean) * r

    def added(self, rows: Tensor) -> Tensor:
        """The sums of rows."""
        return rows.sum(axis=1)


class AddsThreeTerms(Steps):
    """a*g + b*x + c, the coefficients of each set from the sums of h and of h*x, as PyTorch has them."""

    def gradient(self, x: Tensor, g: Tensor, w: Tensor, mean: Tensor, r: Tensor) -> Tensor:
        h, m = g * w, x.dtype.type(x.shape[1])
        ds, db = (h * x).sum(axis=1, keepdims=True), h.sum(axis=1, keepdims=True)
        b = (db * mean - ds) * r * r * r / m
        c = -b * mean - db * r / m
        return np.asarray((r * w) * g + b * x + c)

    def hat(self, x: Tensor, mean: Tensor, r: Tensor) -> Tensor:
        return r * x + -r * mean


class AddsThreeTermsOfOnePass(AddsThreeTerms):
    """The same, with the variance mean(x^2) - mean(x)^2, never below zero, and sums from the last element on."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        m = x.dtype.type(x.shape[1])
        mean = x[:, ::-1].cumsum(axis=1, dtype=x.dtype)[:, -1:] / m
        squares = (x * x)[:, ::-1].cumsum(axis=1, dtype=x.dtype)[:, -1:] / m
        return mean, np.maximum(squares - mean * mean, x.dtype.type(0))

    def added(self, rows: Tensor) -> Tensor:
        return np.asarray(rows[:, ::-1].cumsum(axis=1, dtype=rows.dtype)[:, -1])


class DividesByTheCountLast(Steps):
    """(m*h - sum h - x_hat * sum h*x_hat) * (r/m)."""

    def gradient(self, x: Tensor, g: Tensor, w: Tensor, mean: Tensor, r: Tensor) -> Tensor:
        h, m, hat = g * w, x.dtype.type(x.shape[1]), (x - mean) * r
        along = (h * hat).sum(axis=1, keepdims=True)
        return np.asarray((m * h - h.sum(axis=1, keepdims=True) - hat * along) * (r / m))


class DifferentiatesStepByStep(Steps):
    """The chain rule applied to x - mean, its squares, their mean and its root, as automatic differentiation does."""

    def gradient(self, x: Tensor, g: Tensor, w: Tensor, mean: Tensor, r: Tensor) -> Tensor:
        m, centred = x.dtype.type(x.shape[1]), x - mean
        h = g * w
        of_r = (h * centred).sum(axis=1, keepdims=True)
        of_variance = of_r * (r * r * r) * x.dtype.type(-0.5)
        of_centred = h * r + of_variance / m * 2 * centred
        return np.asarray(of_centred - of_centred.sum(axis=1, keepdims=True) / m)


LEGAL_BACKWARD_NORM: tuple[tuple[type, tuple[str, ...]], ...] = tuple(
    (backend, NORMS)
    for backend in (AddsThreeTerms, AddsThreeTermsOfOnePass, DividesByTheCountLast, DifferentiatesStepByStep)
)
