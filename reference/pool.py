"""What the two poolings share: their geometry, the rules of their domain, the laws that hold for both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from . import rules
from .laws import enlarged, order
from .op import STRICT, Run, Sides, edge, law, rule
from .pad2d import padded
from .pick import Pick
from .window import SAME, STRETCHED, WIDE, Window, thrifty, usual_along

Array = npt.NDArray[np.float64]
Tensor = npt.NDArray[Any]
Pool = Any  # MaxPool2d or AvgPool2d: fields x, kernel_size, stride, padding, ceil_mode, and dilation for the first
NONE = ((0, 0), (0, 0))


def axes(problem: Pool) -> tuple[Window, Window]:
    """The windows along the rows and along the columns."""
    dilation = getattr(problem, "dilation", (1, 1))
    rows, columns = (
        Window(
            problem.x.shape[2 + a],
            problem.kernel_size[a],
            problem.stride[a],
            dilation[a],
            problem.padding[a][0],
            problem.padding[a][1],
            problem.ceil_mode,
        )
        for a in (0, 1)
    )
    return rows, columns


def filled(problem: Pool, value: float) -> Array:
    """x in float64 with `value` around it, as far as the last window reaches."""
    sides = []
    for axis in problem.axes:
        reach = (axis.count - 1) * axis.stride + axis.span - axis.padded
        sides.append((axis.before, axis.after + max(reach, 0)))
    x = np.asarray(problem.x, np.float64)
    return np.pad(x, ((0, 0), (0, 0), *sides), constant_values=value)


def output_shape(problem: Pool) -> tuple[int, ...]:
    rows, columns = problem.axes
    return (*problem.x.shape[:2], rows.count, columns.count)


def draw(pick: Pick, dilated: bool) -> dict[str, Any]:
    """The fields of a valid pooling. A third of them stay within half a window of symmetric padding, the domain of
    some libraries."""
    usual = pick.one_of(("", "patchify", "3x3 strided", *SAME), (68, 13, 5, 5, 3, 3, 3))
    large = pick.flag(0.08)
    long = pick.one_of(("", "rows", "columns"), (84, 8, 8))
    n = pick.integer(1, 3)
    c = pick.one_of(STRETCHED) if large else pick.integer(1, 4, unlike=(n,))
    ceil_mode, tame = pick.flag(0.4), pick.flag(0.34)
    windows: list[Window] = []
    for name, sizes in (("rows", STRETCHED), ("columns", WIDE)):
        unlike, stretch = (n, c, *(w.length for w in windows)), sizes if long == name else ()
        drawn = Window.draw(pick, unlike=unlike, stretch=stretch, dilated=dilated, usual=usual_along(usual, name))
        windows.append(_holding_input(drawn, ceil_mode, tame))
    wanted = "channels" * large + long
    n, c, _, *windows = thrifty(pick.budget, n, c, 1, windows[0], windows[1], wanted)
    rows, columns = (_holding_input(axis, ceil_mode, False) for axis in windows)
    data = pick.data(rows.taps * columns.taps)
    fields = {
        "x": data.array((n, c, rows.length, columns.length)),
        "kernel_size": (rows.taps, columns.taps),
        "stride": (rows.stride, columns.stride),
        "padding": ((rows.before, rows.after), (columns.before, columns.after)),
        "ceil_mode": ceil_mode,
    }
    return fields | ({"dilation": (rows.dilation, columns.dilation)} if dilated else {})


def _holding_input(drawn: Window, ceil: bool, tame: bool) -> Window:
    """With less padding, or a longer input, until every window holds some of it."""
    if tame:
        half = min(drawn.before, drawn.taps // 2)
        drawn = replace(drawn, before=half, after=half)
    axis = replace(drawn, ceil=ceil)
    while not (axis.fits and axis.holds_input()):
        most = max(axis.before, axis.after)
        if not axis.fits or not most:
            axis = replace(axis, length=axis.length + 1)
        elif tame:
            axis = replace(axis, before=most - 1, after=most - 1)
        else:
            axis = replace(axis, before=min(axis.before, most - 1), after=min(axis.after, most - 1))
    return axis


# The rules of the domain.


def _parameters(problem: Pool) -> tuple[str, ...]:
    return ("kernel_size", "stride", "padding", *(("dilation",) if hasattr(problem, "dilation") else ()))


@rule(lambda problem, pick: rules.drop_axis(problem, pick, "x"), source="GEN-01")
def x_has_four_axes(problem: Pool) -> bool:
    """x has the four axes N, C, H, W."""
    return rules.ranks(problem, x=4)


@rule(lambda problem, pick: rules.wrong_length(problem, pick, *_parameters(problem)), STRICT, "MAXP-15, GEN-02")
def parameters_are_pairs(problem: Pool) -> bool:
    """kernel_size, stride and dilation are (rows, columns) and padding is ((top, bottom), (left, right))."""
    return rules.are_pairs(problem, *_parameters(problem))


@rule(lambda problem, pick: rules.fractional(problem, pick, *_parameters(problem)), STRICT, "MAXP-15")
def parameters_are_whole(problem: Pool) -> bool:
    """kernel_size, stride, padding and dilation are whole numbers."""
    return rules.are_whole(problem, *_parameters(problem))


@rule(
    lambda problem, pick: rules.with_number(problem, pick, pick.one_of((0, -1)), "kernel_size"),
    STRICT,
    "MAXP-15, AVGP-09",
)
def kernel_size_is_positive(problem: Pool) -> bool:
    """A window has at least one row and one column."""
    return bool(min(problem.kernel_size) >= 1)


@rule(
    lambda problem, pick: rules.with_number(problem, pick, pick.one_of((0, -1)), "stride"), STRICT, "MAXP-15, AVGP-09"
)
def stride_is_positive(problem: Pool) -> bool:
    """Both strides are at least 1."""
    return bool(min(problem.stride) >= 1)


@rule(lambda problem, pick: rules.with_number(problem, pick, -1, "padding"), STRICT, "MAXP-15, AVGP-09")
def padding_is_not_negative(problem: Pool) -> bool:
    """No padding is negative; padding does not crop."""
    return bool(min(rules.flat(problem, "padding")) >= 0)


@rule(lambda problem, pick: _too_small(problem, pick), STRICT, "SHP-06, GEN-15")
def a_window_fits(problem: Pool) -> bool:
    """The padded image is at least as long as the dilated window on both axes, rounded up or down."""
    return all(axis.fits for axis in problem.axes)


@rule(lambda problem, pick: _window_off_the_image(problem, pick), STRICT, "MAXP-08")
def every_window_holds_input(problem: Pool) -> bool:
    """No window lies on padding alone: it would have nothing to take a maximum or a mean of."""
    return all(axis.holds_input() for axis in problem.axes)


def _too_small(problem: Pool, pick: Pick) -> Pool:
    axis = pick.integer(0, 1)
    span = problem.axes[axis].span
    padding = list(problem.padding)
    padding[axis] = (0, 0)
    kernel = list(problem.kernel_size)
    x = problem.x[:, :, : span - 1] if axis == 0 else problem.x[:, :, :, : span - 1]
    if span == 1:  # a window of one element: make it one longer than the image instead
        kernel[axis] = problem.x.shape[2 + axis] + 1
        x = problem.x
    return problem.but(x=np.array(x, order="C"), padding=tuple(padding), kernel_size=tuple(kernel))


def _window_off_the_image(problem: Pool, pick: Pick) -> Pool:
    if (
        hasattr(problem, "dilation") and pick.flag()
    ):  # two taps astride a single pixel: padding of half a window suffices
        x = np.array(problem.x[:, :, :1, :1], order="C")
        return problem.but(x=x, kernel_size=(2, 1), padding=((1, 1), (0, 0)), dilation=(2, 1))
    axis = pick.integer(0, 1)
    span = problem.axes[axis].span
    padding = list(problem.padding)
    padding[axis] = (span + pick.integer(0, 1), problem.padding[axis][1])
    return problem.but(padding=tuple(padding))


# The laws that hold for both.


@law("LAW-P18")
def images_and_channels_may_be_permuted(problem: Pool, run: Run, pick: Pick) -> Sides | None:
    """Reordering images and channels reorders the output and changes nothing else."""
    n, c = order(problem.x.shape[0], pick), order(problem.x.shape[1], pick)
    mixed = problem.but(x=np.array(problem.x[n[:, None], c], order="C"))
    return run(mixed), run(problem)[n[:, None], c]


@law("MAXP-03")
def channels_are_separate(problem: Pool, run: Run, pick: Pick) -> Sides | None:
    """A channel's output is that of the channel alone."""
    c = pick.integer(0, problem.x.shape[1] - 1)
    return run(problem.but(x=np.array(problem.x[:, c : c + 1], order="C"))), run(problem)[:, c : c + 1]


@law("LAW-P10")
def stride_is_subsampling(problem: Pool, run: Run, pick: Pick) -> Sides | None:
    """Rounded down, stride (a, b) gives every a-th row and every b-th column of the result with stride 1."""
    down = problem.but(ceil_mode=False)
    rows, columns = problem.stride
    dense = down.but(stride=(1, 1))
    if dense.broken_rules():
        return None
    return run(down), run(dense)[:, :, ::rows, ::columns]


@law("LAW-P6")
def pooling_an_enlarged_result_gives_it_back(problem: Pool, run: Run, pick: Pick) -> Sides | None:
    """With windows side by side and no padding: pool, repeat each value over its window, pool again: the
    result is the same."""
    k = problem.kernel_size
    dense = {"dilation": (1, 1)} if hasattr(problem, "dilation") else {}
    once = problem.but(x=enlarged(problem.x, *k), stride=k, padding=NONE, ceil_mode=False, **dense)
    y = run.values(once)
    spread = np.repeat(np.repeat(y, k[0], axis=2), k[1], axis=3).astype(problem.dtype)
    return run(once.but(x=spread)), y


@law("LAW-P11, SHP-05")
def rounding_up_only_adds_windows(problem: Pool, run: Run, pick: Pick) -> Sides | None:
    """The result rounded down is the leading block of the result rounded up."""
    down = problem.but(ceil_mode=False)
    up = problem.but(ceil_mode=True)
    if up.broken_rules() or down.broken_rules():
        return None
    *_, height, width = down.shape()
    return run(down), run(up)[:, :, :height, :width]


@law("LAW-P18")
def flips_commute(problem: Pool, run: Run, pick: Pick) -> Sides | None:
    """The flipped image with the sides exchanged gives the flipped output, where nothing is left over behind the last
    window."""
    stride = tuple(a.stride if a.slack == 0 else 1 for a in problem.axes)
    straight = problem.but(stride=stride, ceil_mode=False)
    if straight.broken_rules():
        return None
    (top, bottom), (left, right) = problem.padding
    flipped = straight.but(x=np.array(problem.x[:, :, ::-1, ::-1], order="C"), padding=((bottom, top), (right, left)))
    return run(flipped), run(straight)[:, :, ::-1, ::-1]


@law("LAW-C6")
def swapping_the_axes_swaps_the_output(problem: Pool, run: Run, pick: Pick) -> Sides | None:
    """With rows and columns exchanged in the image and in every parameter, they are exchanged in the output."""
    swapped = {name: getattr(problem, name)[::-1] for name in _parameters(problem)}
    there = problem.but(x=np.array(problem.x.swapaxes(2, 3), order="C"), **swapped)
    return run(there), run(problem).rearranged(lambda a: a.swapaxes(2, 3))


@law("LAW-P17, EQV-05")
def shifts_on_the_torus(problem: Pool, run: Run, pick: Pick) -> Sides | None:
    """On an image wrapped round by hand whose sides the strides divide, rolling by a multiple of the stride rolls the
    output."""
    size, around = [], []
    for axis in problem.axes:
        least = max(axis.length, axis.span)
        size.append(least + -least % axis.stride)
        around.append((0, axis.span - 1))
    x = enlarged(problem.x, *size)
    a, b = pick.integer(-2, 2), pick.integer(-2, 2)
    rolled = np.roll(x, (a * problem.stride[0], b * problem.stride[1]), (2, 3))
    here = problem.but(x=padded(x, (around[0], around[1]), "circular"), padding=NONE, ceil_mode=False)
    there = here.but(x=padded(rolled, (around[0], around[1]), "circular"))
    return run(there), run(here).rearranged(lambda y: np.roll(y, (a, b), (2, 3)))


@law("EQV-02")
def shifts_by_cropping(problem: Pool, run: Run, pick: Pick) -> Sides | None:
    """Without padding, cutting a*stride rows and b*stride columns off the image cuts a rows and b columns off
    the output."""
    rows, columns = problem.axes
    x = enlarged(problem.x, rows.span + 2 * rows.stride, columns.span + 2 * columns.stride)
    plain = problem.but(x=x, padding=NONE, ceil_mode=False)
    a, b = pick.integer(0, 2), pick.integer(0, 2)
    cut = np.array(x[:, :, a * rows.stride :, b * columns.stride :], order="C")
    return run(plain.but(x=cut)), run(plain)[:, :, a:, b:]


# The legal edges.


@edge("GEN-14")
def an_empty_batch(cls: Any, pick: Pick) -> Pool:
    """A batch of no images gives an output of no images with every other size as usual."""
    problem = cls.draw(pick)
    return problem.but(x=problem.x[:0])


@edge("GEN-23", STRICT, may_refuse=True)
def no_channels(cls: Any, pick: Pick) -> Pool:
    """Images without channels may be refused; accepted, they give an output without channels, of the usual size."""
    problem = cls.draw(pick)
    return problem.but(x=np.array(problem.x[:, :0], order="C"))


@edge("MAXP-01, AVGP-01")
def one_pixel(cls: Any, pick: Pick) -> Pool:
    """An image of one pixel under a window of one pixel."""
    problem = cls.draw(pick)
    return problem.but(x=np.array(problem.x[:, :, :1, :1], order="C"), kernel_size=(1, 1), padding=NONE)


@edge("SHP-02, AVGP-06")
def a_window_as_large_as_the_image(cls: Any, pick: Pick) -> Pool:
    """Global pooling: exactly one window, whatever the stride."""
    problem = cls.draw(pick)
    dense = {"dilation": (1, 1)} if hasattr(problem, "dilation") else {}
    return problem.but(kernel_size=problem.x.shape[2:], padding=NONE, **dense)


@edge("SHP-02")
def a_stride_beyond_the_window(cls: Any, pick: Pick) -> Pool:
    """A stride larger than the window skips pixels."""
    problem = cls.draw(pick)
    rows, columns = problem.axes
    far = problem.but(stride=(rows.span + 1, columns.span + 1))
    return far.but(padding=NONE, x=enlarged(far.x, rows.span, columns.span)) if far.broken_rules() else far


@edge("MAXP-06")
def padding_of_half_a_window(cls: Any, pick: Pick) -> Pool:
    """Padding of half the window on every side, the most that every library takes."""
    problem = cls.draw(pick)
    half = tuple((k // 2, k // 2) for k in problem.kernel_size)
    rows, columns = problem.axes
    dense = {"dilation": (1, 1)} if hasattr(problem, "dilation") else {}
    return problem.but(x=enlarged(problem.x, rows.taps, columns.taps), padding=half, **dense)
