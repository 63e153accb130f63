"""Bugs of the two poolings: sizes, borders, what is refused; each in both at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference.pool import axes
from convspec.reference.window import Window

from .base import Array, Repairs, Right, broken, last_pair_repeats, rounded, taken

Positions = npt.NDArray[Any]


class RightPool(Right):
    """Both poolings out of parts, each of which a bug may replace."""

    outside = -np.inf  # what padding counts as in a maximum

    def max_pool2d(self, problem: Any) -> Any:
        problem.validate()
        return rounded(self.finished(self.largest(self.seen(problem, self.outside)), problem), problem)

    def avg_pool2d(self, problem: Any) -> Any:
        problem.validate()
        seen = self.seen(problem, 0.0)
        return rounded(self.finished(self.total(seen) / self.divisor(problem), problem), problem)

    def positions(self, axis: Window) -> Positions:
        return axis.positions

    def along(self, problem: Any) -> tuple[Positions, Positions]:
        """(I, R) and (J, S): where each tap of each window lies; beyond the image is padding."""
        rows, columns = axes(problem)
        return self.positions(rows), self.positions(columns)

    def seen(self, problem: Any, outside: float) -> Array:
        """(N, C, I, J, R, S)."""
        return taken(problem.x, *self.along(problem), outside)

    def largest(self, seen: Array) -> Array:
        return np.asarray(seen.max(axis=(4, 5)))

    def total(self, seen: Array) -> Array:
        return np.asarray(seen.sum(axis=(4, 5)))

    def divisor(self, problem: Any) -> Array:
        return np.asarray(problem.divisor)

    def finished(self, y: Array, problem: Any) -> Array:
        return y


# The geometry of both.


@broken(
    max_pool2d="stride_is_subsampling swapping_the_axes_swaps_the_output exact_on_integers"
    " a_shift_that_is_no_multiple_of_the_stride",
    avg_pool2d="stride_is_subsampling swapping_the_axes_swaps_the_output it_is_a_convolution_with_ones",
)
class UsesOneStride(RightPool):
    """The stride of the rows is used on both axes; the size is right."""

    def along(self, problem: Any) -> tuple[Positions, Positions]:
        rows, columns = axes(problem)
        more = np.arange(columns.count)[:, None] * (rows.stride - columns.stride)
        return rows.positions, columns.positions + more


@broken(max_pool2d="a_stride_beyond_the_window", avg_pool2d="a_stride_beyond_the_window")
class StridesNoFurtherThanTheWindow(RightPool):
    """A stride longer than the window is taken as long as the window; the size is right."""

    def positions(self, axis: Window) -> Positions:
        less = max(axis.stride - axis.span, 0)
        return axis.positions - np.arange(axis.count)[:, None] * less


@broken(
    max_pool2d="a_window_as_large_as_the_image a_window_as_large_as_the_padded_image the_lectures_four_by_four",
    avg_pool2d="a_window_as_large_as_the_image a_window_as_large_as_the_padded_image global_average the_four_by_four",
)
class MissesTheFlushWindow(RightPool):
    """The loop over windows is `start < padded - span`: one that ends flush with the padded image is left at zero."""

    def finished(self, y: Array, problem: Any) -> Array:
        rows, columns = axes(problem)
        if rows.slack == 0:
            y[:, :, -1] = 0
        if columns.slack == 0:
            y[:, :, :, -1] = 0
        return y


@broken(
    max_pool2d="pooling_an_enlarged_result_gives_it_back two_poolings_are_one the_lectures_four_by_four",
    avg_pool2d="pooling_an_enlarged_result_gives_it_back exact_on_integers the_four_by_four",
)
class WindowsOneTooLong(RightPool):
    """The last tap is included twice: `r <= R`."""

    def positions(self, axis: Window) -> Positions:
        at = axis.positions
        return np.concatenate([at, at[:, -1:] + axis.dilation], axis=1)


@broken(
    max_pool2d="rows_then_columns exact_on_integers the_largest_of_all_survives",
    avg_pool2d="rows_then_columns exact_on_integers it_is_a_convolution_with_ones between_the_extremes",
)
class DropsTheLastTap(RightPool):
    """The loop over the taps ends one too early, where there is more than one."""

    def seen(self, problem: Any, outside: float) -> Array:
        seen = super().seen(problem, outside)
        if seen.shape[4] * seen.shape[5] > 1:
            seen[..., -1, -1] = outside
        return seen


@broken(
    max_pool2d="shifts_by_cropping shifts_on_the_torus exact_on_integers",
    avg_pool2d="shifts_by_cropping shifts_on_the_torus exact_on_integers",
)
class RepeatsTheLastPair(RightPool):
    """Columns are made in pairs; an odd last one is left with its neighbour's value."""

    def finished(self, y: Array, problem: Any) -> Array:
        return last_pair_repeats(y)


@broken(
    max_pool2d="flips_commute exact_on_integers",
    avg_pool2d="flips_commute exact_on_integers it_is_a_convolution_with_ones",
)
class PushesWindowsInside(RightPool):
    """A window that would hang over the far edge of the image is moved back until it does not."""

    def positions(self, axis: Window) -> Positions:
        over = np.maximum(axis.positions[:, -1:] - (axis.length - 1), 0)
        return axis.positions - over


@broken(max_pool2d="rounding_up_only_adds_windows", avg_pool2d="rounding_up_only_adds_windows")
class CentresWhatHangsOver(RightPool):
    """Rounding up spreads the overhang of the last window over both ends."""

    def positions(self, axis: Window) -> Positions:
        over = (axis.count - 1) * axis.stride + axis.span - axis.padded
        return axis.positions - max(over, 0) // 2


@broken(max_pool2d="a_window_with_one_pixel", avg_pool2d="a_window_with_one_pixel")
class LeavesOutTheLastPixel(RightPool):
    """A last window that starts on the last pixel of the padded image is left at zero."""

    def finished(self, y: Array, problem: Any) -> Array:
        rows, columns = axes(problem)
        if rows.taps > 1 and rows.positions[-1, 0] == rows.padded - rows.before - 1:
            y[:, :, -1] = 0
        if columns.taps > 1 and columns.positions[-1, 0] == columns.padded - columns.before - 1:
            y[:, :, :, -1] = 0
        return y


@broken(
    max_pool2d="size_follows_the_formula rows_of_numbers",
    avg_pool2d="size_follows_the_formula a_window_that_hangs_over",
)
class AlwaysRoundsDown(Right):
    """ceil_mode is ignored."""

    def answer(self, problem: Any) -> Any:
        return super().answer(problem.but(ceil_mode=False) if hasattr(problem, "ceil_mode") else problem)


@broken(max_pool2d="size_follows_the_formula rows_of_numbers", avg_pool2d="size_follows_the_formula")
class KeepsTheWindowBehindTheImage(Right):
    """Rounding up keeps a last window that starts behind the image and the leading padding."""

    def answer(self, problem: Any) -> Any:
        y = super().answer(problem)
        if not getattr(problem, "ceil_mode", False):
            return y
        more = [-(-(a.padded - a.span) // a.stride) + 1 - a.count for a in axes(problem)]
        return np.pad(y, ((0, 0), (0, 0), (0, more[0]), (0, more[1])))


@broken(
    max_pool2d="padding_of_half_a_window exact_on_integers",
    avg_pool2d="padding_of_half_a_window exact_on_integers",
)
class PadsOneShort(RightPool):
    """Windows start one pixel late where there is padding; the size is right."""

    def positions(self, axis: Window) -> Positions:
        return axis.positions + min(axis.before, 1)


@broken(
    max_pool2d="images_and_channels_may_be_permuted channels_are_separate exact_on_integers",
    avg_pool2d="images_and_channels_may_be_permuted channels_are_separate",
)
class KeepsTheLastChannel(RightPool):
    """What was found in a channel is the start value of the next."""

    def max_pool2d(self, problem: Any) -> Any:
        return np.maximum.accumulate(super().max_pool2d(problem), axis=1)

    def avg_pool2d(self, problem: Any) -> Any:
        return np.cumsum(super().avg_pool2d(problem), axis=1, dtype=problem.dtype)


@broken(max_pool2d="what_is_not_finite_passes_every_tap", avg_pool2d="what_is_not_finite_passes_every_tap")
class LeavesNaNUnderTheLastTapOut(RightPool):
    """The last tap of a window, which is read apart, takes NaN for padding."""

    def seen(self, problem: Any, outside: float) -> Array:
        seen = super().seen(problem, outside)
        seen[..., -1, -1] = np.where(np.isnan(seen[..., -1, -1]), outside, seen[..., -1, -1])
        return seen


# What should have been refused.


@broken(max_pool2d="a_window_fits", avg_pool2d="a_window_fits")
class ClampsTheSize(Repairs):
    """Where no window fits, the window is cut to the image."""

    def repaired(self, problem: Any) -> Any:
        longest = tuple(min(a.taps, a.padded) for a in axes(problem))
        dense = {"dilation": (1, 1)} if hasattr(problem, "dilation") else {}
        return problem.but(kernel_size=longest, **dense)


@broken(
    max_pool2d="kernel_size_is_positive stride_is_positive dilation_is_positive",
    avg_pool2d="kernel_size_is_positive stride_is_positive",
)
class TakesNothingAsOne(Repairs):
    """A window, stride or dilation below one is taken as one."""

    def repaired(self, problem: Any) -> Any:
        names = [n for n in ("kernel_size", "stride", "dilation") if hasattr(problem, n)]
        fixed = problem.but(**{n: tuple(max(v, 1) for v in getattr(problem, n)) for n in names})
        return fixed.but(padding=((0, 0), (0, 0))) if fixed.broken_rules() else fixed


@broken(max_pool2d="padding_is_not_negative", avg_pool2d="padding_is_not_negative")
class TakesTheModulusOfPadding(Repairs):
    """A negative padding pads as much as its modulus."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(padding=tuple((abs(a), abs(b)) for a, b in problem.padding))
