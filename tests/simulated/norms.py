"""Normalizations that are less exact than they say: one pass, coarse roots, eps and m - 1 in wrong places."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from convspec.adapters import Unsupported

from .products import rounded

Tensor = npt.NDArray[Any]


class Centred:
    """Two passes over each set, in float32; the result rounded once. The layers differ in their sets alone."""

    dtypes: ClassVar[Any] = ("float32",)

    def mean(self, x: Tensor) -> Tensor:
        return x.mean(axis=1, keepdims=True)

    def variance(self, x: Tensor, mean: Tensor) -> Tensor:
        return np.square(x - mean).mean(axis=1, keepdims=True)

    def inverse(self, variance: Tensor, eps: Any, m: int) -> Tensor:
        return np.asarray(1 / np.sqrt(variance + eps))

    def output(self, x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return (x - mean) * inverse * weight + bias

    def stored(self, variance: Tensor, m: int) -> Tensor:
        return variance * variance.dtype.type(m / (m - 1))

    @staticmethod
    def spread(parameter: Tensor, sets: Any) -> Tensor:
        """One for each element, in rows of sets."""
        rows: Tensor = sets.rows(np.broadcast_to(parameter.reshape(sets.affine), sets.shape))
        return rows

    def _normalized(self, problem: Any) -> tuple[Tensor, Tensor, Tensor]:
        problem.validate()
        wide = np.float32 if problem.dtype.itemsize < 8 else np.float64
        sets = problem.sets
        x = sets.rows(problem.x).astype(wide)
        weight, bias = (
            np.full((1, 1), due, wide) if a is None else self.spread(a, sets).astype(wide)
            for a, due in ((problem.weight, 1.0), (problem.bias, 0.0))
        )
        if not x.size:
            return problem.x.copy(), x, x
        mean = self.mean(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = self.variance(x, mean)
            y = self.output(x, mean, self.inverse(variance, x.dtype.type(problem.eps), x.shape[1]), weight, bias)
        return sets.whole(y.astype(problem.dtype), problem.x.shape), mean, variance

    def layer_norm(self, problem: Any) -> Tensor:
        return self._normalized(problem)[0]

    def group_norm(self, problem: Any) -> Tensor:
        return self._normalized(problem)[0]

    def instance_norm2d(self, problem: Any) -> Tensor:
        return self._normalized(problem)[0]

    def batch_norm2d(self, problem: Any) -> Any:
        if not problem.training:
            raise Unsupported("training steps only")
        y, mean, variance = self._normalized(problem)
        a, m = np.float32(problem.momentum), problem.sets.count
        new = [
            None if before is None else ((1 - a) * before + a * batch.ravel()).astype(problem.dtype)
            for before, batch in ((problem.running_mean, mean), (problem.running_var, self.stored(variance, m)))
        ]
        return (y, *new)


class Centred16(Centred):
    dtypes = ("float16", "bfloat16")


class OnePass(Centred):
    """The mean of the squares less the square of the mean."""

    def variance(self, x: Tensor, mean: Tensor) -> Tensor:
        return np.maximum((x * x).mean(axis=1, keepdims=True) - mean * mean, 0)


class Welford(Centred):
    """Mean and sum of squares brought up to date with each element."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, squares = np.zeros_like(x[:, :1]), np.zeros_like(x[:, :1])
        for k in range(x.shape[1]):
            step = x[:, k : k + 1] - mean
            mean = mean + step / x.dtype.type(k + 1)
            squares = squares + step * (x[:, k : k + 1] - mean)
        return mean, squares / x.dtype.type(x.shape[1])

    def mean(self, x: Tensor) -> Tensor:
        return self.moments(x)[0]

    def variance(self, x: Tensor, mean: Tensor) -> Tensor:
        return self.moments(x)[1]


class Folded(Centred):
    def output(self, x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        a = inverse * weight
        return x * a + (bias - mean * a)


class OnePassFolded(OnePass, Folded):
    pass


class CoarseRoot(Centred):
    """A reciprocal root of 12 bits, as processors' fast instructions give it."""

    def inverse(self, variance: Tensor, eps: Any, m: int) -> Tensor:
        return rounded(super().inverse(variance, eps, m), 12)


class RefinedRoot(CoarseRoot):
    """The same with a step of Newton's."""

    def inverse(self, variance: Tensor, eps: Any, m: int) -> Tensor:
        v, y = variance + eps, super().inverse(variance, eps, m)
        return y * (np.float32(1.5) - np.float32(0.5) * v * y * y)


class F16Statistics(Centred):
    def mean(self, x: Tensor) -> Tensor:
        return super().mean(x).astype(np.float16).astype(x.dtype)

    def inverse(self, variance: Tensor, eps: Any, m: int) -> Tensor:
        with np.errstate(over="ignore"):
            return super().inverse(variance, eps, m).astype(np.float16).astype(variance.dtype)


class F16StatisticsOfF16(F16Statistics):
    dtypes = ("float16",)


class EpsOutside(Centred):
    def inverse(self, variance: Tensor, eps: Any, m: int) -> Tensor:
        return np.asarray(1 / (np.sqrt(variance) + eps))


class EpsMissing(Centred):
    def inverse(self, variance: Tensor, eps: Any, m: int) -> Tensor:
        return np.asarray(1 / np.sqrt(variance))


class EpsTwice(Centred):
    def inverse(self, variance: Tensor, eps: Any, m: int) -> Tensor:
        return super().inverse(variance, eps + eps, m)


class BesselInTheOutput(Centred):
    def inverse(self, variance: Tensor, eps: Any, m: int) -> Tensor:
        return super().inverse(variance * variance.dtype.type(m / max(m - 1, 1)), eps, m)


class BesselForgotten(Centred):
    """What is remembered is the variance over m."""

    def stored(self, variance: Tensor, m: int) -> Tensor:
        return variance


class DropsAnElement(Centred):
    """The last element of a set does not enter its statistics."""

    def mean(self, x: Tensor) -> Tensor:
        return super().mean(x[:, :-1])

    def variance(self, x: Tensor, mean: Tensor) -> Tensor:
        return super().variance(x[:, :-1], mean)
