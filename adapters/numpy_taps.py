"""NumPy, tap by tap: the other way round from the reference, which goes window by window.

For each tap of the filter one shifted, strided slice of the image is added to the whole output. 16-bit inputs are
computed in float32 and rounded once at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Convolve2d,
    Dropout,
    Dropout2d,
    GroupNorm,
    InstanceNorm2d,
    LayerNorm,
    Linear,
    LocallyConnected2d,
    LocalResponseNorm,
    MaxPool2d,
    Pad2d,
    PixelGroupNorm,
    Relu,
    SyncBatchNorm2d,
)

from .numpy_backward import Gradients
from .taps import counts, in_groups, padded, pooled, taps, wide

Tensor = npt.NDArray[Any]
Outputs = tuple[Tensor | None, ...]


class NumpyTaps(Gradients):
    """Every operation, in NumPy."""

    name = "numpy"
    version = np.__version__
    dtypes = ("float32", "float64", "float16", "bfloat16")

    def pad2d(self, problem: Pad2d) -> Tensor:
        problem.validate()
        return padded(problem.x, problem.padding, problem.mode)

    def conv2d(self, problem: Conv2d) -> Tensor:
        problem.validate()
        x = padded(wide(problem.x), problem.padding, problem.padding_mode)
        n, k, height, width = problem.output_shape()
        x, weight = in_groups(x, 1, problem.groups), in_groups(wide(problem.weight), 0, problem.groups)
        y = np.zeros((n, *weight.shape[:2], height, width), x.dtype)
        for (r, s), (rows, columns) in taps(weight.shape[3:], problem.dilation, problem.stride, y.shape[3:]):
            y += np.einsum("gkc,ngcij->ngkij", weight[..., r, s], x[..., rows, columns])
        y = y.reshape(n, k, height, width)
        if problem.bias is not None:
            y += wide(problem.bias)[:, None, None]
        return y.astype(problem.dtype)

    def locally_connected2d(self, problem: LocallyConnected2d) -> Tensor:
        problem.validate()
        x, weight = padded(wide(problem.x), problem.padding, "zeros"), wide(problem.weight)
        y = np.zeros(problem.output_shape(), x.dtype)
        for (r, s), (rows, columns) in taps(weight.shape[4:], (1, 1), problem.stride, y.shape[2:]):
            y += np.einsum("ijkc,ncij->nkij", weight[..., r, s], x[..., rows, columns])
        if problem.bias is not None:
            y += wide(problem.bias)
        return y.astype(problem.dtype)

    def convolve2d(self, problem: Convolve2d) -> Tensor:
        problem.validate()
        x, kernel = wide(problem.x), wide(problem.kernel)
        (h, w), (height, width) = x.shape, kernel.shape
        spread = np.zeros((h + height - 1, w + width - 1), x.dtype)
        for r, s in np.ndindex(height, width):  # each pixel leaves a copy of the kernel around itself
            spread[r : r + h, s : s + w] += kernel[r, s] * x
        a, b = height // 2, width // 2
        return spread[a : a + h, b : b + w].astype(problem.dtype)

    def max_pool2d(self, problem: MaxPool2d) -> Tensor:
        problem.validate()
        y = np.full(problem.output_shape(), -np.inf, problem.dtype)
        for at, seen in pooled(problem, problem.dilation):
            y[at] = np.maximum(y[at], seen)
        return y

    def avg_pool2d(self, problem: AvgPool2d) -> Tensor:
        problem.validate()
        total = np.zeros(problem.output_shape(), wide(problem.x).dtype)
        for at, seen in pooled(problem, (1, 1)):
            total[at] += seen
        divisor = counts(problem).astype(total.dtype)
        return np.asarray(total / divisor).astype(problem.dtype)

    def relu(self, problem: Relu) -> Tensor:
        problem.validate()
        return np.maximum(problem.x, np.zeros((), problem.dtype))

    def linear(self, problem: Linear) -> Tensor:
        problem.validate()
        y = np.einsum("nf,of->no", wide(problem.x), wide(problem.weight))
        if problem.bias is not None:
            y = y + wide(problem.bias)
        return np.asarray(y).astype(problem.dtype)

    def batch_norm2d(self, problem: BatchNorm2d) -> Outputs:
        problem.validate()
        x = wide(problem.x)
        if not problem.training:
            assert problem.running_mean is not None
            assert problem.running_var is not None
            y = _normalized(problem, wide(problem.running_mean), wide(problem.running_var))
            return y, problem.running_mean.copy(), problem.running_var.copy()
        mean, squares = _moments(x)
        return _trained(problem, mean, squares)

    def sync_batch_norm2d(self, problem: SyncBatchNorm2d) -> Outputs:
        problem.validate()
        x, first = wide(problem.x), 0
        counts, means, squares = [], [], []  # what each device knows of its images, and sends to the others
        for size in problem.shards:
            mean, square = _moments(x[first : first + size])
            first += size
            counts.append(x.dtype.type(size * x.shape[2] * x.shape[3]))
            means.append(mean)
            squares.append(square)
        total = max(sum(counts), x.dtype.type(1))
        mean = np.asarray(sum(n * m for n, m in zip(counts, means, strict=True)) / total)
        between = [n * np.square(m - mean) for n, m in zip(counts, means, strict=True)]
        return _trained(problem, mean, np.sum(squares, axis=0) + np.sum(between, axis=0))

    def layer_norm(self, problem: LayerNorm) -> Tensor:
        problem.validate()
        y = _standardized(wide(problem.x), tuple(range(-problem.axes, 0)), problem.eps)
        return _scaled(y, problem.weight, problem.bias).astype(problem.dtype)

    def group_norm(self, problem: GroupNorm) -> Tensor:
        return _grouped(problem, problem.groups, (2, 3, 4))

    def instance_norm2d(self, problem: InstanceNorm2d) -> Tensor:
        return _grouped(problem, problem.x.shape[1], (2, 3, 4))

    def local_response_norm(self, problem: LocalResponseNorm) -> Tensor:
        problem.validate()
        x = wide(problem.x)
        c = x.shape[1]
        squares = np.pad(x * x, ((0, 0), ((problem.size - 1) // 2, problem.size // 2), (0, 0), (0, 0)))
        total = np.zeros_like(x)
        for offset in range(problem.size):
            total += squares[:, offset : offset + c]
        scalar = x.dtype.type
        divisor = scalar(problem.k) + scalar(problem.alpha / problem.size) * total
        return np.asarray(x * divisor ** scalar(-problem.beta)).astype(problem.dtype)

    def pixel_group_norm(self, problem: PixelGroupNorm) -> Tensor:
        return _grouped(problem, problem.groups, (2,))

    def dropout(self, problem: Dropout) -> Tensor:
        problem.validate()
        return _dropped(problem, problem.x.shape)

    def dropout2d(self, problem: Dropout2d) -> Tensor:
        problem.validate()
        return _dropped(problem, (*problem.x.shape[:2], 1, 1))


def _grouped(problem: Any, groups: int, axes: tuple[int, ...]) -> Tensor:
    """x in groups of channels (N, G, C/G, H, W), normalized along these axes; weight and bias channel by channel."""
    problem.validate()
    x = wide(problem.x)
    y = _standardized(in_groups(x, 1, groups), axes, problem.eps).reshape(x.shape)
    weight, bias = (None if a is None else a[:, None, None] for a in (problem.weight, problem.bias))
    return _scaled(y, weight, bias).astype(problem.dtype)


def _standardized(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """x less its mean over its deviation, in two passes: no large numbers are subtracted from each other but once."""
    if not x.size:
        return x
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = np.square(centred).mean(axis=axes, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + x.dtype.type(eps)))


def _scaled(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """y times the weight plus the bias, where there are such."""
    if weight is not None:
        y = y * wide(weight)
    return y if bias is None else y + wide(bias)


def _dropped(problem: Dropout | Dropout2d, draws: tuple[int, ...]) -> Tensor:
    """x / (1 - p) where a uniform number reaches p; selected, not multiplied, so that nothing is made NaN."""
    x = wide(problem.x)
    if not problem.training or problem.p == 0:
        return np.array(problem.x)
    if problem.p == 1:
        return np.zeros_like(problem.x)
    kept = np.random.Generator(np.random.PCG64(problem.seed)).random(draws) >= problem.p
    y = np.where(kept, x / x.dtype.type(1 - problem.p), x.dtype.type(0))
    return np.asarray(y).astype(problem.dtype)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of each channel over all images, and the sum of the squares about it; zeros where there are no elements."""
    if not x.size:
        return np.zeros(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)
    mean = x.mean(axis=(0, 2, 3))
    return mean, np.square(x - mean[:, None, None]).sum(axis=(0, 2, 3))


def _normalized(problem: Any, mean: Tensor, variance: Tensor) -> Tensor:
    """x with this mean and variance of each channel, weight and bias."""
    x = wide(problem.x)
    y = (x - mean[:, None, None]) / np.sqrt(variance + x.dtype.type(problem.eps))[:, None, None]
    weight, bias = (None if a is None else a[:, None, None] for a in (problem.weight, problem.bias))
    return np.asarray(_scaled(y, weight, bias)).astype(problem.dtype)


def _trained(problem: Any, mean: Tensor, squares: Tensor) -> Outputs:
    """A training step with the mean of each channel and the sum of the squares about it."""
    m, scalar = problem.x.size // max(problem.x.shape[1], 1), mean.dtype.type
    if not m:
        kept = (None if a is None else a.copy() for a in (problem.running_mean, problem.running_var))
        return (problem.x.copy(), *kept)
    y = _normalized(problem, mean, squares / scalar(m))
    new = [
        None if old is None else (scalar(1 - problem.momentum) * wide(old) + scalar(problem.momentum) * batch)
        for old, batch in ((problem.running_mean, mean), (problem.running_var, squares / scalar(max(m - 1, 1))))
    ]
    return (y, *(None if a is None else np.asarray(a).astype(problem.dtype) for a in new))
