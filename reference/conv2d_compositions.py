"""Convolutions of convolutions, sums and transforms of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .conv2d_parts import composed, contiguous, per_channel, plain_group, without_padding
from .laws import enlarged, small, zero_stuffed
from .measured import Measured
from .op import STRICT, Run, Sides, law
from .pad2d import padded
from .pick import Pick

if TYPE_CHECKING:
    from .conv2d import Conv2d

Tensor = npt.NDArray[Any]


@law("LAW-C16, SHP-09")
def the_adjoint_moves_to_the_other_side(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """<y, conv(x)> = <adjoint(y), x>, the adjoint being a convolution of y, spread out by the stride, with the flipped
    filters transposed in channels, padded by span - 1 less the padding."""
    axes = problem.axes
    padding = tuple((min(a.before, a.span - 1), min(a.after, a.span - 1)) for a in axes)
    stride = tuple(a.stride if a.length + sum(p) >= a.span else 1 for a, p in zip(axes, padding, strict=True))
    x = enlarged(problem.x, axes[0].span, axes[1].span)
    plain = problem.but(x=small(x), weight=small(problem.weight), bias=None, stride=stride)
    plain = plain.but(padding=padding, padding_mode="zeros")
    g = problem.groups
    k, c, r, s = problem.weight.shape
    seed = small(np.arange(np.prod(plain.shape()), dtype=np.float64).reshape(plain.shape())).astype(problem.dtype)
    spread = zero_stuffed(seed, plain.stride)
    rest = [a.slack for a in plain.axes]
    spread = np.pad(spread, ((0, 0), (0, 0), (0, rest[0]), (0, rest[1])))
    turned = plain.weight.reshape(g, k // g, c, r, s).swapaxes(1, 2).reshape(g * c, k // g, r, s)
    back = plain.but(
        x=spread,
        weight=contiguous(turned[:, :, ::-1, ::-1]),
        stride=(1, 1),
        padding=tuple((a.span - 1 - a.before, a.span - 1 - a.after) for a in plain.axes),
    )
    every = (0, 1, 2, 3)
    left = (run(plain) * np.asarray(seed, np.float64)).sum(every)
    return left, (run(back) * np.asarray(plain.x, np.float64)).sum(every)


@law("LAW-C18, LAW-C19")
def two_layers_are_one(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Without padding, two convolutions are one with the composed filter: the second filter spread out by the first
    stride, convolved with the first; the strides multiply."""
    first = plain_group(problem, stride=problem.stride)
    second = _second_filter(first)
    s1, s2 = first.stride, (pick.integer(1, 2), pick.integer(1, 2))
    rows, columns = first.axes
    first = first.but(x=enlarged(first.x, rows.span + s1[0] * 2, columns.span + s1[1] * 2))
    middle = run(first)
    if middle.tolerance.any():
        return None
    one = first.but(weight=composed(first.weight, zero_stuffed(second, s1)), stride=(s1[0] * s2[0], s1[1] * s2[1]))
    return run(first.but(x=_as(middle, problem), weight=second, stride=s2)), run(one)


@law("LAW-C20")
def two_padded_layers_are_one(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """A fully padded convolution followed by a padded one is one with the composed filter and the sum of the
    paddings."""
    first = plain_group(problem)
    rows, columns = first.axes
    full = ((rows.span - 1, rows.span - 1), (columns.span - 1, columns.span - 1))
    more = tuple((min(before, 2), min(after, 2)) for before, after in problem.padding)
    second = _second_filter(first)
    first = first.but(x=enlarged(first.x, 2, 2), padding=full)
    middle = run(first)
    if middle.tolerance.any():
        return None
    total = tuple((f[0] + m[0], f[1] + m[1]) for f, m in zip(full, more, strict=True))
    one = first.but(weight=composed(first.weight, second), padding=total)
    return run(first.but(x=_as(middle, problem), weight=second, padding=more)), run(one)


@law("LAW-C21")
def sums_multiply(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """With full padding and stride 1 every pixel meets every tap once: the sum of an output is the sum over channels of
    the filter's sum times the image's sum."""
    one = plain_group(problem)
    rows, columns = one.axes
    one = one.but(padding=((rows.span - 1, rows.span - 1), (columns.span - 1, columns.span - 1)))
    image, taps = np.asarray(one.x, np.float64).sum((2, 3)), np.asarray(one.weight, np.float64).sum((2, 3))
    return run(one).sum((2, 3)), image @ taps.T


@law("LAW-C22")
def one_tap_moves_the_image(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """A filter with a single tap of 1 gives the padded image, moved and subsampled, bit for bit."""
    c = problem.x.shape[1]
    rows, columns = problem.axes
    r, s = pick.integer(0, rows.taps - 1), pick.integer(0, columns.taps - 1)
    taps = np.zeros((c, rows.taps, columns.taps), problem.dtype)
    taps[:, r, s] = 1
    weight, groups = per_channel(problem, taps)
    whole = padded(np.asarray(problem.x, np.float64), problem.padding, problem.padding_mode)
    i = r * rows.dilation + np.arange(rows.count) * rows.stride
    j = s * columns.dilation + np.arange(columns.count) * columns.stride
    moved = problem.but(weight=weight, bias=None, groups=groups)
    return (run(moved) if run.rounds_products else run.values(moved)), whole[:, :, i[:, None], j]


@law("LAW-C23")
def separable_filters_separate(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """A filter that is a column times a row gives what the column filter and then the row filter give."""
    c = problem.x.shape[1]
    column = np.resize(small(problem.weight[:, 0, :, 0]), (c, problem.weight.shape[2], 1))
    row = np.resize(small(problem.weight[:, 0, 0, :]), (c, 1, problem.weight.shape[3]))
    (down, groups), (across, _), (both, _) = (per_channel(problem, t) for t in (column, row, column * row))
    plain = problem.but(x=small(problem.x), weight=both, bias=None, padding_mode="zeros", groups=groups)
    rows, columns = plain.padding
    first = plain.but(weight=down, stride=(plain.stride[0], 1), padding=(rows, (0, 0)), dilation=(plain.dilation[0], 1))
    middle = run(first)
    if middle.tolerance.any():
        return None
    second = plain.but(
        x=_as(middle, problem),
        weight=across,
        stride=(1, plain.stride[1]),
        padding=((0, 0), columns),
        dilation=(1, plain.dilation[1]),
    )
    return run(plain), run(second)


@law("LAW-C24, PAD-12")
def a_constant_adds_its_share(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Without padding, or with reflect, replicate or circular padding, adding 3 to the image adds 3 times the
    sum of the
    filter to every output."""
    plain = problem.but(x=small(problem.x), weight=small(problem.weight), bias=None)
    if problem.padding_mode == "zeros":
        plain = without_padding(plain)
    lifted = plain.but(x=plain.x + np.asarray(3, problem.dtype))
    share = 3 * np.asarray(plain.weight, np.float64).sum((1, 2, 3))
    return run(lifted), run(plain) + share[:, None, None]


@law("LAW-C25")
def strided_is_a_sum_of_phases(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Without padding, a strided convolution is the sum over phases of dense ones: every s-th pixel with every
    s-th tap."""
    plain = without_padding(problem).but(dilation=(1, 1), bias=None)
    rows, columns = plain.stride
    if (rows, columns) == (1, 1):
        return None
    *_, height, width = plain.shape()
    total: Measured | None = None
    for a in range(min(rows, plain.weight.shape[2])):
        for b in range(min(columns, plain.weight.shape[3])):
            part = plain.but(
                x=contiguous(plain.x[:, :, a::rows, b::columns]),
                weight=contiguous(plain.weight[:, :, a::rows, b::columns]),
                stride=(1, 1),
            )
            answer = run(part)[:, :, :height, :width]
            total = answer if total is None else total + answer
    return None if total is None else (run(plain), total)


@law("LAW-C26")
def dilated_is_interleaved_phases(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Without padding and with stride 1, every d-th output of a dilated filter is the dense filter on every
    d-th pixel."""
    plain = without_padding(problem).but(stride=(1, 1))
    rows, columns = plain.dilation
    if (rows, columns) == (1, 1):
        return None
    *_, height, width = plain.shape()
    a, b = pick.integer(0, min(rows, height) - 1), pick.integer(0, min(columns, width) - 1)
    phase = plain.but(x=contiguous(plain.x[:, :, a::rows, b::columns]), dilation=(1, 1))
    return run(plain)[:, :, a::rows, b::columns], run(phase)


@law("LAW-C27")
def circular_obeys_the_convolution_theorem(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """With circular padding of span - 1 and stride 1 the Fourier transform of the output is the image's times the
    conjugate of the filter's, summed over channels. On integers the transform is precise enough to round."""
    one = plain_group(problem)
    rows, columns = one.axes
    x = enlarged(one.x, rows.span, columns.span)
    circular = one.but(x=x, padding=((0, rows.span - 1), (0, columns.span - 1)), padding_mode="circular")
    size = x.shape[2:]
    taps = np.zeros((*one.weight.shape[:2], *size))
    stuffed = zero_stuffed(np.asarray(one.weight, np.float64), one.dilation)
    taps[:, :, : stuffed.shape[2], : stuffed.shape[3]] = stuffed
    image, filters = np.fft.rfft2(np.asarray(x, np.float64)), np.fft.rfft2(taps)
    product = np.einsum("nchw,kchw->nkhw", image, filters.conj())
    return run(circular), np.rint(np.fft.irfft2(product, size))


@law("LAW-C30", STRICT)
def powers_of_two_factor_out(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Halving the filters halves the result bit for bit, as long as nothing underflows or overflows."""
    half = (problem.weight / 2).astype(problem.dtype)
    if run.convention("repeatable") == "false" or not np.array_equal(half * 2, problem.weight):
        return None
    plain = problem.but(bias=None)
    whole = run.values(plain)
    least = float(2.0**-10) if problem.dtype.itemsize == 2 else float(2.0**-60)
    clear = ((np.abs(whole) >= least) & np.isfinite(whole)) | (whole == 0)
    return run.values(plain.but(weight=half))[clear], whole[clear] / 2


def _second_filter(first: Conv2d) -> Tensor:
    k = first.weight.shape[0]
    return small(np.resize(np.asarray(first.weight, np.float64), (2, k, 2, 2)) + 1).astype(first.dtype)


def _as(answer: Measured, problem: Conv2d) -> Tensor:
    return answer.value.astype(problem.dtype)
