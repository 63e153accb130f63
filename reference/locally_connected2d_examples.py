"""Worked examples of the locally connected layer, and the legal edges of its domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .conv2d_parts import NONE, contiguous
from .examples import COUNTING, image, output
from .laws import without_pixels
from .op import STRICT, edge, example
from .pick import Pick

if TYPE_CHECKING:
    from .locally_connected2d import LocallyConnected2d

Worked = list[tuple[Any, npt.NDArray[np.float64]]]


def units(rows: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A matrix of filters (I, J, R, S) as weights of one filter and one channel."""
    return np.asarray(rows, np.float64)[:, :, None, None].astype(dtype)


@example("L025, LC-01")
def the_equations_before_sharing(cls: type[LocallyConnected2d], dtype: np.dtype[Any]) -> Worked:
    """The lecture's four equations on A..J = 1..9, each with weights and a bias of its own: 74 67 / 63 113. With equal
    ones, 2 3 5 7 and 11, they are those of the shared filter: 74 91 / 125 142."""
    own = [[[[2, 3], [5, 7]], [[1, 2], [3, 4]]], [[[3, 1], [0, 2]], [[4, 0], [1, 5]]]]
    bias = np.asarray([[[11, 20], [30, 40]]], np.float64).astype(dtype)
    x, shared = image(COUNTING, dtype), [[[[2, 3], [5, 7]]] * 2] * 2
    equal = cls(x=x, weight=units(shared, dtype), bias=np.full((1, 2, 2), 11.0).astype(dtype))
    return [
        (cls(x=x, weight=units(own, dtype), bias=bias), output([[74, 67], [63, 113]])),
        (equal, output([[74, 91], [125, 142]])),
    ]


@example("LC-06, E09, EQV-10")
def moving_the_image_does_not_move_the_output(cls: type[LocallyConnected2d], dtype: np.dtype[Any]) -> Worked:
    """Units with weights (1, 2), (3, 4), (5, 6): a pixel of 1 gives 2 3 0 in the second place and 0 4 5, not 0 2 3, in
    the third. A layer that is local need not be equivariant to shifts: that comes from sharing the weights."""
    weight = units([[[[1, 2]], [[3, 4]], [[5, 6]]]], dtype)
    places = ([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1])
    results = ([1, 0, 0], [2, 3, 0], [0, 4, 5], [0, 0, 6])
    return [(cls(x=image([x], dtype), weight=weight), output([y])) for x, y in zip(places, results, strict=True)]


@example("LC-01")
def units_lie_row_by_row(cls: type[LocallyConnected2d], dtype: np.dtype[Any]) -> Worked:
    """Filters of one tap multiply pixel by pixel: 1 2 3 / 4 5 6 by 7 8 9 / 10 11 12 is 7 16 27 / 40 55 72."""
    weight = np.asarray([[7, 8, 9], [10, 11, 12]], np.float64).reshape(2, 3, 1, 1, 1, 1).astype(dtype)
    return [(cls(x=image([[1, 2, 3], [4, 5, 6]], dtype), weight=weight), output([[7, 16, 27], [40, 55, 72]]))]


@example("LC-01")
def filters_channels_and_biases(cls: type[LocallyConnected2d], dtype: np.dtype[Any]) -> Worked:
    """Pixels (1, 3) and (2, 4) of two channels through the matrices (1 10 / 2 20) and (5 1 / 0 3), one for each: 31 62
    and 14 12, and more by 100 200 / 300 400."""
    x = np.asarray([1, 2, 3, 4], np.float64).reshape(1, 2, 1, 2).astype(dtype)
    weight = np.asarray([[1, 10, 2, 20], [5, 1, 0, 3]], np.float64).reshape(1, 2, 2, 2, 1, 1).astype(dtype)
    bias = np.asarray([100, 200, 300, 400], np.float64).reshape(2, 1, 2).astype(dtype)
    y = np.asarray([31, 14, 62, 12], np.float64).reshape(1, 2, 1, 2)
    problem = cls(x=x, weight=weight)
    return [(problem, y), (problem.but(bias=bias), y + np.reshape([100.0, 200, 300, 400], (2, 1, 2)))]


@example("LC-03, SHP-02")
def strides_and_paddings(cls: type[LocallyConnected2d], dtype: np.dtype[Any]) -> Worked:
    """The row 1..6 under pairs of taps: with stride 2, three units; with stride 3 and one zero on the left only,
    two, and two pixels are left over."""
    x = image([[1, 2, 3, 4, 5, 6]], dtype)
    three, two = units([[[[1, 1]], [[1, -1]], [[2, 0]]]], dtype), units([[[[9, 1]], [[1, 3]]]], dtype)
    return [
        (cls(x=x, weight=three, stride=(1, 2)), output([[3, -1, 10]])),
        (cls(x=x, weight=two, stride=(1, 3), padding=((0, 0), (1, 0))), output([[1, 15]])),
    ]


@example("CONV-15")
def padding_beyond_the_window(cls: type[LocallyConnected2d], dtype: np.dtype[Any]) -> Worked:
    """One pixel of 2 under rows of three taps with three zeros on either side has five units, of which the first and
    the last give their bias alone."""
    weight = units([[[[10 * u + 1, 10 * u + 2, 10 * u + 3]] for u in range(5)]], dtype)
    bias = np.arange(1.0, 6).reshape(1, 1, 5).astype(dtype)
    problem = cls(x=image([[2]], dtype), weight=weight, bias=bias, padding=((0, 0), (3, 3)))
    return [(problem, output([[1, 28, 47, 66, 5]]))]


@edge("GEN-14, CONV-16")
def an_empty_batch(cls: type[LocallyConnected2d], pick: Pick) -> LocallyConnected2d:
    """A batch of no images gives an output of no images with every other size as usual."""
    problem = cls.draw(pick)
    return problem.but(x=problem.x[:0])


@edge("LC-01")
def one_pixel(cls: type[LocallyConnected2d], pick: Pick) -> LocallyConnected2d:
    """An image of one pixel under a single unit with filters of one tap."""
    problem = cls.draw(pick)
    x, weight = contiguous(problem.x[:, :, :1, :1]), contiguous(problem.weight[..., :1, :1])
    return problem.fitted(x=x, weight=weight, padding=NONE)


@edge("CONV-15")
def windows_wholly_on_the_padding(cls: type[LocallyConnected2d], pick: Pick) -> LocallyConnected2d:
    """Zero padding longer than the filter: the outermost units give their bias."""
    problem = cls.draw(pick)
    sides = tuple((a.span + pick.integer(0, 2), a.span + pick.integer(0, 2)) for a in problem.axes)
    return problem.fitted(x=contiguous(problem.x[:, :, :3, :3]), padding=sides)


@edge("SHP-02")
def a_filter_as_large_as_the_padded_image(cls: type[LocallyConnected2d], pick: Pick) -> LocallyConnected2d:
    """Exactly one window fits on both axes, whatever the stride."""
    problem = cls.draw(pick)
    rows, columns = problem.axes
    x = np.resize(problem.x, (*problem.x.shape[:2], rows.span, columns.span))
    return problem.fitted(x=x, padding=NONE)


@edge("CONV-06")
def a_stride_beyond_the_filter(cls: type[LocallyConnected2d], pick: Pick) -> LocallyConnected2d:
    """A stride larger than the filter skips pixels."""
    problem = cls.draw(pick)
    rows, columns = problem.axes
    return problem.fitted(stride=(rows.span + 1 + pick.integer(0, 1), columns.span + 1 + pick.integer(0, 1)))


@edge("GEN-19", STRICT, may_refuse=True)
def no_channels(cls: type[LocallyConnected2d], pick: Pick) -> LocallyConnected2d:
    """Images without channels may be refused; accepted, they give the empty sum: the bias, or zero."""
    problem = cls.draw(pick)
    return problem.but(x=problem.x[:, :0], weight=problem.weight[:, :, :, :0])


@edge("GEN-23", STRICT, may_refuse=True)
def no_filters(cls: type[LocallyConnected2d], pick: Pick) -> LocallyConnected2d:
    """No filters may be refused; accepted, they give images without channels, of the usual size."""
    problem = cls.draw(pick)
    return problem.but(weight=problem.weight[:, :, :0], bias=None if problem.bias is None else problem.bias[:0])


@edge("GEN-23, CONV-15", STRICT, may_refuse=True)
def no_pixels(cls: type[LocallyConnected2d], pick: Pick) -> LocallyConnected2d:
    """Images without rows or columns, around which there are zeros enough for a window, may be refused; accepted, they
    give the biases, or zero."""
    problem = cls.draw(pick)
    axis = pick.integer(0, 1)
    x, padding = without_pixels(problem.x, axis, problem.padding, problem.axes[axis].span)
    return problem.fitted(x=x, padding=padding)
