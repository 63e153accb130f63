"""The formula of one element of each operation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np

from .positions import source


def conv2d(p: Any, a: Any, n: int, k: int, i: int, j: int) -> Any:
    """bias[k] + the sum of x[n,c,...] * weight[k,c,r,s] over the channels of the filter's group and the taps."""
    height, width = a.x.shape[2:]
    channels = a.weight.shape[1]
    group = k // (a.weight.shape[0] // p.groups)
    total = 0 if p.bias is None else a.bias[k]
    for r in range(a.weight.shape[2]):
        row = source(i * p.stride[0] + r * p.dilation[0] - p.padding[0][0], height, p.padding_mode)
        for s in range(a.weight.shape[3]):
            column = source(j * p.stride[1] + s * p.dilation[1] - p.padding[1][0], width, p.padding_mode)
            if row is not None and column is not None:
                for c in range(channels):
                    total += a.x[n, group * channels + c, row, column] * a.weight[k, c, r, s]
    return total


def locally_connected2d(p: Any, a: Any, n: int, k: int, i: int, j: int) -> Any:
    """bias[k,i,j] + the sum of x[n,c,...] * weight[i,j,k,c,r,s] over the channels and the taps."""
    total = 0 if p.bias is None else a.bias[k, i, j]
    for c in range(a.weight.shape[3]):
        for r in range(a.weight.shape[4]):
            for s in range(a.weight.shape[5]):
                row, column = i * p.stride[0] + r - p.padding[0][0], j * p.stride[1] + s - p.padding[1][0]
                if 0 <= row < a.x.shape[2] and 0 <= column < a.x.shape[3]:
                    total += a.x[n, c, row, column] * a.weight[i, j, k, c, r, s]
    return total


def convolve2d(p: Any, a: Any, i: int, j: int) -> Any:
    """The sum of kernel[a + u, b + v] * x[i - u, j - v], with zeros outside."""
    half, wide = a.kernel.shape[0] // 2, a.kernel.shape[1] // 2
    total = 0
    for u in range(-half, half + 1):
        for v in range(-wide, wide + 1):
            if 0 <= i - u < a.x.shape[0] and 0 <= j - v < a.x.shape[1]:
                total += a.kernel[half + u, wide + v] * a.x[i - u, j - v]
    return total


def linear(p: Any, a: Any, n: int, o: int) -> Any:
    """bias[o] + the sum of x[n,f] * weight[o,f]."""
    total = 0 if p.bias is None else a.bias[o]
    for f in range(a.x.shape[1]):
        total += a.x[n, f] * a.weight[o, f]
    return total


def pad2d(p: Any, a: Any, n: int, c: int, i: int, j: int) -> Any:
    """The element that position (i - top, j - left) shows."""
    row = source(i - p.padding[0][0], a.x.shape[2], p.mode)
    column = source(j - p.padding[1][0], a.x.shape[3], p.mode)
    return 0 if row is None or column is None else a.x[n, c, row, column]


def positions(p: Any, i: int, j: int) -> Iterator[tuple[int, int]]:
    """Where the taps of a pooling window lie, on the image or beside it."""
    down, across = getattr(p, "dilation", (1, 1))
    for r in range(p.kernel_size[0]):
        for s in range(p.kernel_size[1]):
            yield i * p.stride[0] - p.padding[0][0] + r * down, j * p.stride[1] - p.padding[1][0] + s * across


def max_pool2d(p: Any, a: Any, n: int, c: int, i: int, j: int) -> Any:
    """The largest element of the window on the image; NaN if it holds one."""
    best = None
    for row, column in positions(p, i, j):
        if 0 <= row < a.x.shape[2] and 0 <= column < a.x.shape[3]:
            value = a.x[n, c, row, column]
            if best is None or value != value or value > best:
                best = value
    return best


def avg_pool2d(p: Any, a: Any, n: int, c: int, i: int, j: int) -> Any:
    """The sum of the elements of the window on the image, over how many taps lie there (or on the padding too)."""
    height, width = a.x.shape[2:]
    (top, bottom), (left, right) = p.padding
    total = divisor = 0
    for row, column in positions(p, i, j):
        inside = 0 <= row < height and 0 <= column < width
        if inside:
            total += a.x[n, c, row, column]
        on_padding = -top <= row < height + bottom and -left <= column < width + right
        divisor += inside or (p.count_include_pad and on_padding)
    return total / divisor


def relu(p: Any, a: Any, *index: int) -> Any:
    """What is positive or no number at all; zero for the rest."""
    value = a.x[index]
    return 0 if value <= 0 else value


def dropout(p: Any, a: Any, *index: int) -> Any:
    """x over 1 - p where the mask is set, in exact numbers; zero elsewhere; x itself in evaluation."""
    value = a.x[index]
    if not p.training:
        return value
    if p.p in (0, 1):
        return value * (1 - int(p.p))
    mask = p.reading["mask"]
    kept = mask[tuple(i % side for i, side in zip(index, mask.shape, strict=True))]  # a side of 1 is shared
    return value / (1 - type(value)(p.p)) if kept else 0


def dropout2d(p: Any, a: Any, *index: int) -> Any:
    """The mask has one element for each channel."""
    return dropout(p, a, *index)


def root(value: Any) -> Any:
    """The square root: of a rational number, to 200 bits behind the point of a number near 1."""
    if not isinstance(value, Fraction):
        return math.sqrt(value)
    scale = 4**300
    return Fraction(math.isqrt(value.numerator * scale * value.denominator), value.denominator * 2**300)


def normalized(value: Any, elements: list[Any], eps: float, weight: Any, bias: Any, magnitude: bool) -> Any:
    """(value - mean) / root(variance + eps) * weight + bias, or the size of its terms."""
    mean = sum(elements) / len(elements)
    variance = sum((e - mean) ** 2 for e in elements) / len(elements)
    deviation = root(variance + type(mean)(eps))
    if magnitude:
        return (abs(value) + sum(map(abs, elements)) / len(elements)) / deviation * abs(weight) + abs(bias)
    return (value - mean) / deviation * weight + bias


def layer_norm(p: Any, a: Any, *index: int, magnitude: bool = False) -> Any:
    """The set is everything with the same leading indices."""
    lead, last = index[: -p.axes], index[-p.axes :]
    elements = [a.x[(*lead, *i)] for i in np.ndindex(a.x.shape[-p.axes :])]
    weight = 1 if p.weight is None else a.weight[last]
    bias = 0 if p.bias is None else a.bias[last]
    return normalized(a.x[index], elements, p.eps, weight, bias, magnitude)


def in_group(p: Any, a: Any, index: tuple[int, ...], elements: list[Any], magnitude: bool) -> Any:
    """An element normalized with these, and scaled as its channel is."""
    weight = 1 if p.weight is None else a.weight[index[1]]
    bias = 0 if p.bias is None else a.bias[index[1]]
    return normalized(a.x[index], elements, p.eps, weight, bias, magnitude)


def of_channel(a: Any, c: int) -> list[Any]:
    """Every element of a channel, all over the batch."""
    return [a.x[n, c, i, j] for n in range(len(a.x)) for i in range(a.x.shape[2]) for j in range(a.x.shape[3])]


def batch_norm2d(p: Any, a: Any, n: int, c: int, h: int, w: int, magnitude: bool = False) -> Any:
    """In training the set is the channel of all images; in evaluation mean and variance are the running ones."""
    if getattr(p, "training", True):
        return in_group(p, a, (n, c, h, w), of_channel(a, c), magnitude)
    weight = 1 if p.weight is None else a.weight[c]
    bias = 0 if p.bias is None else a.bias[c]
    value, mean = a.x[n, c, h, w], a.running_mean[c]
    deviation = root(a.running_var[c] + type(mean)(p.eps))
    if magnitude:
        return (abs(value) + abs(mean)) / deviation * abs(weight) + abs(bias)
    return (value - mean) / deviation * weight + bias


def stored(p: Any, before: Any, batch: Any) -> Any:
    """The share `momentum` of the way from what there was to what the batch has."""
    share = type(before)(p.momentum)
    return before + share * (batch - before)


def sync_batch_norm2d(p: Any, a: Any, n: int, c: int, h: int, w: int, magnitude: bool = False) -> Any:
    """The set is the channel of all images, wherever they are held."""
    return in_group(p, a, (n, c, h, w), of_channel(a, c), magnitude)


def running_mean(p: Any, a: Any, c: int, magnitude: bool = False) -> Any:
    """Changed by a training step that sees elements: towards their mean."""
    elements = of_channel(a, c)
    if not getattr(p, "training", True) or not elements:
        return abs(a.running_mean[c]) if magnitude else a.running_mean[c]
    if magnitude:
        return abs(a.running_mean[c]) + sum(map(abs, elements)) / len(elements)
    return stored(p, a.running_mean[c], sum(elements) / len(elements))


def running_var(p: Any, a: Any, c: int, magnitude: bool = False) -> Any:
    """Changed by a training step that sees elements: towards the sum of their squares about the mean, over m - 1."""
    elements = of_channel(a, c)
    if not getattr(p, "training", True) or not elements:
        return abs(a.running_var[c]) if magnitude else a.running_var[c]
    mean = sum(elements) / len(elements)
    if magnitude:
        return abs(a.running_var[c]) + sum((abs(e) + abs(mean)) ** 2 for e in elements) / (len(elements) - 1)
    return stored(p, a.running_var[c], sum((e - mean) ** 2 for e in elements) / (len(elements) - 1))


def group_norm(p: Any, a: Any, n: int, c: int, h: int, w: int, magnitude: bool = False) -> Any:
    """The set is every channel of the same group, all over the image."""
    size = p.x.shape[1] // p.groups
    channels = [k for k in range(p.x.shape[1]) if k // size == c // size]
    elements = [a.x[n, k, i, j] for k in channels for i in range(p.x.shape[2]) for j in range(p.x.shape[3])]
    return in_group(p, a, (n, c, h, w), elements, magnitude)


def instance_norm2d(p: Any, a: Any, n: int, c: int, h: int, w: int, magnitude: bool = False) -> Any:
    """The set is the channel of the image."""
    elements = [a.x[n, c, i, j] for i in range(p.x.shape[2]) for j in range(p.x.shape[3])]
    return in_group(p, a, (n, c, h, w), elements, magnitude)


def pixel_group_norm(p: Any, a: Any, n: int, c: int, h: int, w: int, magnitude: bool = False) -> Any:
    """The set is every channel of the same group, at the same pixel."""
    size = p.x.shape[1] // p.groups
    elements = [a.x[n, k, h, w] for k in range(p.x.shape[1]) if k // size == c // size]
    return in_group(p, a, (n, c, h, w), elements, magnitude)


def local_response_norm(p: Any, a: Any, n: int, c: int, h: int, w: int, magnitude: bool = False) -> Any:
    """x over (k + alpha/size * the squares of the window) to the power of beta, in 60 digits where x is rational."""
    total = 0
    for j in range(c - (p.size - 1) // 2, c + p.size // 2 + 1):
        if 0 <= j < p.x.shape[1]:
            total += a.x[n, j, h, w] ** 2
    value = a.x[n, c, h, w]
    divisor = type(value)(p.k) + type(value)(p.alpha) * total / p.size
    if isinstance(value, Fraction):
        with localcontext(Context(prec=60)):
            power = (Decimal(divisor.numerator) / Decimal(divisor.denominator)) ** Decimal(-p.beta)
        result = value * Fraction(power)
    else:
        result = value * divisor**-p.beta
    return abs(result) if magnitude else result


FORMULAS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        conv2d,
        locally_connected2d,
        convolve2d,
        linear,
        pad2d,
        max_pool2d,
        avg_pool2d,
        relu,
        batch_norm2d,
        sync_batch_norm2d,
        layer_norm,
        group_norm,
        instance_norm2d,
        pixel_group_norm,
        local_response_norm,
        dropout,
        dropout2d,
    )
}
STORED: dict[str, Callable[..., Any]] = {"running_mean": running_mean, "running_var": running_var}
