"""Backends that are unusual and right: no clause may fail on any of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.adapters import Unsupported
from convspec.reference.pool import filled
from convspec.reference.window import windows

from .base import Right, Tensor, rounded, significant, wide
from .dropout import Drops
from .legal_backward import LEGAL_BACKWARD
from .legal_backward_norm import LEGAL_BACKWARD_NORM
from .legal_batch_norm import LEGAL_BATCH_NORM
from .legal_flushed import LEGAL_FLUSHED
from .legal_results import LEGAL_RESULTS
from .legal_sums import LEGAL_SUMS, AddsInAnyOrder, AddsInPairs, products


class MultipliesByTheReciprocal:
    """The mean as the sum times a rounded 1/D."""

    dtypes = ("float32", "float64")

    def avg_pool2d(self, problem: Any) -> Any:
        made, _ = products(problem)
        return (made[::-1].cumsum(axis=0)[-1] * (1 / problem.divisor).astype(problem.dtype)).astype(problem.dtype)


class DividesBeforeItAdds:
    """The mean as the sum of the elements times a rounded 1/D."""

    dtypes = ("float32", "float64")

    def avg_pool2d(self, problem: Any) -> Any:
        made, _ = products(problem)
        return np.asarray((made * (1 / problem.divisor).astype(problem.dtype)).sum(axis=0), problem.dtype)


class Sorts:
    """The maximum as the last of the sorted window, where NaN comes last."""

    dtypes = ("float32", "float64")

    def max_pool2d(self, problem: Any) -> Any:
        problem.validate()
        seen = windows(filled(problem, -np.inf), *problem.axes)
        return rounded(np.sort(seen.reshape(*seen.shape[:4], seen.shape[4] * seen.shape[5]))[..., -1], problem)


class AddsBackwardsWithWeights:
    """Two passes from the first element to the last, and with a weight or a bias, in another kernel, the other way."""

    dtypes = ("float32",)

    def layer_norm(self, problem: Any) -> Any:
        return self._normalized(problem, problem.x.shape[: -problem.axes])

    def group_norm(self, problem: Any) -> Any:
        return self._normalized(problem, (len(problem.x), problem.groups))

    def _normalized(self, problem: Any, sets: tuple[int, ...]) -> Tensor:
        problem.validate()
        if not problem.x.size:
            return problem.x.copy()
        rows = problem.x.reshape(*sets, -1)
        plain = problem.weight is None and problem.bias is None
        columns = (problem.x.shape[1], 1, 1) if problem.name == "group_norm" else problem.x.shape[-problem.axes :]

        def mean(values: Tensor) -> Tensor:
            total = np.zeros(values.shape[:-1], problem.dtype)
            for k in range(values.shape[-1])[:: 1 if plain else -1]:
                total = total + values[..., k]
            return (total / problem.dtype.type(values.shape[-1]))[..., None]

        with np.errstate(all="ignore"):
            centred = rows - mean(rows)
            y = centred / np.sqrt(mean(centred * centred) + problem.dtype.type(problem.eps))
            y = y.reshape(problem.x.shape)
            y = y if problem.weight is None else y * problem.weight.reshape(columns)
            return y if problem.bias is None else y + problem.bias.reshape(columns)


class AnswersNegativeZeros:
    """Zeros come back with a sign."""

    dtypes = ("float32", "float64")

    def relu(self, problem: Any) -> Any:
        problem.validate()
        return np.where(problem.x <= 0, np.asarray(-0.0, problem.dtype), problem.x)


class IgnoresNaN(Right):
    """NaN never wins against a number, and it says so."""

    conventions = {"max_pool_nan": "ignore", "relu_nan": "ignore"}  # noqa: RUF012

    def max_pool2d(self, problem: Any) -> Any:
        problem.validate()
        seen = windows(filled(problem, -np.inf), *problem.axes)
        inside = windows(filled(problem.but(x=np.zeros(problem.x.shape)), np.nan), *problem.axes) == 0
        alone = (np.isnan(seen) | ~inside).all(axis=(4, 5))
        return rounded(np.where(alone, np.nan, np.fmax.reduce(seen, axis=(4, 5))), problem)

    def relu(self, problem: Any) -> Any:
        problem.validate()
        return np.fmax(problem.x, np.zeros((), problem.dtype))


class DividesByTheWindow(Right):
    """The divisor is the whole window where padding is counted, and it says so."""

    conventions = {"avg_divisor": "full"}  # noqa: RUF012

    def avg_pool2d(self, problem: Any) -> Any:
        y = problem.expected()
        if problem.count_include_pad:
            y = y * problem.divisor / np.prod(problem.kernel_size)
        return rounded(y, problem)


class TakesOneGroupOnly:
    """Its stated domain is one group."""

    dtypes = ("float32",)

    def supports(self, problem: Any) -> bool:
        return bool(problem.groups == 1)

    def conv2d(self, problem: Any) -> Any:
        assert problem.groups == 1
        return rounded(problem.expected(), problem)


class TakesDenseFiltersOnly:
    """Says at the call that it has no dilation."""

    dtypes = ("float32",)

    def conv2d(self, problem: Any) -> Any:
        if problem.dilation != (1, 1):
            raise Unsupported("no dilation")
        return rounded(problem.expected(), problem)


class TakesFloat64Only(Right):
    """float64 alone."""

    dtypes = ("float64",)


class RoundsToElevenBits(Right):
    """Rounds images and filters to TF32's 11 bits, and says so."""

    arithmetic = {("conv2d", "float32"): "tf32"}  # noqa: RUF012
    dtypes = ("float32",)

    def conv2d(self, problem: Any) -> Any:
        problem.validate()
        x, weight = (significant(a, 11).astype(problem.dtype) for a in (problem.x, problem.weight))
        return rounded(problem.but(x=x, weight=weight).expected(), problem)


class ScattersPixels:
    """The flipped convolution by scattering each pixel, in float64."""

    dtypes = ("float32", "float64")

    def convolve2d(self, problem: Any) -> Any:
        problem.validate()
        (h, w), (a, b) = problem.x.shape, problem.kernel.shape
        y = np.zeros((h + a - 1, w + b - 1))
        for i, j in np.ndindex(h, w):
            y[i : i + a, j : j + b] += wide(problem.x)[i, j] * wide(problem.kernel)
        return rounded(y[a // 2 : a // 2 + h, b // 2 : b // 2 + w], problem)


class PadsColumnsFirst:
    """Columns are padded before rows, with NumPy's pad."""

    dtypes = ("float32", "float64")

    def pad2d(self, problem: Any) -> Any:
        problem.validate()
        mode: Any = {"zeros": "constant", "replicate": "edge", "reflect": "reflect", "circular": "wrap"}[problem.mode]
        y = problem.x
        for axis in (3, 2):
            sides = [(0, 0)] * 4
            sides[axis] = problem.padding[axis - 2]
            if any(sides[axis]):
                y = np.pad(y, sides, mode)
        return np.array(y)


class AddsInPairsThroughout(AddsInPairs, Right):
    """Sums of layers in a balanced tree; what has none is right."""


class AddsInAnyOrderThroughout(AddsInAnyOrder, Right):
    """Sums of layers in another order at every call, and says so."""


class DrawsWithMersenne(Drops):
    """The Mersenne twister, seeded with an array of two words; what is kept is divided by 1 - p in the dtype."""

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return np.random.RandomState([problem.seed % 2**32, problem.seed >> 32]).random_sample(shape)

    def dropout(self, problem: Any) -> Any:
        problem.validate()
        if not problem.training or problem.p in (0, 1):
            return rounded(problem.expected(), problem)
        kept = self.kept(problem, problem.mask_shape)
        return np.where(kept, problem.x / problem.dtype.type(1 - problem.p), problem.dtype.type(0))


class DrawsIntegers(Drops):
    """PCG64's words of 32 bits against floor(p * 2^32); x times mask times a rounded reciprocal: dropped zeros carry
    signs, dropped NaN and infinities are NaN."""

    def dropout(self, problem: Any) -> Any:
        problem.validate()
        if not problem.training or problem.p == 0:
            return np.array(problem.x)
        scalar = problem.dtype.type
        words = np.random.Generator(np.random.PCG64(problem.seed)).integers(2**32, size=problem.mask_shape)
        mask = (words >= int(problem.p * 2**32)).astype(problem.dtype)
        scale = scalar(1) / scalar(1 - problem.p) if problem.p < 1 else scalar(0)
        return problem.x * (mask * scale)


class HoldsPInFloat32(Drops):
    """p is a float32 number, and so is all that is made of it."""

    dtypes = ("float32",)

    def kept(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return self.uniform(problem, shape) >= np.float32(problem.p)

    def scale(self, p: float) -> float:
        one = np.float32(1)
        return float(one / (one - np.float32(p))) if p < 1 else 0.0


class DrawsByCounting(Drops):
    """A hash of the seed and the number of the element (splitmix64, twice); float32 draws of 24 bits."""

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        with np.errstate(over="ignore"):
            key = _splitmix(np.array([problem.seed], np.uint64))
            words = _splitmix(_splitmix(np.arange(int(np.prod(shape)), dtype=np.uint64)) ^ key)
        return ((words >> np.uint64(40)) * 2.0**-24).astype(np.float32).reshape(shape)

    def kept(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return self.uniform(problem, shape) >= np.float32(problem.p)


def _splitmix(words: Tensor) -> Tensor:
    """One output of splitmix64 for each state (Steele, Lea and Flood 2014)."""
    z = words + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


LEGAL: tuple[tuple[type, tuple[str, ...]], ...] = (
    (MultipliesByTheReciprocal, ("avg_pool2d",)),
    (DividesBeforeItAdds, ("avg_pool2d",)),
    (Sorts, ("max_pool2d",)),
    (AddsBackwardsWithWeights, ("layer_norm", "group_norm")),
    (AnswersNegativeZeros, ("relu",)),
    (IgnoresNaN, ("max_pool2d", "relu")),
    (DividesByTheWindow, ("avg_pool2d", "stack")),
    (TakesOneGroupOnly, ("conv2d",)),
    (TakesDenseFiltersOnly, ("conv2d",)),
    (TakesFloat64Only, ("convolve2d", "linear")),
    (RoundsToElevenBits, ("conv2d", "stack")),
    (ScattersPixels, ("convolve2d",)),
    (PadsColumnsFirst, ("pad2d",)),
    (AddsInPairsThroughout, ("stack", "conv_block", "lenet5")),
    (AddsInAnyOrderThroughout, ("stack",)),
    (Drops, ("dropout", "dropout2d")),
    (DrawsWithMersenne, ("dropout", "dropout2d")),
    (DrawsIntegers, ("dropout", "dropout2d")),
    (HoldsPInFloat32, ("dropout", "dropout2d")),
    (DrawsByCounting, ("dropout", "dropout2d")),
    *LEGAL_SUMS,
    *LEGAL_RESULTS,
    *LEGAL_BACKWARD,
    *LEGAL_BACKWARD_NORM,
    *LEGAL_BATCH_NORM,
    *LEGAL_FLUSHED,
)
