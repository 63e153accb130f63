"""Laws of convolution: linear in everything, indifferent to order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import sum_laws
from .conv2d_parts import contiguous, first_group
from .laws import order, small
from .op import Run, Sides, law
from .pick import Pick

if TYPE_CHECKING:
    from .conv2d import Conv2d

Tensor = npt.NDArray[Any]


linear_in_the_images = sum_laws.linear_in_the_images
linear_in_the_filters = sum_laws.linear_in_the_weights


@law("LAW-C3, CONV-11")
def bias_is_added_once(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """With a bias, each output element is larger by the bias of its filter, once."""
    bias = small(problem.weight[:, 0, 0, 0]) + np.asarray(3, problem.dtype)
    without = run(problem.but(bias=None))
    return run(problem.but(bias=bias)), without + np.asarray(bias, np.float64)[:, None, None]


@law("CONV-11")
def no_bias_is_a_bias_of_zero(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Leaving the bias out gives the same values as a bias of zeros."""
    zero = np.zeros(problem.weight.shape[0], problem.dtype)
    return run(problem.but(bias=None)), run(problem.but(bias=zero))


@law("LAW-C4, CONV-03")
def channels_add_up(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """The result is the sum of the results of each channel with its slice of the filter."""
    one = first_group(problem)
    c = one.x.shape[1]
    if c < 2:
        return None
    total = run(one.but(x=contiguous(one.x[:, :1]), weight=contiguous(one.weight[:, :1])))
    for k in range(1, c):
        total = total + run(one.but(x=contiguous(one.x[:, k : k + 1]), weight=contiguous(one.weight[:, k : k + 1])))
    return run(one), total


@law("CONV-04")
def filters_are_separate(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """An output channel depends on its own filter and bias alone: zeroing the other filters leaves it as it is."""
    k = pick.integer(0, problem.weight.shape[0] - 1)
    weight = np.zeros_like(problem.weight)
    weight[k] = problem.weight[k]
    bias = None
    if problem.bias is not None:
        bias = np.zeros_like(problem.bias)
        bias[k] = problem.bias[k]
    return run(problem)[:, k], run(problem.but(weight=weight, bias=bias))[:, k]


@law("LAW-C5")
def flipping_everything_flips_the_output(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """With image, filter and paddings reversed along both axes the output is reversed; true where no row or column
    is left over behind the last window."""
    stride = tuple(a.stride if a.slack == 0 else 1 for a in problem.axes)
    straight = problem.but(stride=stride)
    (top, bottom), (left, right) = problem.padding
    flipped = straight.but(
        x=contiguous(problem.x[:, :, ::-1, ::-1]),
        weight=contiguous(problem.weight[:, :, ::-1, ::-1]),
        padding=((bottom, top), (right, left)),
    )
    return run(flipped), run(straight)[:, :, ::-1, ::-1]


@law("LAW-C6")
def swapping_the_axes_swaps_the_output(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """With rows and columns exchanged in image, filter and every parameter, they are exchanged in the output."""
    swapped = problem.but(
        x=contiguous(problem.x.swapaxes(2, 3)),
        weight=contiguous(problem.weight.swapaxes(2, 3)),
        stride=problem.stride[::-1],
        padding=problem.padding[::-1],
        dilation=problem.dilation[::-1],
    )
    return run(swapped), run(problem).rearranged(lambda a: a.swapaxes(2, 3))


@law("LAW-C17")
def images_may_be_permuted(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Reordering the images of a batch reorders the outputs."""
    to = order(problem.x.shape[0], pick)
    return run(problem.but(x=contiguous(problem.x[to]))), run(problem)[to]


@law("LAW-C17")
def filters_may_be_permuted(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Reordering the filters of each group, with their biases, reorders the output channels."""
    k = problem.weight.shape[0] // problem.groups
    to = np.concatenate([g * k + order(k, pick) for g in range(problem.groups)])
    bias = None if problem.bias is None else problem.bias[to]
    return run(problem.but(weight=contiguous(problem.weight[to]), bias=bias)), run(problem)[:, to]


@law("LAW-C17")
def channels_may_be_permuted(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Reordering the channels within each group, of the images and of the filters alike, changes nothing."""
    c = problem.weight.shape[1]
    inner = order(c, pick)
    to = np.concatenate([g * c + inner for g in range(problem.groups)])
    return run(problem.but(x=contiguous(problem.x[:, to]), weight=contiguous(problem.weight[:, inner]))), run(problem)
