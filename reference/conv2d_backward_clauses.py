"""Clauses of the gradients of convolution: what they equal, groups, padding, stride and holes, worked examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .backward import joined
from .conv2d import Conv2d
from .conv2d_parts import NONE, contiguous
from .examples import ANIMATION, COUNTING, image, output
from .laws import zero_stuffed
from .measured import Measured, concatenate
from .op import Run, Sides, example, law
from .pad2d import padded, source_index
from .pick import Pick

if TYPE_CHECKING:
    from .conv2d_backward import Conv2dBackward

Tensor = npt.NDArray[Any]
Worked = list[tuple[Any, tuple[npt.NDArray[np.float64] | None, ...]]]


@law("BWD-01, CONV-08")
def groups_are_separate(problem: Conv2dBackward, run: Run, pick: Pick) -> Sides | None:
    """The gradients of a group alone are its part of the gradients."""
    if problem.groups < 2:
        return None
    c, k = problem.weight.shape[1], problem.weight.shape[0] // problem.groups
    at = pick.integer(0, problem.groups - 1)
    channels, filters = slice(at * c, at * c + c), slice(at * k, at * k + k)
    alone = problem.but(
        x=contiguous(problem.x[:, channels]),
        weight=problem.weight[filters],
        bias=None if problem.bias is None else problem.bias[filters],
        grad_output=contiguous(problem.grad_output[:, filters]),
        groups=1,
    )
    part = {name: one[:, channels] if name == "grad_x" else one[filters] for name, one in run.outputs(problem).items()}
    return joined(run.outputs(alone)), joined(part)


@law("BWD-07")
def the_border_folds_back(problem: Conv2dBackward, run: Run, pick: Pick) -> Sides | None:
    """grad_x is that of the image padded by hand, the border cut off or, in a mode that copies elements into it, each
    added to the element that it copies."""
    by_hand = problem.but(
        x=padded(problem.x, problem.padding, problem.padding_mode), padding=NONE, padding_mode="zeros"
    )
    grad = run(by_hand)
    for axis, sides in enumerate(problem.padding):
        source = source_index(problem.x.shape[2 + axis], *sides, problem.padding_mode)
        grad = _folded(grad, 2 + axis, source, problem.x.shape[2 + axis])
    return run(problem), grad


def _folded(grad: Measured, axis: int, source: npt.NDArray[np.int64], length: int) -> Measured:
    rows = grad.rearranged(lambda a: np.moveaxis(a, axis, 0))
    none = Measured(np.zeros(rows.shape[1:]))
    sums = []
    for element in range(length):
        copies = np.flatnonzero(source == element)
        sums.append((rows[copies].sum(0) if copies.size else none).rearranged(lambda a: a[None]))
    return concatenate(sums, 0).rearranged(lambda a: np.moveaxis(a, 0, axis))


@law("BWD-07, CONV-05")
def gradients_of_filters_see_the_padded_image(problem: Conv2dBackward, run: Run, pick: Pick) -> Sides | None:
    """grad_weight is that of the image padded by hand."""
    by_hand = problem.but(
        x=padded(problem.x, problem.padding, problem.padding_mode), padding=NONE, padding_mode="zeros"
    )
    return run.outputs(problem)["grad_weight"], run.outputs(by_hand)["grad_weight"]


@law("BWD-08, CONV-06")
def stride_is_zero_stuffing(problem: Conv2dBackward, run: Run, pick: Pick) -> Sides | None:
    """Stride (a, b) gives the gradients of stride 1 for grad_output at every a-th row and b-th column, zero
    elsewhere."""
    dense = problem.forward.but(stride=(1, 1))
    rows, columns = problem.stride
    grad = np.zeros(dense.output_shape(), problem.dtype)
    grad[:, :, ::rows, ::columns] = problem.grad_output
    return joined(run.outputs(problem)), joined(run.outputs(problem.but(stride=(1, 1), grad_output=grad)))


@law("BWD-08, CONV-07")
def dilation_is_zero_stuffing(problem: Conv2dBackward, run: Run, pick: Pick) -> Sides | None:
    """Dilation d gives the gradients of a dense filter with d-1 zeros between its taps, at the taps themselves."""
    stuffed = problem.but(weight=zero_stuffed(problem.weight, problem.dilation), dilation=(1, 1))
    rows, columns = problem.dilation
    dense = run.outputs(stuffed)
    dense["grad_weight"] = dense["grad_weight"][:, :, ::rows, ::columns]
    return joined(run.outputs(problem)), joined(dense)


def _first_group(problem: Conv2dBackward) -> Conv2dBackward:
    c, k = problem.weight.shape[1], problem.weight.shape[0] // problem.groups
    return problem.but(
        x=contiguous(problem.x[:, :c]),
        weight=problem.weight[:k],
        bias=None,
        grad_output=contiguous(problem.grad_output[:, :k]),
        groups=1,
    )


@law("BWD-09, LAW-C16, SHP-09")
def the_gradient_of_the_image_is_a_convolution(problem: Conv2dBackward, run: Run, pick: Pick) -> Sides | None:
    """With padding of zeros, grad_x is the convolution of grad_output, zeros stuffed between its elements and around
    it, with the filters flipped and their channels exchanged for their numbers."""
    one = _first_group(problem).but(padding_mode="zeros")
    spread = zero_stuffed(one.grad_output, one.stride)
    rows, columns = ((a.span - 1, a.span - 1 + a.slack) for a in one.forward.axes)
    flipped = contiguous(one.weight[:, :, ::-1, ::-1].swapaxes(0, 1))
    full = run(Conv2d(x=spread, weight=flipped, padding=(rows, columns), dilation=one.dilation))
    (top, _), (left, _) = one.padding
    h, w = one.x.shape[2:]
    return run(one), full[:, :, top : top + h, left : left + w]


@law("BWD-09")
def the_gradient_of_the_filters_is_a_convolution(problem: Conv2dBackward, run: Run, pick: Pick) -> Sides | None:
    """grad_weight is the convolution of the images with grad_output as filters, images and channels exchanged, stride
    and dilation exchanged."""
    one = _first_group(problem)
    rows, columns = one.weight.shape[2:]
    full = run(
        Conv2d(
            x=contiguous(one.x.swapaxes(0, 1)),
            weight=contiguous(one.grad_output.swapaxes(0, 1)),
            stride=one.dilation,
            padding=one.padding,
            padding_mode=one.padding_mode,
            dilation=one.stride,
        )
    )
    exchanged = full.rearranged(lambda a: a.swapaxes(0, 1)[:, :, :rows, :columns])
    return run.outputs(one)["grad_weight"], exchanged


@example("BWD-01, CONV-19")
def the_animated_example(cls: Any, dtype: np.dtype[Any]) -> Worked:
    """The lecture's 5x5 image, the filter 1..9 and the gradient 1 0 2 / 0 -1 0 / 3 0 1; the same with stride 2."""
    x, weight = image(ANIMATION, dtype), image(COUNTING, dtype)
    plain = cls(x=x, weight=weight, grad_output=image([[1, 0, 2], [0, -1, 0], [3, 0, 1]], dtype))
    grad_x = [[1, 2, 5, 4, 6], [4, 4, 12, 7, 12], [10, 10, 28, 12, 21], [12, 8, 14, -4, 6], [21, 24, 34, 8, 9]]
    strided = plain.but(stride=2, bias=np.zeros(1, dtype), grad_output=image([[1, 2], [0, -1]], dtype))
    strided_x = [[1, 2, 5, 4, 6], [4, 5, 14, 10, 12], [7, 8, 22, 14, 15], [0, 0, -4, -5, -6], [0, 0, -7, -8, -9]]
    return [
        (plain, (output(grad_x), output([[3, 1, 4], [3, 3, 3], [3, 4, 5]]), None)),
        (strided, (output(strided_x), output([[2, 0, 0], [1, 2, 1], [1, 2, 3]]), np.array([2.0]))),
    ]


@example("BWD-07")
def what_the_border_copies(cls: Any, dtype: np.dtype[Any]) -> Worked:
    """One row 1 2 3 with two columns of padding on the left and one on the right, filter 1 10, gradient 1 2 3 4 5: the
    padded gradient is 1 12 23 34 45 50, folded as each mode copies."""
    x, weight = image([[1, 2, 3]], dtype), image([[1, 10]], dtype)
    plain = cls(x=x, weight=weight, padding=((0, 0), (2, 1)), grad_output=image([[1, 2, 3, 4, 5]], dtype))
    modes = {"zeros": [23, 34, 45], "replicate": [36, 34, 95], "reflect": [23, 96, 46], "circular": [73, 35, 57]}
    seen = {"zeros": [26, 20], "replicate": [29, 36], "reflect": [33, 32], "circular": [34, 28]}
    return [(plain.but(padding_mode=mode), (output([modes[mode]]), output([seen[mode]]), None)) for mode in modes]
