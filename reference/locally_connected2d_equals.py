"""What a locally connected layer equals: a convolution, a fully connected layer, pixels picked one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import conv2d  # as a module: a law of its own needs this operation in turn
from .conv2d_parts import NONE, contiguous
from .linear import Linear
from .op import Run, Sides, law
from .pad2d import padded
from .pick import Pick

if TYPE_CHECKING:
    from .locally_connected2d import LocallyConnected2d


@law("LC-04, LAW-C14, L019")
def equal_filters_are_a_convolution(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """With the same filters and the same biases at every unit the layer is a convolution: the weights are shared."""
    height, width = problem.weight.shape[:2]
    i, j = pick.integer(0, height - 1), pick.integer(0, width - 1)
    shared = contiguous(problem.weight[i, j])
    bias = None if problem.bias is None else contiguous(problem.bias[:, i, j])
    tied = problem.but(
        weight=contiguous(np.broadcast_to(shared, problem.weight.shape)),
        bias=None if bias is None else contiguous(np.broadcast_to(bias[:, None, None], problem.output_shape()[1:])),
    )
    convolution = conv2d.Conv2d(x=problem.x, weight=shared, bias=bias, stride=problem.stride, padding=problem.padding)
    return run(tied), run(convolution)


@law("LC-01, FC-01")
def a_unit_is_linear_on_its_window(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """A unit is a fully connected layer on its window, flattened in the order c, r, s."""
    n, k, height, width = problem.output_shape()
    i, j = pick.integer(0, height - 1), pick.integer(0, width - 1)
    (top, left), (r, s) = (i * problem.stride[0], j * problem.stride[1]), problem.weight.shape[4:]
    window = padded(problem.x, problem.padding, "zeros")[:, :, top : top + r, left : left + s]
    unit = Linear(
        x=contiguous(window).reshape(n, -1),
        weight=problem.weight[i, j].reshape(k, -1),
        bias=None if problem.bias is None else contiguous(problem.bias[:, i, j]),
    )
    return run(problem)[:, :, i, j], run(unit)


@law("LAW-C13, FC-02, FC-05")
def a_filter_as_large_as_the_image_is_linear(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """A single unit with filters of the image's size is a fully connected layer on the image flattened in the order
    c, h, w."""
    n, c, h, w = problem.x.shape
    k = problem.weight.shape[2]
    weight = np.resize(problem.weight, (1, 1, k, c, h, w))
    whole = type(problem)(x=problem.x, weight=weight)
    flat = Linear(x=problem.x.reshape(n, -1), weight=weight.reshape(k, -1))
    return run(whole), run(flat).rearranged(lambda a: a[:, :, None, None])


@law("LC-01")
def one_tap_picks_a_pixel(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """Filters with a single tap of 1, at another place for each unit, give the pixels there, bit for bit."""
    i, j, k = np.indices(problem.weight.shape[:3])
    channels, r, s = problem.weight.shape[3:]
    # Neighbours of a unit and its filters differ in channel and tap, as far as there are more than one.
    channel, tap = (i + j + k) % channels, (i * problem.weight.shape[1] + j + k + pick.integer(0, r * s - 1)) % (r * s)
    down, across = tap // s, tap % s
    weight = np.zeros_like(problem.weight)
    weight[i, j, k, channel, down, across] = 1
    whole = padded(np.asarray(problem.x, np.float64), problem.padding, "zeros")
    pixels = whole[:, channel, i * problem.stride[0] + down, j * problem.stride[1] + across]  # (N, I, J, K)
    single = problem.but(weight=weight, bias=None)
    return (run(single) if run.rounds_products else run.values(single)), pixels.transpose(0, 3, 1, 2)


@law("LAW-C7")
def stride_is_choosing_units(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """Stride (a, b) gives every a-th row and b-th column of a layer with stride 1 that has the same weights there,
    whatever the weights of its other units."""
    rows, columns = problem.stride
    if (rows, columns) == (1, 1):
        return None
    every = problem.fitted(stride=(1, 1))
    weight = np.array(every.weight)
    weight[::rows, ::columns] = problem.weight
    bias = None
    if every.bias is not None and problem.bias is not None:
        bias = np.array(every.bias)
        bias[:, ::rows, ::columns] = problem.bias
    return run(problem), run(every.but(weight=weight, bias=bias))[:, :, ::rows, ::columns]


@law("LAW-C9")
def padding_is_zeros(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """Padding gives what zeros written around the image by hand would give."""
    return run(problem), run(problem.but(x=padded(problem.x, problem.padding, "zeros"), padding=NONE))
