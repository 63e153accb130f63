"""Gradients: every product of the forward loops, pushed back to both of its factors."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from .forward import positions, root
from .positions import source


def gradients(p: Any, a: Any, **more: bool) -> dict[str, Any]:
    """Every gradient that there is, started at zeros of the numbers in use."""
    zero = type(a.grad_output.reshape(-1)[0])(0) if a.grad_output.size else 0
    found = {f"grad_{name}": np.full(array.shape, zero, object) for name, array in vars(a).items()}
    found = {name: array for name, array in found.items() if name in p.outputs}
    for index in np.ndindex(a.grad_output.shape):
        GRADIENTS[p.name](p, a, SimpleNamespace(**found), a.grad_output[index], *index, **more)
    return {name: found[name] for name in p.outputs if name in found}


def conv2d_backward(p: Any, a: Any, to: Any, g: Any, n: int, k: int, i: int, j: int) -> None:
    channels = a.weight.shape[1]
    group = k // (a.weight.shape[0] // p.groups)
    if p.bias is not None:
        to.grad_bias[k] += g
    for r, s in np.ndindex(a.weight.shape[2:]):
        row = source(i * p.stride[0] + r * p.dilation[0] - p.padding[0][0], a.x.shape[2], p.padding_mode)
        column = source(j * p.stride[1] + s * p.dilation[1] - p.padding[1][0], a.x.shape[3], p.padding_mode)
        if row is not None and column is not None:
            for c in range(channels):
                to.grad_x[n, group * channels + c, row, column] += g * a.weight[k, c, r, s]
                to.grad_weight[k, c, r, s] += g * a.x[n, group * channels + c, row, column]


def linear_backward(p: Any, a: Any, to: Any, g: Any, n: int, o: int) -> None:
    if p.bias is not None:
        to.grad_bias[o] += g
    for f in range(a.x.shape[1]):
        to.grad_x[n, f] += g * a.weight[o, f]
        to.grad_weight[o, f] += g * a.x[n, f]


def relu_backward(p: Any, a: Any, to: Any, g: Any, *index: int) -> None:
    if p.x[index] > 0:
        to.grad_x[index] = g


def avg_pool2d_backward(p: Any, a: Any, to: Any, g: Any, n: int, c: int, i: int, j: int) -> None:
    height, width = p.x.shape[2:]
    (top, bottom), (left, right) = p.padding
    inside = [(r, s) for r, s in positions(p, i, j) if 0 <= r < height and 0 <= s < width]
    counted = [(r, s) for r, s in positions(p, i, j) if -top <= r < height + bottom and -left <= s < width + right]
    for r, s in inside:
        to.grad_x[n, c, r, s] += g / len(counted if p.count_include_pad else inside)


def max_pool2d_backward(p: Any, a: Any, to: Any, g: Any, n: int, c: int, i: int, j: int) -> None:
    """In equal parts to equal elements; compared as they are, whatever numbers are computed in."""
    inside = [(r, s) for r, s in positions(p, i, j) if 0 <= r < p.x.shape[2] and 0 <= s < p.x.shape[3]]
    largest = max(float(p.x[n, c, r, s]) for r, s in inside)
    won = [(r, s) for r, s in inside if float(p.x[n, c, r, s]) == largest]
    for r, s in won:
        to.grad_x[n, c, r, s] += g / len(won)


def normalized_backward(
    p: Any, a: Any, to: Any, g: Any, at: tuple[int, ...], members: list[tuple[int, ...]], own: Any, magnitude: bool
) -> None:
    """dy/dx of an element for every member of its set, (1 if it is itself, less 1/m, less x_hat*x_hat/m) / deviation,
    and of its weight and bias, which lie at `own`; or the sizes of these terms."""
    m, elements = len(members), [a.x[i] for i in members]
    mean = sum(elements) / m
    deviation = root(sum((e - mean) ** 2 for e in elements) / m + type(mean)(p.eps))
    far = sum(map(abs, elements)) / m
    hat = {i: ((abs(e) + far) if magnitude else (e - mean)) / deviation for i, e in zip(members, elements, strict=True)}
    g, sign = (abs(g), 1) if magnitude else (g, -1)
    weight = 1 if p.weight is None else a.weight[own]
    slope = g * (abs(weight) if magnitude else weight) / deviation
    for i in members:
        to.grad_x[i] += slope * ((i == at) + sign * (1 + hat[at] * hat[i]) / type(mean)(m))
    to_parameters(p, to, g, hat[at], own)


def to_parameters(p: Any, to: Any, g: Any, hat: Any, own: Any) -> None:
    """What an element passes on to its weight and its bias."""
    if p.weight is not None:
        to.grad_weight[own] += g * hat
    if p.bias is not None:
        to.grad_bias[own] += g


def layer_norm_backward(p: Any, a: Any, to: Any, g: Any, *index: int, magnitude: bool = False) -> None:
    lead = index[: -p.axes]
    members = [(*lead, *i) for i in np.ndindex(p.x.shape[-p.axes :])]
    normalized_backward(p, a, to, g, index, members, index[-p.axes :], magnitude)


def group_norm_backward(
    p: Any, a: Any, to: Any, g: Any, n: int, c: int, h: int, w: int, magnitude: bool = False
) -> None:
    size = p.x.shape[1] // p.groups
    channels = [k for k in range(p.x.shape[1]) if k // size == c // size]
    members = [(n, k, i, j) for k in channels for i in range(p.x.shape[2]) for j in range(p.x.shape[3])]
    normalized_backward(p, a, to, g, (n, c, h, w), members, c, magnitude)


def batch_norm2d_backward(
    p: Any, a: Any, to: Any, g: Any, n: int, c: int, h: int, w: int, magnitude: bool = False
) -> None:
    """In evaluation the slope is weight / deviation at the element alone."""
    if p.training:
        members = [(k, c, i, j) for k in range(len(p.x)) for i in range(p.x.shape[2]) for j in range(p.x.shape[3])]
        normalized_backward(p, a, to, g, (n, c, h, w), members, c, magnitude)
        return
    size: Any = abs if magnitude else lambda v: v
    deviation = root(a.running_var[c] + type(g)(p.eps))
    g, weight = size(g), 1 if p.weight is None else size(a.weight[c])
    to.grad_x[n, c, h, w] += g * weight / deviation
    to_parameters(p, to, g, (size(a.x[n, c, h, w]) + (1 if magnitude else -1) * size(a.running_mean[c])) / deviation, c)


GRADIENTS: dict[str, Callable[..., None]] = {
    f.__name__: f
    for f in (
        conv2d_backward,
        linear_backward,
        relu_backward,
        avg_pool2d_backward,
        max_pool2d_backward,
        layer_norm_backward,
        group_norm_backward,
        batch_norm2d_backward,
    )
}
