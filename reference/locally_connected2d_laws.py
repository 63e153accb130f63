"""Laws of the locally connected layer: linear in everything, indifferent to order, each unit by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import sum_laws
from .conv2d_parts import NONE, contiguous
from .laws import enlarged, order, small
from .measured import Measured
from .op import Run, Sides, law
from .pick import Pick

if TYPE_CHECKING:
    from .locally_connected2d import LocallyConnected2d

Tensor = npt.NDArray[Any]


linear_in_the_images = sum_laws.linear_in_the_images
linear_in_the_weights = sum_laws.linear_in_the_weights
nan_reaches_every_unit_that_sees_it = sum_laws.nan_reaches_every_output_that_sees_it
nan_reaches_no_other_unit = sum_laws.nan_reaches_no_other_output


@law("LAW-C3, LC-01")
def bias_is_added_once(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """With a bias, each output element is larger by the bias of its filter and unit, once."""
    bias = small(contiguous(problem.weight[..., 0, 0, 0].transpose(2, 0, 1))) + np.asarray(3, problem.dtype)
    return run(problem.but(bias=bias)), run(problem.but(bias=None)) + np.asarray(bias, np.float64)


@law("LC-01")
def no_bias_is_a_bias_of_zero(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """Leaving the bias out gives the same values as a bias of zeros."""
    zero = np.zeros(problem.output_shape()[1:], problem.dtype)
    return run(problem.but(bias=None)), run(problem.but(bias=zero))


@law("LAW-C4")
def channels_add_up(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """Without a bias, the result is the sum of the results of some channels, with their slices of the weights, and of
    the others."""
    plain = problem.but(bias=None)
    if problem.x.shape[1] < 2:
        return None
    c = pick.integer(1, problem.x.shape[1] - 1)
    first = plain.but(x=contiguous(plain.x[:, :c]), weight=contiguous(plain.weight[:, :, :, :c]))
    rest = plain.but(x=contiguous(plain.x[:, c:]), weight=contiguous(plain.weight[:, :, :, c:]))
    return run(plain), run(first) + run(rest)


@law("LC-01, L018")
def a_units_weights_act_there_alone(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """With the weights of every other unit zero, a unit gives what it gave, and the others give their bias."""
    height, width = problem.weight.shape[:2]
    i, j = pick.integer(0, height - 1), pick.integer(0, width - 1)
    weight = np.zeros_like(problem.weight)
    weight[i, j] = problem.weight[i, j]
    whole = run(problem)
    here = np.zeros(whole.shape, bool)
    here[:, :, i, j] = True
    bias = 0.0 if problem.bias is None else np.asarray(problem.bias, np.float64)
    due = Measured(np.where(here, whole.value, bias), np.where(here, whole.tolerance, 0.0))
    return run(problem.but(weight=weight)), due


@law("LC-01, L018, RF-01")
def a_unit_sees_its_window_alone(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """Whatever stands outside the window of a unit, in the same image, its output is the same."""
    height, width = problem.weight.shape[:2]
    i, j = pick.integer(0, height - 1), pick.integer(0, width - 1)
    rows, columns = (axis.positions[at][axis.inside[at]] for axis, at in zip(problem.axes, (i, j), strict=True))
    seen = np.zeros(problem.x.shape[2:], bool)
    seen[rows[:, None], columns] = True
    if seen.all():
        return None
    x = np.where(seen, problem.x, small(problem.x) + np.asarray(3, problem.dtype))
    return run(problem.but(x=x))[:, :, i, j], run(problem)[:, :, i, j]


@law("EQV-02, LC-01")
def cropping_the_image_crops_the_units(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """Without padding, cutting a*stride rows and b*stride columns off the image, and with them the first a rows and
    b columns of units, cuts a rows and b columns off the output."""
    rows, columns = problem.stride
    whole, (a, b) = _larger(problem, 2), (pick.integer(0, 2), pick.integer(0, 2))
    part = whole.but(
        x=contiguous(whole.x[:, :, a * rows :, b * columns :]),
        weight=contiguous(whole.weight[a:, b:]),
        bias=None if whole.bias is None else contiguous(whole.bias[:, a:, b:]),
    )
    return run(part), run(whole)[:, :, a:, b:]


@law("LC-06, E09, EQV-10")
def a_shift_shows_how_neighbours_differ(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """Without padding and bias, what a unit gives less what its neighbour gives for the image moved there is what the
    difference of their weights gives: it is zero, as if shifting the image shifted the output, only for equal
    weights."""
    rows, columns = problem.stride
    whole = _larger(problem.but(x=small(problem.x), bias=None), 1)
    whole = whole.but(weight=small(whole.weight))
    a, b = pick.one_of(((1, 0), (0, 1), (1, 1)))
    moved = whole.but(x=contiguous(whole.x[:, :, a * rows :, b * columns :]), weight=contiguous(whole.weight[a:, b:]))
    height, width = moved.weight.shape[:2]
    neighbours = contiguous(whole.weight[:height, :width])
    here, there = run(whole)[:, :, a:, b:], run(moved.but(weight=neighbours))
    return here - there, run(moved.but(weight=moved.weight - neighbours))


@law("LAW-C5")
def flipping_everything_flips_the_output(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """With images, units, filters and paddings reversed along both axes the output is reversed; true where no row or
    column is left over behind the last window."""
    flush = tuple((a.before, a.after + -a.slack % a.stride) for a in problem.axes)
    straight = problem.fitted(padding=flush)
    flipped = straight.but(
        x=contiguous(straight.x[:, :, ::-1, ::-1]),
        weight=contiguous(straight.weight[::-1, ::-1, :, :, ::-1, ::-1]),
        bias=None if straight.bias is None else contiguous(straight.bias[:, ::-1, ::-1]),
        padding=tuple((after, before) for before, after in flush),
    )
    return run(flipped), run(straight)[:, :, ::-1, ::-1]


@law("LAW-C6")
def swapping_the_axes_swaps_the_output(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """With rows and columns exchanged in images, units, filters and every parameter, they are exchanged in the
    output."""
    swapped = problem.but(
        x=contiguous(problem.x.swapaxes(2, 3)),
        weight=contiguous(problem.weight.transpose(1, 0, 2, 3, 5, 4)),
        bias=None if problem.bias is None else contiguous(problem.bias.swapaxes(1, 2)),
        stride=problem.stride[::-1],
        padding=problem.padding[::-1],
    )
    return run(swapped), run(problem).rearranged(lambda a: a.swapaxes(2, 3))


@law("LAW-C17")
def images_may_be_permuted(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """Reordering the images of a batch reorders the outputs."""
    to = order(problem.x.shape[0], pick)
    return run(problem.but(x=contiguous(problem.x[to]))), run(problem)[to]


@law("LAW-C17")
def filters_may_be_permuted(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """Reordering the filters of every unit, with their biases, reorders the output channels."""
    to = order(problem.weight.shape[2], pick)
    bias = None if problem.bias is None else contiguous(problem.bias[to])
    return run(problem.but(weight=contiguous(problem.weight[:, :, to]), bias=bias)), run(problem)[:, to]


@law("LAW-C17")
def channels_may_be_permuted(problem: LocallyConnected2d, run: Run, pick: Pick) -> Sides | None:
    """Reordering the channels of the images and of the filters alike changes nothing."""
    to = order(problem.x.shape[1], pick)
    mixed = problem.but(x=contiguous(problem.x[:, to]), weight=contiguous(problem.weight[:, :, :, to]))
    return run(mixed), run(problem)


def _larger(problem: LocallyConnected2d, more: int) -> LocallyConnected2d:
    """The layer without padding, on images of at least so many more windows than one on both axes."""
    rows, columns = problem.axes
    x = enlarged(problem.x, rows.span + more * rows.stride, columns.span + more * columns.stride)
    return problem.fitted(x=x, padding=NONE)
