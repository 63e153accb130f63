"""Bugs of convolution: which tap meets which pixel, what the size is, and what the border holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import Conv2d

from .base import Array, Right, broken, last_pair_repeats, rounded, source, taken, wide

Positions = npt.NDArray[Any]


class RightConv2d(Right):
    """Convolution out of parts, each of which a bug may replace."""

    def conv2d(self, problem: Any) -> Any:
        problem.validate()
        y = self.sums(problem, self.seen(problem))
        return rounded(y if problem.bias is None else y + wide(problem.bias)[:, None, None], problem)

    def positions(self, problem: Conv2d) -> tuple[Positions, Positions]:
        """(I, R) and (J, S): where each tap of each window lies, counted from the image's corner."""
        rows, columns = problem.axes
        return rows.positions, columns.positions

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        return source(at, length, mode)

    def seen(self, problem: Conv2d) -> Array:
        """(N, C, I, J, R, S)."""
        sources = [
            self.source(at, n, problem.padding_mode)
            for at, n in zip(self.positions(problem), problem.x.shape[2:], strict=True)
        ]
        return taken(problem.x, *sources)

    def group(self, problem: Conv2d, k: int) -> int:
        return k // (problem.weight.shape[0] // problem.groups)

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        """The sums of products without the bias: (N, K, I, J)."""
        c = problem.weight.shape[1]
        y = np.empty(problem.output_shape())
        for k, filter in enumerate(wide(problem.weight)):
            first = self.group(problem, k) * c
            y[:, k] = np.tensordot(seen[:, first : first + c], filter, ((1, 4, 5), (0, 1, 2)))
        return y


# Which tap meets which pixel.


@broken(conv2d="the_filter_is_not_flipped a_matrix_holds_the_filter exact_on_integers")
class FlipsTheFilter(Right):
    """The filter is flipped, as in mathematics."""

    def conv2d(self, problem: Any) -> Any:
        return self.answer(problem.but(weight=problem.weight[:, :, ::-1, ::-1]))


@broken(conv2d="exact_on_integers the_filter_is_not_flipped a_matrix_holds_the_filter")
class TransposesTheFilter(Right):
    """A square filter is stored column by column."""

    def conv2d(self, problem: Any) -> Any:
        square = problem.weight.shape[2] == problem.weight.shape[3]
        return self.answer(problem.but(weight=problem.weight.swapaxes(2, 3)) if square else problem)


@broken(
    conv2d="the_animated_example the_adjoint_moves_to_the_other_side sums_multiply weight_sharing_equations"
    " a_filter_as_large_as_the_image_is_linear exact_on_integers"
)
class DropsTheLastTap(RightConv2d):
    """The loop over the taps ends one too early, where there is more than one."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        if seen.shape[4] * seen.shape[5] > 1:
            seen = np.array(seen)
            seen[..., -1, -1] = 0
        return super().sums(problem, seen)


@broken(conv2d="exact_on_integers stride_is_subsampling strided_is_a_sum_of_phases")
class SwapsTheStrides(RightConv2d):
    """The columns move by the stride of the rows and the other way round; the size is right."""

    def positions(self, problem: Conv2d) -> tuple[Positions, Positions]:
        rows, columns = problem.axes
        r, c = (np.arange(a.count)[:, None] for a in (rows, columns))
        return (
            rows.positions + r * (columns.stride - rows.stride),
            columns.positions + c * (rows.stride - columns.stride),
        )


@broken(
    conv2d="swapping_the_axes_swaps_the_output the_adjoint_moves_to_the_other_side"
    " a_shift_that_is_no_multiple_of_the_stride"
)
class UsesOneStride(RightConv2d):
    """The stride of the rows is used on both axes; the size is right."""

    def positions(self, problem: Conv2d) -> tuple[Positions, Positions]:
        rows, columns = problem.axes
        more = np.arange(columns.count)[:, None] * (rows.stride - columns.stride)
        return rows.positions, columns.positions + more


@broken(examples=60, conv2d="a_stride_beyond_the_filter stride_is_subsampling")
class StridesNoFurtherThanTheFilter(RightConv2d):
    """A stride longer than the filter is taken as long as the filter; the size is right."""

    def positions(self, problem: Conv2d) -> tuple[Positions, Positions]:
        rows, columns = (replace_stride(a.positions, a.stride, min(a.stride, a.span)) for a in problem.axes)
        return rows, columns


@broken(conv2d="dilation_is_zero_stuffing dilated_is_interleaved_phases separable_filters_separate exact_on_integers")
class SwapsTheDilations(RightConv2d):
    """The dilation of the rows spreads the columns and the other way round; the size is right."""

    def positions(self, problem: Conv2d) -> tuple[Positions, Positions]:
        rows, columns = problem.axes
        r, s = np.arange(rows.taps), np.arange(columns.taps)
        return (
            rows.positions + r * (columns.dilation - rows.dilation),
            columns.positions + s * (rows.dilation - columns.dilation),
        )


@broken(conv2d="dilation_is_zero_stuffing stride_is_subsampling")
class ForgetsDilationWhereStrided(RightConv2d):
    """The path for strides above one has no dilation."""

    def positions(self, problem: Conv2d) -> tuple[Positions, Positions]:
        rows, columns = (
            a.positions - np.arange(a.taps) * (a.dilation - 1 if a.stride > 1 else 0) for a in problem.axes
        )
        return rows, columns


@broken(conv2d="a_filter_as_large_as_the_padded_image a_filter_as_large_as_the_image_is_linear exact_on_integers")
class MissesTheFlushWindow(RightConv2d):
    """The loop over windows is `start < padded - span`: one that ends flush with the padded image is left at zero."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        y = super().sums(problem, seen)
        rows, columns = problem.axes
        if rows.slack == 0:
            y[:, :, -1] = 0
        if columns.slack == 0:
            y[:, :, :, -1] = 0
        return y


@broken(
    conv2d="shifts_by_cropping shifts_in_the_interior shifts_with_zeros_around shifts_on_the_torus exact_on_integers"
)
class RepeatsTheLastPair(RightConv2d):
    """Columns are made in pairs; an odd last one is left with its neighbour's value."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        return last_pair_repeats(super().sums(problem, seen))


@broken(60, conv2d="exact_on_integers")
class ForgetsTheTileRemainder(RightConv2d):
    """Columns are made eight at a time; those beyond the last full eight are left at zero."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        y = super().sums(problem, seen)
        if y.shape[3] > 8:
            y[:, :, :, y.shape[3] // 8 * 8 :] = 0
        return y


# The size.


@broken(conv2d="size_follows_the_formula the_lectures_output_size")
class RoundsTheSizeUp(Right):
    """The size is rounded up; the additional outputs are zero."""

    def conv2d(self, problem: Any) -> Any:
        more = [min(axis.slack, 1) for axis in problem.axes]
        return np.pad(self.answer(problem), ((0, 0), (0, 0), (0, more[0]), (0, more[1])))


@broken(conv2d="size_follows_the_formula")
class ForgetsDilationInTheSize(Right):
    """The size is that of a dense filter; the additional outputs are zero."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        dense = problem.but(dilation=(1, 1)).output_shape()
        return np.pad(y, [(0, d - n) for d, n in zip(dense, y.shape, strict=True)])


@broken(conv2d="size_follows_the_formula flipping_everything_flips_the_output")
class PadsBothSidesAlike(RightConv2d):
    """top and left serve for bottom and right as well."""

    def conv2d(self, problem: Any) -> Any:
        (top, _), (left, _) = problem.padding
        alike = problem.but(padding=((top, top), (left, left)))
        return self.answer(problem if alike.broken_rules() else alike)


@broken(conv2d="size_follows_the_formula")
class PutsFiltersFirst(Right):
    """The result comes as (K, N, I, J)."""

    def conv2d(self, problem: Any) -> Any:
        return self.answer(problem).swapaxes(0, 1)


# The border.


def shifted(problem: Conv2d, rows: int, columns: int) -> tuple[Positions, Positions]:
    at = problem.axes
    return at[0].positions + rows, at[1].positions + columns


@broken(conv2d="padding_is_zeros the_rgb_example exact_on_integers")
class SwapsTopAndBottom(RightConv2d):
    """The padding of the bottom is put on top."""

    def positions(self, problem: Conv2d) -> tuple[Positions, Positions]:
        (top, bottom), _ = problem.padding
        return shifted(problem, top - bottom, 0)


@broken(conv2d="padding_is_zeros the_rgb_example exact_on_integers")
class SwapsLeftAndRight(RightConv2d):
    """The padding of the right is put on the left."""

    def positions(self, problem: Conv2d) -> tuple[Positions, Positions]:
        _, (left, right) = problem.padding
        return shifted(problem, 0, left - right)


@broken(conv2d="padding_modes_fill_the_border padding_modes_on_the_animated_example exact_on_integers")
class ReflectRepeatsTheEdge(RightConv2d):
    """Reflection repeats the edge element."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        if mode != "reflect":
            return source(at, length, mode)
        back = np.mod(at, 2 * length)
        return np.minimum(back, 2 * length - 1 - back)


@broken(conv2d="flipping_everything_flips_the_output padding_modes_fill_the_border exact_on_integers")
class ReflectRepeatsTheFarEdge(RightConv2d):
    """Reflection repeats the edge element at the bottom and on the right."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        right = source(at, length, mode)
        return np.where(at >= length, source(at - 1, length, mode), right) if mode == "reflect" else right


@broken(conv2d="circular_obeys_the_convolution_theorem shifts_on_the_torus exact_on_integers")
class WrapsOneTooFar(RightConv2d):
    """Behind the far edge, circular padding starts with the second element."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        right = source(at, length, mode)
        return np.where(at >= length, source(at + 1, length, mode), right) if mode == "circular" else right


@broken(conv2d="a_constant_adds_its_share padding_modes_fill_the_border exact_on_integers")
class ReplicatesZeros(RightConv2d):
    """Replicate padding is not there: zeros stand for it."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        return source(at, length, "zeros" if mode == "replicate" else mode)


@broken(examples=100, conv2d="padding_beyond_the_window windows_wholly_on_the_padding exact_on_integers")
class SkipsWindowsOfPadding(Right):
    """A window that sees no pixel is skipped, and its bias with it."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        if problem.padding_mode == "zeros":
            rows, columns = (axis.inside.any(axis=1) for axis in problem.axes)
            y[:, :, ~rows] = 0
            y[:, :, :, ~columns] = 0
        return y


@broken(conv2d="padding_at_its_limit")
class RefusesTheLongestPadding(Right):
    """Reflect padding of n-1 and circular padding of n are refused."""

    def conv2d(self, problem: Any) -> Any:
        limit = {"reflect": -1, "circular": 0}.get(problem.padding_mode, 99)
        for n, sides in zip(problem.x.shape[2:], problem.padding, strict=True):
            if max(sides) and max(sides) >= n + limit:
                raise ValueError("padding is too long")
        return self.answer(problem)


# Paths of their own for filters of one tap and for those as large as the image.


@broken(conv2d="one_tap_is_linear_on_every_pixel")
class SkipsTheLastPixelOfOneTap(RightConv2d):
    """The path for filters of one tap runs over all pixels but the last of each image."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        y = super().sums(problem, seen)
        if seen.shape[4:] == (1, 1) and problem.stride == (1, 1) and y.shape[2] * y.shape[3] > 1:
            y[:, :, -1, -1] = 0
        return y


@broken(conv2d="one_tap_and_as_many_filters_as_channels one_pixel")
class TransposesOneTapFilters(Right):
    """The path for filters of one tap multiplies with the transposed matrix, where it is square."""

    def conv2d(self, problem: Any) -> Any:
        k, c, r, s = problem.weight.shape
        turn = (r, s) == (1, 1) and k == c
        return self.answer(problem.but(weight=problem.weight.swapaxes(0, 1)) if turn else problem)


@broken(conv2d="a_filter_as_large_as_the_image_is_linear")
class FlattensChannelsLast(Right):
    """The path for filters as large as the image flattens it in the order h, w, c and the filters in c, h, w."""

    def conv2d(self, problem: Any) -> Any:
        whole = problem.x.shape[1:] == problem.weight.shape[1:] and not any(map(any, problem.padding))
        if not whole or not problem.x.size:
            return self.answer(problem)
        flat = problem.x.transpose(0, 2, 3, 1).reshape(problem.x.shape)
        return self.answer(problem.but(x=np.ascontiguousarray(flat)))


def replace_stride(positions: Positions, stride: int, by: int) -> Positions:
    return positions + np.arange(positions.shape[0])[:, None] * (by - stride)
