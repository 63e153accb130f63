"""What a convolution equals: a simpler one on a rearranged image, a matrix, a fully connected layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .conv2d_parts import NONE, contiguous, first_group
from .laws import zero_stuffed
from .linear import Linear
from .locally_connected2d import LocallyConnected2d
from .measured import concatenate
from .op import Run, Sides, law
from .pad2d import padded
from .pick import Pick

if TYPE_CHECKING:
    from .conv2d import Conv2d

Tensor = npt.NDArray[Any]


@law("LAW-C7, CONV-06")
def stride_is_subsampling(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Stride (a, b) gives every a-th row and every b-th column of the result with stride 1."""
    rows, columns = problem.stride
    return run(problem), run(problem.but(stride=(1, 1)))[:, :, ::rows, ::columns]


@law("LAW-C8, CONV-07")
def dilation_is_zero_stuffing(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Dilation d gives what a dense filter gives with d-1 zeros written between its taps."""
    stuffed = zero_stuffed(problem.weight, problem.dilation)
    return run(problem), run(problem.but(weight=stuffed, dilation=(1, 1)))


@law("LAW-C9, CONV-05")
def padding_is_zeros(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Padding gives what zeros written around the image by hand would give."""
    return _explicitly_padded(problem.but(padding_mode="zeros"), run)


@law("LAW-C9, PAD-09")
def padding_modes_fill_the_border(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """A padding mode gives what the border written out by hand in that mode would give."""
    return None if problem.padding_mode == "zeros" else _explicitly_padded(problem, run)


@law("LAW-C10")
def a_matrix_holds_the_filter(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Convolution is a fixed matrix: each of its rows holds the filter at the window's taps and zeros elsewhere."""
    plain = problem.but(bias=None, padding_mode="zeros")
    _, c, h, w = problem.x.shape
    if c * h * w > 96:
        return None
    images = np.eye(c * h * w).reshape(-1, c, h, w).astype(problem.dtype)
    rows, columns = plain.axes
    k, per_group = problem.weight.shape[:2]
    matrix = np.zeros((c, h, w, k, rows.count, columns.count))
    weight = np.asarray(problem.weight, np.float64)
    for i in range(rows.count):
        for j in range(columns.count):
            for r, s in np.argwhere(rows.inside[i][:, None] & columns.inside[j]):
                for f in range(k):
                    first = f // (k // problem.groups) * per_group
                    at = (slice(first, first + per_group), rows.positions[i, r], columns.positions[j, s], f, i, j)
                    matrix[at] = weight[f, :, r, s]
    return run(plain.but(x=images)), matrix.reshape(c * h * w, k, rows.count, columns.count)


@law("LAW-C12, FC-05")
def one_tap_is_linear_on_every_pixel(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """A 1x1 filter is a fully connected layer over the channels, applied to every pixel."""
    one = replace(first_group(problem), stride=(1, 1), padding=NONE, padding_mode="zeros", dilation=(1, 1))
    n, c, h, w = one.x.shape
    one = one.but(weight=contiguous(one.weight[:, :, :1, :1]))
    pixels = contiguous(one.x.transpose(0, 2, 3, 1).reshape(-1, c))
    rows = run(Linear(x=pixels, weight=contiguous(one.weight[:, :, 0, 0])))
    return run(one), rows.rearranged(lambda a: a.reshape(n, h, w, -1).transpose(0, 3, 1, 2))


@law("LAW-C13, FC-02, FC-05")
def a_filter_as_large_as_the_image_is_linear(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """A filter of the image's size is a fully connected layer on the image flattened in the order c, h, w."""
    n, c, h, w = problem.x.shape
    k = problem.weight.shape[0]
    weight = np.resize(problem.weight, (k, c, h, w))
    whole = type(problem)(x=problem.x, weight=weight)
    flat = Linear(x=problem.x.reshape(n, -1), weight=weight.reshape(k, -1))
    return run(whole), run(flat).rearranged(lambda a: a[:, :, None, None])


@law("LAW-C14, LC-04")
def unshared_weights_may_be_equal(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """A locally connected layer with the filters and biases of a convolution at every unit gives the same."""
    one = replace(first_group(problem), padding_mode="zeros", dilation=(1, 1))
    bias = None if problem.bias is None else problem.bias[: one.weight.shape[0]]
    one = one.but(bias=bias)
    _, k, height, width = one.shape()
    everywhere = LocallyConnected2d(
        x=one.x,
        weight=contiguous(np.broadcast_to(one.weight, (height, width, *one.weight.shape))),
        bias=None if bias is None else contiguous(np.broadcast_to(bias[:, None, None], (k, height, width))),
        stride=one.stride,
        padding=one.padding,
    )
    return run(one), run(everywhere)


@law("LAW-C15, CONV-08")
def groups_are_separate(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Groups give what separate convolutions of each contiguous block of channels give, one after the other."""
    if problem.groups == 1:
        return None
    c, k = problem.x.shape[1] // problem.groups, problem.weight.shape[0] // problem.groups
    each = []
    for g in range(problem.groups):
        bias = None if problem.bias is None else problem.bias[g * k : (g + 1) * k]
        part = problem.but(
            x=contiguous(problem.x[:, g * c : (g + 1) * c]),
            weight=problem.weight[g * k : (g + 1) * k],
            bias=bias,
            groups=1,
        )
        each.append(run(part))
    return run(problem), concatenate(each, axis=1)


@law("LAW-C15, CONV-08")
def groups_are_a_block_diagonal_filter(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Groups give what one dense convolution gives whose filters are zero outside their group's channels."""
    if problem.groups == 1:
        return None
    k, c, r, s = problem.weight.shape
    dense = np.zeros((k, c * problem.groups, r, s), problem.dtype)
    for f in range(k):
        first = f // (k // problem.groups) * c
        dense[f, first : first + c] = problem.weight[f]
    return run(problem), run(problem.but(weight=dense, groups=1))


def _explicitly_padded(problem: Conv2d, run: Run) -> Sides:
    border = padded(problem.x, problem.padding, problem.padding_mode)
    return run(problem), run(problem.but(x=border, padding=NONE, padding_mode="zeros"))
