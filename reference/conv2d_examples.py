"""Worked examples of convolution, most of them the lecture's, and the legal edges of its domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .examples import ANIMATION, COUNTING, CROSS, image, output
from .laws import small, without_pixels
from .op import STRICT, edge, example
from .pick import Pick

if TYPE_CHECKING:
    from .conv2d import Conv2d

Worked = list[tuple[Any, npt.NDArray[np.float64]]]
ONE = ((1, 1), (1, 1))


@example("L008, L009, CONV-19, CONV-18")
def the_animated_example(cls: type[Conv2d], dtype: np.dtype[Any]) -> Worked:
    """The lecture's 5x5 image and 3x3 filter give 4 3 4 / 2 4 3 / 2 3 4; with stride, padding and dilation
    accordingly."""
    x, weight = image(ANIMATION, dtype), image(CROSS, dtype)
    plain = cls(x=x, weight=weight)
    padded = [[2, 2, 3, 1, 1], [1, 4, 3, 4, 1], [1, 2, 4, 3, 3], [1, 2, 3, 4, 1], [0, 2, 2, 1, 1]]
    return [
        (plain, output([[4, 3, 4], [2, 4, 3], [2, 3, 4]])),
        (plain.but(stride=2), output([[4, 4], [2, 4]])),
        (plain.but(padding=1), output(padded)),
        (plain.but(padding=1, stride=2), output([[2, 3, 1], [1, 4, 3], [0, 2, 1]])),
        (plain.but(dilation=2), output([[2]])),
    ]


@example("CONV-19")
def padding_modes_on_the_animated_example(cls: type[Conv2d], dtype: np.dtype[Any]) -> Worked:
    """The animated example with one ring of reflected, replicated and circular padding."""
    plain = cls(x=image(ANIMATION, dtype), weight=image(CROSS, dtype), padding=ONE)
    reflect = [[5, 3, 5, 2, 4], [2, 4, 3, 4, 2], [2, 2, 4, 3, 5], [2, 2, 3, 4, 2], [0, 3, 3, 2, 4]]
    replicate = [[4, 4, 4, 2, 1], [2, 4, 3, 4, 2], [1, 2, 4, 3, 3], [1, 2, 3, 4, 2], [1, 3, 3, 2, 1]]
    circular = [[3, 3, 4, 2, 1], [2, 4, 3, 4, 2], [1, 2, 4, 3, 3], [2, 2, 3, 4, 1], [1, 4, 3, 2, 2]]
    return [
        (plain.but(padding_mode="reflect"), output(reflect)),
        (plain.but(padding_mode="replicate"), output(replicate)),
        (plain.but(padding_mode="circular"), output(circular)),
    ]


@example("CONV-19, E01, E03, CONV-01")
def the_filter_is_not_flipped(cls: type[Conv2d], dtype: np.dtype[Any]) -> Worked:
    """The filter 1..9 on the animated image gives 26 35 34 / 20 34 33 / 26 31 22; flipped it would give 34 35
    26 / ..."""
    plain = cls(x=image(ANIMATION, dtype), weight=image(COUNTING, dtype))
    return [(plain, output([[26, 35, 34], [20, 34, 33], [26, 31, 22]]))]


# The red channel and filters 2 and 3 are not printed in the lecture; they are those of the well-known animation, and
# the printed partial results 308, -498 and 164 confirm them.
RED = """156 155 156 158 158   153 154 157 159 159   149 151 155 158 159   146 146 149 153 158   145 143 143 148 158"""
GREEN = (
    """167 166 167 169 169   164 165 168 170 170   160 162 166 169 170   156 156 159 163 168   155 153 153 158 168"""
)
BLUE = """163 162 163 165 165   160 161 164 166 166   156 158 162 165 166   155 155 158 162 167   154 152 152 157 167"""
RGB_FILTERS = [
    [[-1, -1, 1], [0, 1, -1], [0, 1, 1]],
    [[1, 0, 0], [1, -1, -1], [1, 0, -1]],
    [[0, 1, 1], [0, 1, 0], [1, -1, 1]],
]


@example("L015, CONV-20")
def the_rgb_example(cls: type[Conv2d], dtype: np.dtype[Any]) -> Worked:
    """The lecture's colour image: the channels give 308, -498 and 164, with bias 1 the first output is -25."""
    x = np.array([channel.split() for channel in (RED, GREEN, BLUE)], np.float64).reshape(1, 3, 5, 5).astype(dtype)
    weight = np.asarray([RGB_FILTERS], np.float64).astype(dtype)
    corner = ((1, 0), (1, 0))
    together = cls(x=x, weight=weight, bias=np.ones(1, dtype), padding=corner)
    first = [308.0, -498.0, 164.0]
    cases: Worked = [
        (
            cls(x=x[:, c : c + 1, :2, :2], weight=weight[:, c : c + 1], padding=corner, stride=(2, 2)),
            output([[first[c]]]),
        )
        for c in range(3)
    ]
    block = [[-25, 466, 466, 475], [295, 787, 798, 812], [291, 776, 784, 800], [293, 771, 773, 782]]
    return [*cases, (together, output(block))]


@example("L024-L027, CONV-21")
def weight_sharing_equations(cls: type[Conv2d], dtype: np.dtype[Any]) -> Worked:
    """The lecture's four equations aA + bB + cD + dE + bias = P and so on, on A..J = 1..9 with filter 2 3 5 7,
    bias 11."""
    x = image([[1, 2, 3], [4, 5, 6], [7, 8, 9]], dtype)
    problem = cls(x=x, weight=image([[2, 3], [5, 7]], dtype), bias=np.full(1, 11.0).astype(dtype))
    return [(problem, output([[74, 91], [125, 142]]))]


@example("EQV-06")
def a_shift_that_is_no_multiple_of_the_stride(cls: type[Conv2d], dtype: np.dtype[Any]) -> Worked:
    """The difference of neighbours with stride 2: a row of pairs gives zeros, rolled by one pixel it does not."""
    row = np.array([0.0, 0, 1, 1, 0, 0, 1, 1, 0, 0])
    difference = image([[1, -1]], dtype)
    return [
        (cls(x=image([np.roll(row, k)], dtype), weight=difference, stride=(1, 2)), output([y]))
        for k, y in ((0, [0, 0, 0, 0, 0]), (1, [0, -1, 1, -1, 1]), (2, [0, 0, 0, 0, 0]))
    ]


@example("CONV-09")
def depthwise_with_a_multiplier(cls: type[Conv2d], dtype: np.dtype[Any]) -> Worked:
    """With as many groups as channels and two filters each, output 2c + m reads channel c: 1 2 3 4 times
    powers of ten."""
    x = np.asarray([1, 2, 3, 4], np.float64).reshape(1, 4, 1, 1).astype(dtype)
    powers = 10.0 ** np.arange(8)
    most = 2 if dtype.itemsize == 2 else 8  # beyond, 16-bit formats cannot hold the filters
    weight = np.minimum(powers, powers[most]) if most < 8 else powers
    y = weight * np.repeat([1.0, 2.0, 3.0, 4.0], 2)
    problem = cls(x=x, weight=weight.reshape(8, 1, 1, 1).astype(dtype), groups=4)
    return [(problem, y.reshape(1, 8, 1, 1))]


@example("L065, SHP-02, PAD-14")
def the_lectures_output_size(cls: type[Conv2d], dtype: np.dtype[Any]) -> Worked:
    """m = floor((n + 2p - f)/S) + 1: ones under a filter of ones, where each output counts the pixels in its window."""
    cases: Worked = []
    for n, p, f, stride, m in ((5, 0, 3, 1, 3), (5, 1, 3, 1, 5), (5, 1, 3, 2, 3), (7, 0, 3, 3, 2), (6, 0, 3, 2, 2),
                               (32, 0, 5, 1, 28), (28, 0, 2, 2, 14)):  # fmt: skip
        starts = np.arange(m) * stride - p
        pixels = np.minimum(starts + f, n) - np.maximum(starts, 0)
        problem = cls(x=image(np.ones((n, n)), dtype), weight=image(np.ones((f, f)), dtype))
        problem = problem.but(stride=stride, padding=p)
        cases.append((problem, output(np.outer(pixels, pixels))))
    return cases


@example("CONV-15")
def padding_beyond_the_window(cls: type[Conv2d], dtype: np.dtype[Any]) -> Worked:
    """One pixel under a row of three taps with five zeros on either side gives nine outputs, the outermost the bias."""
    x, weight = image([[2]], dtype), image([[1, 2, 3]], dtype)
    problem = cls(x=x, weight=weight, bias=np.full(1, 7.0).astype(dtype), padding=((0, 0), (5, 5)))
    return [(problem, output([[7, 7, 7, 13, 11, 9, 7, 7, 7]]))]


@edge("GEN-14, CONV-16")
def an_empty_batch(cls: type[Conv2d], pick: Pick) -> Conv2d:
    """A batch of no images gives an output of no images with every other size as usual."""
    problem = cls.draw(pick)
    return problem.but(x=problem.x[:0])


@edge("CONV-10")
def one_pixel(cls: type[Conv2d], pick: Pick) -> Conv2d:
    """An image of one pixel under a filter of one tap."""
    problem = cls.draw(pick)
    return problem.but(
        x=np.array(problem.x[:, :, :1, :1], order="C"),
        weight=np.array(problem.weight[:, :, :1, :1], order="C"),
        padding=((0, 0), (0, 0)),
    )


@edge("CONV-15")
def windows_wholly_on_the_padding(cls: type[Conv2d], pick: Pick) -> Conv2d:
    """Zero padding longer than the dilated filter: the outermost outputs are the bias alone."""
    problem = cls.draw(pick)
    rows, columns = problem.axes
    sides = tuple((w.span + pick.integer(0, 2), w.span + pick.integer(0, 2)) for w in (rows, columns))
    return problem.but(padding=sides, padding_mode="zeros")


@edge("SHP-02")
def a_filter_as_large_as_the_padded_image(cls: type[Conv2d], pick: Pick) -> Conv2d:
    """Exactly one window fits on both axes, whatever the stride."""
    problem = cls.draw(pick)
    rows, columns = problem.axes
    x = np.resize(problem.x, (*problem.x.shape[:2], rows.span, columns.span))
    return problem.but(x=x, padding=((0, 0), (0, 0)), padding_mode="zeros")


@edge("CONV-06")
def a_stride_beyond_the_filter(cls: type[Conv2d], pick: Pick) -> Conv2d:
    """A stride larger than the filter skips pixels."""
    problem = cls.draw(pick)
    rows, columns = problem.axes
    return problem.but(stride=(rows.span + 1 + pick.integer(0, 1), columns.span + 1 + pick.integer(0, 1)))


@edge("PAD-03, PAD-05")
def padding_at_its_limit(cls: type[Conv2d], pick: Pick) -> Conv2d:
    """Reflect padding of n-1 and circular padding of n are the most that is allowed, and allowed."""
    problem = cls.draw(pick)
    mode = pick.one_of(("reflect", "circular"))
    less = 1 if mode == "reflect" else 0
    h, w = problem.x.shape[2:]
    x = small(problem.x[:, :, : min(h, 6), : min(w, 6)])
    h, w = x.shape[2:]
    rows, columns = problem.axes
    dense = tuple(1 if 3 * n - 2 * less < a.span else a.dilation for n, a in ((h, rows), (w, columns)))
    weight = problem.weight[:, :, : 3 * h - 2 * less, : 3 * w - 2 * less]
    return problem.but(
        x=x,
        weight=np.array(weight, order="C"),
        padding=((h - less, h - less), (w - less, w - less)),
        padding_mode=mode,
        dilation=dense,
    )


@edge("CONV-09")
def depthwise_filters(cls: type[Conv2d], pick: Pick) -> Conv2d:
    """As many groups as channels and one, two or three filters of several taps for each of them."""
    problem = cls.draw(pick)
    c, filters = problem.x.shape[1] + 1, pick.integer(1, 3)
    rows, columns = problem.axes
    x = np.resize(problem.x, (problem.x.shape[0], c, *problem.x.shape[2:]))
    weight = np.resize(problem.weight, (c * filters, 1, rows.taps, columns.taps))
    return problem.but(x=x, weight=weight, bias=None, groups=c)


@edge("CONV-08")
def one_tap_and_as_many_filters_as_channels(cls: type[Conv2d], pick: Pick) -> Conv2d:
    """A 1x1 filter that is a square matrix: its rows are the filters and its columns the channels."""
    problem = cls.draw(pick)
    c = problem.x.shape[1] + 1
    x = np.resize(problem.x, (problem.x.shape[0], c, *problem.x.shape[2:]))
    weight = np.resize(problem.weight, (c, c, 1, 1))
    return problem.but(x=x, weight=weight, bias=None, groups=1)


@edge("L018")
def one_pixel_outshines_the_rest(cls: type[Conv2d], pick: Pick) -> Conv2d:
    """A pixel far brighter than the others, at one end of a long image: only the windows that hold it may be off by its
    rounding, or those near it where a transform of tiles is declared."""
    c, k, short, long = pick.integer(1, 2), pick.integer(1, 2), pick.integer(3, 5), 64 + pick.integer(0, 16)
    random = np.random.default_rng(pick.seed())
    x, weight = random.standard_normal((1, c, short, long)), random.standard_normal((k, c, 3, 3))
    x[0, 0, pick.integer(0, 2), pick.integer(0, 3)] = 2.0**10 if pick.dtype == np.float16 else 2.0**40
    x = x if pick.flag() else np.array(x.swapaxes(2, 3), order="C")
    return cls(x=x.astype(pick.dtype), weight=weight.astype(pick.dtype))


@edge("GEN-19", STRICT, may_refuse=True)
def no_channels(cls: type[Conv2d], pick: Pick) -> Conv2d:
    """Images without channels may be refused; accepted, they give the empty sum: the bias, or zero."""
    problem = cls.draw(pick)
    k = problem.weight.shape[0]
    return problem.but(x=problem.x[:, :0], weight=problem.weight[: max(k, 1), :0], groups=1)


@edge("GEN-23", STRICT, may_refuse=True)
def no_filters(cls: type[Conv2d], pick: Pick) -> Conv2d:
    """No filters may be refused; accepted, they give images without channels, of the usual size."""
    problem = cls.draw(pick)
    return problem.but(weight=problem.weight[:0], bias=None if problem.bias is None else problem.bias[:0])


@edge("GEN-23, CONV-15", STRICT, may_refuse=True)
def no_pixels(cls: type[Conv2d], pick: Pick) -> Conv2d:
    """Images without rows or columns, around which there are zeros enough for a window, may be refused; accepted, they
    give the bias, or zero."""
    problem = cls.draw(pick)
    axis = pick.integer(0, 1)
    x, padding = without_pixels(problem.x, axis, problem.padding, problem.axes[axis].span)
    return problem.but(x=x, padding=padding, padding_mode="zeros")
