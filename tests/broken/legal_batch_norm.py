"""Batch normalization computed in other ways that are right."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import BatchNorm2d
from convspec.reference.running import NAMES
from convspec.reference.shards import slices

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
        olds = tuple(None if a is None else np.array(a) for a in (problem.running_mean, problem.running_var))
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
    """mean(x^2) - mean(x)^2, never below the smallest normal number: without eps the answer must be finite."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean(axis=1)
        return mean, np.maximum((x * x).mean(axis=1) - mean * mean, np.finfo(x.dtype).tiny)


class FoldsRunningMoments(Steps):
    """One element after the other, as Welford's method goes."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, squares = x[:, 0].copy(), np.zeros(len(x), x.dtype)
        for k in range(1, x.shape[1]):
            off = x[:, k] - mean
            mean = mean + off / x.dtype.type(k + 1)
            squares = squares + off * (x[:, k] - mean)
        return mean, squares / x.dtype.type(x.shape[1])


class MergesDevicesOneByOne(Steps):
    """Each device's mean and squares are merged into those of the devices before it (Chan, Golub and LeVeque).

    What a call works on is kept in the object, and that is declared.
    """

    conventions = {"threads": "one"}  # noqa: RUF012

    def sync_batch_norm2d(self, problem: Any) -> Outputs:
        problem.validate()
        self.parts = [part for part in slices(problem) if part.stop > part.start]
        self.pixels = problem.x.shape[2] * problem.x.shape[3]
        fields = {name: getattr(problem, name) for name in ("x", "weight", "bias", *NAMES, "momentum", "eps")}
        return self.batch_norm2d(BatchNorm2d(**fields))

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scalar, count = x.dtype.type, 0
        mean, squares = np.zeros(len(x), x.dtype), np.zeros(len(x), x.dtype)
        for part in self.parts:
            own = x[:, part.start * self.pixels : part.stop * self.pixels]
            m, off = own.shape[1], own.mean(axis=1) - mean
            squares = squares + np.square(own - own.mean(axis=1)[:, None]).sum(axis=1)
            squares = squares + off * off * scalar(count) * scalar(m) / scalar(count + m)
            mean = mean + off * (scalar(m) / scalar(count + m))
            count += m
        return mean, squares / scalar(count)


class SendsInverseDeviations(MergesDevicesOneByOne):
    """The devices send 1 / sqrt(v + eps), from which the variance is taken back, as PyTorch's kernels do."""

    def sync_batch_norm2d(self, problem: Any) -> Outputs:
        self.eps = problem.dtype.type(problem.eps)
        return super().sync_batch_norm2d(problem)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scalar = x.dtype.type
        parts = [x[:, part.start * self.pixels : part.stop * self.pixels] for part in self.parts]
        shares = [scalar(part.shape[1]) / scalar(x.shape[1]) for part in parts]
        means = [part.mean(axis=1) for part in parts]
        inverses = [scalar(1) / np.sqrt(part.var(axis=1) + self.eps) for part in parts]
        mean = np.asarray(sum(w * m for w, m in zip(shares, means, strict=True)))
        terms = [
            w * (scalar(1) / (r * r) - self.eps + (m - mean) ** 2)
            for w, m, r in zip(shares, means, inverses, strict=True)
        ]
        return mean, np.maximum(np.asarray(sum(terms)), scalar(0))


class StoresBiasedAndSaysSo(Right):
    """The variance is stored biased, as it is declared."""

    conventions = {"stored_variance": "biased"}  # noqa: RUF012

    def batch_norm2d(self, problem: Any) -> Any:
        return self.answer(problem.declared(self.conventions))

    def sync_batch_norm2d(self, problem: Any) -> Any:
        return self.answer(problem.declared(self.conventions))


LEGAL_BATCH_NORM: tuple[tuple[type, tuple[str, ...]], ...] = (
    (FoldsMomentsOfOnePass, ("batch_norm2d",)),
    (FoldsRunningMoments, ("batch_norm2d",)),
    (MergesDevicesOneByOne, ("sync_batch_norm2d",)),
    (SendsInverseDeviations, ("sync_batch_norm2d",)),
    (StoresBiasedAndSaysSo, ("batch_norm2d", "sync_batch_norm2d")),
)
