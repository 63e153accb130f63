"""Laws of convolution: linearity, structure, composition. Equalities on integers, within both bounds otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .laws import combined, enlarged, order, parts, small, zero_stuffed
from .linear import Linear
from .measured import Measured, concatenate
from .op import STRICT, Run, Sides, law
from .pad2d import padded
from .pick import Pick

if TYPE_CHECKING:
    from .conv2d import Conv2d

Tensor = npt.NDArray[Any]
NONE = ((0, 0), (0, 0))


@law("LAW-C1")
def linear_in_the_images(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Without a bias, convolving 2u - v gives twice the result for u minus the result for v."""
    u, v = parts(problem.x, pick)
    plain = problem.but(bias=None)
    return run(plain.but(x=combined(u, v))), 2 * run(plain.but(x=u)) - run(plain.but(x=v))


@law("LAW-C2")
def linear_in_the_filters(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Without a bias, the filter 2u - v gives twice the result of u minus the result of v."""
    u, v = parts(problem.weight, pick)
    plain = problem.but(bias=None)
    return run(plain.but(weight=combined(u, v))), 2 * run(plain.but(weight=u)) - run(plain.but(weight=v))


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
    total = run(one.but(x=_copy(one.x[:, :1]), weight=_copy(one.weight[:, :1])))
    for k in range(1, c):
        total = total + run(one.but(x=_copy(one.x[:, k : k + 1]), weight=_copy(one.weight[:, k : k + 1])))
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
        x=_copy(problem.x[:, :, ::-1, ::-1]),
        weight=_copy(problem.weight[:, :, ::-1, ::-1]),
        padding=((bottom, top), (right, left)),
    )
    return run(flipped), run(straight)[:, :, ::-1, ::-1]


@law("LAW-C6")
def swapping_the_axes_swaps_the_output(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """With rows and columns exchanged in image, filter and every parameter, they are exchanged in the output."""
    swapped = problem.but(
        x=_copy(problem.x.swapaxes(2, 3)),
        weight=_copy(problem.weight.swapaxes(2, 3)),
        stride=problem.stride[::-1],
        padding=problem.padding[::-1],
        dilation=problem.dilation[::-1],
    )
    return run(swapped), run(problem).rearranged(lambda a: a.swapaxes(2, 3))


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
    one = one.but(weight=_copy(one.weight[:, :, :1, :1]))
    pixels = _copy(one.x.transpose(0, 2, 3, 1).reshape(-1, c))
    rows = run(Linear(x=pixels, weight=_copy(one.weight[:, :, 0, 0])))
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
            x=_copy(problem.x[:, g * c : (g + 1) * c]), weight=problem.weight[g * k : (g + 1) * k], bias=bias, groups=1
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


@law("LAW-C16")
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
        weight=_copy(turned[:, :, ::-1, ::-1]),
        stride=(1, 1),
        padding=tuple((a.span - 1 - a.before, a.span - 1 - a.after) for a in plain.axes),
    )
    every = (0, 1, 2, 3)
    left = (run(plain) * np.asarray(seed, np.float64)).sum(every)
    return left, (run(back) * np.asarray(plain.x, np.float64)).sum(every)


@law("LAW-C17")
def images_may_be_permuted(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Reordering the images of a batch reorders the outputs."""
    to = order(problem.x.shape[0], pick)
    return run(problem.but(x=_copy(problem.x[to]))), run(problem)[to]


@law("LAW-C17")
def filters_may_be_permuted(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Reordering the filters of each group, with their biases, reorders the output channels."""
    k = problem.weight.shape[0] // problem.groups
    to = np.concatenate([g * k + order(k, pick) for g in range(problem.groups)])
    bias = None if problem.bias is None else problem.bias[to]
    return run(problem.but(weight=_copy(problem.weight[to]), bias=bias)), run(problem)[:, to]


@law("LAW-C17")
def channels_may_be_permuted(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Reordering the channels within each group, of the images and of the filters alike, changes nothing."""
    c = problem.weight.shape[1]
    inner = order(c, pick)
    to = np.concatenate([g * c + inner for g in range(problem.groups)])
    return run(problem.but(x=_copy(problem.x[:, to]), weight=_copy(problem.weight[:, inner]))), run(problem)


@law("LAW-C18, LAW-C19")
def two_layers_are_one(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Without padding, two convolutions are one with the composed filter: the second filter spread out by the first
    stride, convolved with the first; the strides multiply."""
    first = _plain(problem, stride=problem.stride)
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
    first = _plain(problem)
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
    one = _plain(problem)
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
    weight = np.zeros((c, 1, rows.taps, columns.taps), problem.dtype)
    weight[:, :, r, s] = 1
    whole = padded(np.asarray(problem.x, np.float64), problem.padding, problem.padding_mode)
    i = r * rows.dilation + np.arange(rows.count) * rows.stride
    j = s * columns.dilation + np.arange(columns.count) * columns.stride
    moved = problem.but(weight=weight, bias=None, groups=c)
    return (run(moved) if run.rounds_inputs else run.values(moved)), whole[:, :, i[:, None], j]


@law("LAW-C23")
def separable_filters_separate(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """A filter that is a column times a row gives what the column filter and then the row filter give."""
    c = problem.x.shape[1]
    down = np.resize(small(problem.weight[:, 0, :, 0]), (c, 1, problem.weight.shape[2], 1))
    across = np.resize(small(problem.weight[:, 0, 0, :]), (c, 1, 1, problem.weight.shape[3]))
    plain = problem.but(x=small(problem.x), weight=down * across, bias=None, padding_mode="zeros", groups=c)
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
        plain = _without_padding(plain)
    lifted = plain.but(x=plain.x + np.asarray(3, problem.dtype))
    share = 3 * np.asarray(plain.weight, np.float64).sum((1, 2, 3))
    return run(lifted), run(plain) + share[:, None, None]


@law("LAW-C25")
def strided_is_a_sum_of_phases(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Without padding, a strided convolution is the sum over phases of dense ones: every s-th pixel with every
    s-th tap."""
    plain = _without_padding(problem).but(dilation=(1, 1), bias=None)
    rows, columns = plain.stride
    if (rows, columns) == (1, 1):
        return None
    *_, height, width = plain.shape()
    total: Measured | None = None
    for a in range(min(rows, plain.weight.shape[2])):
        for b in range(min(columns, plain.weight.shape[3])):
            part = plain.but(
                x=_copy(plain.x[:, :, a::rows, b::columns]),
                weight=_copy(plain.weight[:, :, a::rows, b::columns]),
                stride=(1, 1),
            )
            answer = run(part)[:, :, :height, :width]
            total = answer if total is None else total + answer
    return None if total is None else (run(plain), total)


@law("LAW-C26")
def dilated_is_interleaved_phases(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Without padding and with stride 1, every d-th output of a dilated filter is the dense filter on every
    d-th pixel."""
    plain = _without_padding(problem).but(stride=(1, 1))
    rows, columns = plain.dilation
    if (rows, columns) == (1, 1):
        return None
    *_, height, width = plain.shape()
    a, b = pick.integer(0, min(rows, height) - 1), pick.integer(0, min(columns, width) - 1)
    phase = plain.but(x=_copy(plain.x[:, :, a::rows, b::columns]), dilation=(1, 1))
    return run(plain)[:, :, a::rows, b::columns], run(phase)


@law("LAW-C27")
def circular_obeys_the_convolution_theorem(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """With circular padding of span - 1 and stride 1 the Fourier transform of the output is the image's times the
    conjugate of the filter's, summed over channels. On integers the transform is precise enough to round."""
    one = _plain(problem)
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
    """Halving the filters halves the result bit for bit, as long as nothing underflows."""
    half = (problem.weight / 2).astype(problem.dtype)
    if not np.array_equal(half * 2, problem.weight):
        return None
    plain = problem.but(bias=None)
    whole = run.values(plain)
    least = float(2.0**-10) if problem.dtype.itemsize == 2 else float(2.0**-60)
    clear = (np.abs(whole) >= least) | (whole == 0)
    return run.values(plain.but(weight=half))[clear], whole[clear] / 2


def first_group(problem: Conv2d) -> Conv2d:
    """The convolution of the first group alone, without bias."""
    c, k = problem.weight.shape[1], problem.weight.shape[0] // problem.groups
    return problem.but(x=_copy(problem.x[:, :c]), weight=problem.weight[:k], bias=None, groups=1)


def composed(first: Tensor, second: Tensor) -> Tensor:
    """The filters (L, C, ., .) of one layer that does what `first` (K, C, ., .) and then `second` (L, K, ., .) do."""
    _, c, r1, s1 = first.shape
    outputs, _, r2, s2 = second.shape
    out = np.zeros((outputs, c, r1 + r2 - 1, s1 + s2 - 1))
    w = np.asarray(first, np.float64)
    for r in range(r2):
        for s in range(s2):
            out[:, :, r : r + r1, s : s + s1] += np.einsum(
                "lk,kcrs->lcrs", np.asarray(second, np.float64)[:, :, r, s], w
            )
    return out.astype(first.dtype)


def _second_filter(first: Conv2d) -> Tensor:
    k = first.weight.shape[0]
    return small(np.resize(np.asarray(first.weight, np.float64), (2, k, 2, 2)) + 1).astype(first.dtype)


def _plain(problem: Conv2d, **changes: Any) -> Conv2d:
    """One group of small integers, dense, without bias, padding or stride unless asked for."""
    one = first_group(problem)
    settings: dict[str, Any] = {"stride": (1, 1), "padding": NONE, "padding_mode": "zeros", "dilation": (1, 1)}
    one = one.but(x=small(one.x), weight=small(one.weight), **(settings | changes))
    rows, columns = one.axes
    return one.but(x=enlarged(one.x, rows.span, columns.span))


def _without_padding(problem: Conv2d) -> Conv2d:
    rows, columns = problem.axes
    return problem.but(x=enlarged(problem.x, rows.span, columns.span), padding=NONE, padding_mode="zeros")


def _explicitly_padded(problem: Conv2d, run: Run) -> Sides:
    border = padded(problem.x, problem.padding, problem.padding_mode)
    return run(problem), run(problem.but(x=border, padding=NONE, padding_mode="zeros"))


def _as(answer: Measured, problem: Conv2d) -> Tensor:
    return answer.value.astype(problem.dtype)


def _copy(array: Tensor) -> Tensor:
    return np.array(array, order="C")
