"""Known bugs of precision and range: variances that cancel or overflow, products in fewer bits, errors that spread."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import BatchNorm2d, Conv2d, LayerNorm
from convspec.reference.pad2d import padded

from ..base import Array, Right, Tensor, rounded, significant, wide
from ..normalize import RightNorm
from .entry import filled, known
from .parameters import OnOneDevice


def spread(n: int) -> Conv2d:
    """n images of a pixel, under a 5x5 filter whose first tap, which sees padding, is far larger than the others."""
    weight = np.full((1, 1, 5, 5), 1e-3, "float32")
    weight[0, 0, 0, 0] = 1e6
    return Conv2d(x=np.ones((n, 1, 1, 1), "float32"), weight=weight, padding=((2, 2), (2, 2)))


@known(
    "B065",
    "tensorflow/tensorflow#1299",
    "conv2d",
    clause="within_the_bound",
    at=lambda: spread(4),
    spared=lambda: spread(3),
    setting="NumPy's transform of whole images stands for cuDNN's",
    needs="four images and a filter of 5x5",
)
class ConvolvesByFourier(Right):
    """From four images on, filters of at least 5x5 are multiplied with the transforms of the images, in their dtype:
    the error of every output is one of the largest products, far away as they may be."""

    def conv2d(self, problem: Any) -> Any:
        problem.validate()
        k, c, r, s = problem.weight.shape
        if len(problem.x) < 4 or min(r, s) < 5:
            return self.answer(problem)
        x = padded(problem.x, problem.padding, problem.padding_mode)
        h, w = x.shape[2:]
        weight = np.zeros((k, c, h, w), problem.dtype)
        weight[:, :, : problem.axes[0].span : problem.dilation[0], : problem.axes[1].span : problem.dilation[1]] = (
            problem.weight
        )
        groups = problem.groups
        images, filters = (np.fft.rfft2(a) for a in (x, weight))
        images = images.reshape(len(x), groups, c, *images.shape[2:])
        filters = filters.reshape(groups, k // groups, c, *filters.shape[2:])
        y = np.fft.irfft2(np.einsum("ngcuv,gkcuv->ngkuv", images, filters.conj()), (h, w)).reshape(len(x), k, h, w)
        (down, across), (i, j) = problem.stride, problem.output_shape()[2:]
        y = y[:, :, : (i - 1) * down + 1 : down, : (j - 1) * across + 1 : across]
        return np.asarray(y if problem.bias is None else y + problem.bias[:, None, None], problem.dtype)


class InTheDtype(RightNorm):
    """Normalizations whose statistics are taken in the dtype of x by a bug; the others are right."""

    broken: tuple[str, ...] = ("layer_norm",)

    def whole(self, problem: Any) -> Array:
        if problem.name not in self.broken:
            return super().whole(problem)
        sets = problem.sets
        y = wide(self.standardized(sets.rows(problem.x), problem.dtype.type(problem.eps)))
        return self.scaled(sets.whole(y, problem.x.shape), *self.affine(problem))

    def standardized(self, x: Tensor, eps: Any) -> Tensor:
        """One set a row, in the dtype of x."""
        raise NotImplementedError


def counting_from(start: float) -> LayerNorm:
    """Four numbers, one apart, far from zero."""
    return LayerNorm(x=(start + np.arange(4.0)).astype("float32").reshape(1, 4), axes=1)


@known(
    "B077",
    "patrick-kidger/equinox#314",
    "layer_norm",
    clause="within_the_bound",
    at=lambda: LayerNorm(x=np.full((1, 3), 999.9, "float32"), axes=1),
    spared=lambda: counting_from(0),
)
class LetsTheVarianceBelowZero(InTheDtype):
    """The variance is the mean of the squares less the square of the mean and not kept from falling below zero, where
    it is small beside the mean: its root is NaN."""

    def standardized(self, x: Tensor, eps: Any) -> Tensor:
        mean = x.mean(axis=1, keepdims=True)
        variance = (x * x).mean(axis=1, keepdims=True) - mean * mean
        return np.asarray((x - mean) / np.sqrt(variance + eps))


@known(
    "B079",
    "microsoft/onnxruntime#28463",
    "layer_norm",
    clause="within_the_bound",
    at=lambda: counting_from(40000),
    spared=lambda: counting_from(0),
)
class AddsSquaresOneByOne(InTheDtype):
    """Sums of x and of its squares are kept while x is read once: far from zero the difference that is left for the
    variance is nothing but rounding, and where it is negative the result NaN."""

    def standardized(self, x: Tensor, eps: Any) -> Tensor:
        total, squares = (a.cumsum(axis=1)[:, -1:] for a in (x, x * x))
        m = x.dtype.type(x.shape[1])
        mean = total / m
        return np.asarray((x - mean) / np.sqrt(squares / m - mean * mean + eps))


@known(
    "B237",
    "apache/tvm#19592",
    "layer_norm",
    clause="within_the_bound",
    at=lambda: counting_from(80000),
    spared=lambda: counting_from(0),
)
class ReducesBothMomentsTogether(InTheDtype):
    """One reduction gives the sums of x and of its squares, which are multiplied with 1/m and subtracted: for large x
    the variance is lost, or negative."""

    def standardized(self, x: Tensor, eps: Any) -> Tensor:
        both = np.stack([x, x * x]).cumsum(axis=2)[:, :, -1:] * (1 / x.dtype.type(x.shape[1]))
        mean, variance = both[0], both[1] - both[0] * both[0]
        return np.asarray((x - mean) * (1 / np.sqrt(variance + eps)))


@known(
    "B153",
    "ml-explore/mlx#4242",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 32, 1, 1)) * 129, weight=filled((32, 32, 3, 3)), padding=1),
    spared=lambda: Conv2d(x=filled((1, 31, 1, 1)) * 129, weight=filled((32, 31, 3, 3)), padding=1),
    needs="thirty-two filters of 3x3 over as many channels",
)
class MultipliesTilesInElevenBits(Right):
    """3x3 filters over a multiple of 32 channels, as many times 32 of them, go through Winograd's tiles, whose float32
    products are left to units that keep 11 bits."""

    image = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float)
    filter = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2
    output = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float)

    def conv2d(self, problem: Any) -> Any:
        k, c, *taps = problem.weight.shape if problem.weight.ndim == 4 else (1, 1)
        plain = (problem.stride, problem.dilation, problem.groups) == ((1, 1), (1, 1), 1)
        if problem.broken_rules() or taps != [3, 3] or not plain or k % 32 or c % 32 or not k * c:
            return self.answer(problem)
        if problem.dtype != np.float32 or not len(problem.x):
            return self.answer(problem)
        n, _, i, j = problem.output_shape()
        x = np.pad(padded(wide(problem.x), problem.padding, problem.padding_mode), [(0, 0)] * 2 + [(0, 1)] * 2)
        tiles = np.lib.stride_tricks.sliding_window_view(x, (4, 4), (2, 3))[:, :, ::2, ::2]
        seen = significant(self.image @ tiles @ self.image.T, 11)
        held = significant(self.filter @ wide(problem.weight) @ self.filter.T, 11)
        y = self.output @ np.einsum("nctuab,kcab->nktuab", seen, held, optimize=True) @ self.output.T
        y = y.swapaxes(3, 4).reshape(n, k, 2 * y.shape[2], 2 * y.shape[3])[:, :, :i, :j]
        return rounded(y if problem.bias is None else y + wide(problem.bias)[:, None, None], problem)


def evaluated(variance: float) -> BatchNorm2d:
    """Two numbers in evaluation, with a running variance."""
    held = {"running_mean": np.zeros(1, "float32"), "running_var": np.full(1, variance, "float32")}
    return BatchNorm2d(x=np.float32([100, 200]).reshape(1, 1, 1, 2), training=False, **held)


@known(
    "B233",
    "apple/coreai-torch#54",
    "batch_norm2d",
    clause="within_the_bound",
    at=lambda: evaluated(1e5),
    spared=lambda: evaluated(1e4),
    setting="float16's range without its 11 bits, as x is not float16 here",
)
class HoldsVariancesInTheRangeOfFloat16(OnOneDevice):
    """In evaluation the running variance goes through float16, where more than 65504 is infinite, so that nothing is
    left of x, and less than 6e-8 is zero."""

    def evaluated(self, problem: Any) -> Any:
        seen = wide(problem.running_var.astype(np.float16))
        held = np.where(np.isinf(seen) | (seen == 0), seen, wide(problem.running_var))[:, None, None]
        y = self.normalized(problem, wide(problem.running_mean)[:, None, None], held)
        return y, (problem.running_mean, problem.running_var)
