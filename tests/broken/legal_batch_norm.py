"""Batch normalization computed in other ways that are right."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Right, Tensor

Outputs = tuple[Tensor | None, ...]


class Steps:
    """Batch normalization in the dtype, with moments and an update of its own."""

    dtypes = ("float32", "float64")

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of rows (C, m)."""
        raise NotImplementedError

    def batch_norm2d(self, problem: Any) -> Outputs:
        problem.validate()
        x, scalar = problem.x, problem.dtype.type
        olds = problem.running_mean, problem.running_var
        if not problem.training or not x.size:
            if not x.size:
                return (x.copy(), *olds)
            return (self.line(problem, *olds), *olds)
        m = x.size // x.shape[1]
        mean, variance = self.moments(x.transpose(1, 0, 2, 3).reshape(x.shape[1], m))
        stored = mean, variance * scalar(m) / scalar(m - 1)
        a = scalar(problem.momentum)
        news = [None if old is None else old + a * (new - old) for old, new in zip(olds, stored, strict=True)]
        return (self.line(problem, mean, variance), *news)

    def line(self, problem: Any, mean: Any, variance: Any) -> Tensor:
        """x*a + (bias - mean*a), with a reciprocal of the root."""
        slope = problem.dtype.type(1) / np.sqrt(variance + problem.dtype.type(problem.eps))
        if problem.weight is not None:
            slope = slope * problem.weight
        shift = -mean * slope if problem.bias is None else problem.bias - mean * slope
        y: Tensor = problem.x * slope[:, None, None] + shift[:, None, None]
        return y


class FoldsMomentsOfOnePass(Steps):
    """mean(x^2) - mean(x)^2, never below zero."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean(axis=1)
        return mean, np.maximum((x * x).mean(axis=1) - mean * mean, x.dtype.type(0))


class FoldsRunningMoments(Steps):
    """One element after the other, as Welford's method goes."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, squares = x[:, 0].copy(), np.zeros(len(x), x.dtype)
        for k in range(1, x.shape[1]):
            off = x[:, k] - mean
            mean = mean + off / x.dtype.type(k + 1)
            squares = squares + off * (x[:, k] - mean)
        return mean, squares / x.dtype.type(x.shape[1])


class StoresBiasedAndSaysSo(Right):
    """The variance is stored biased, as it is declared."""

    conventions = {"stored_variance": "biased"}  # noqa: RUF012

    def batch_norm2d(self, problem: Any) -> Any:
        return self.answer(problem.declared(self.conventions))


LEGAL_BATCH_NORM: tuple[tuple[type, tuple[str, ...]], ...] = (
    (FoldsMomentsOfOnePass, ("batch_norm2d",)),
    (FoldsRunningMoments, ("batch_norm2d",)),
    (StoresBiasedAndSaysSo, ("batch_norm2d",)),
)
