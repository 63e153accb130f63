"""Bugs of the locally connected layer: which pixel a unit sees, what is added up, and what the size is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import LocallyConnected2d

from .base import Array, Repairs, Right, broken, last_pair_repeats, rounded, significant, source, taken, wide

Positions = npt.NDArray[Any]


class RightLocallyConnected2d(Right):
    """The layer out of parts, each of which a bug may replace."""

    def locally_connected2d(self, problem: Any) -> Any:
        problem.validate()
        y = self.sums(problem, self.seen(problem), self.weight(problem))
        bias = self.bias(problem)
        return rounded(y if bias is None else y + bias, problem)

    def weight(self, problem: LocallyConnected2d) -> Array:
        return wide(problem.weight)

    def bias(self, problem: LocallyConnected2d) -> Array | None:
        return None if problem.bias is None else wide(problem.bias)

    def positions(self, problem: LocallyConnected2d) -> tuple[Positions, Positions]:
        """(I, R) and (J, S): where each tap of each window lies, counted from the image's corner."""
        rows, columns = problem.axes
        return rows.positions, columns.positions

    def seen(self, problem: LocallyConnected2d) -> Array:
        """(N, C, I, J, R, S)."""
        at = (source(p, n) for p, n in zip(self.positions(problem), problem.x.shape[2:], strict=True))
        return taken(problem.x, *at)

    def sums(self, problem: LocallyConnected2d, seen: Array, weight: Array) -> Array:
        """The sums of products without the bias: (N, K, I, J)."""
        return np.asarray(np.einsum("ncijrs,ijkcrs->nkij", seen, weight))


# Which pixel a unit sees.


@broken(
    locally_connected2d="exact_on_integers stride_is_choosing_units a_unit_sees_its_window_alone"
    " swapping_the_axes_swaps_the_output"
)
class UsesOneStride(RightLocallyConnected2d):
    """The stride of the rows is used on both axes; the size is right."""

    def positions(self, problem: LocallyConnected2d) -> tuple[Positions, Positions]:
        rows, columns = problem.axes
        return rows.positions, columns.positions + np.arange(columns.count)[:, None] * (rows.stride - columns.stride)


@broken(locally_connected2d="a_stride_beyond_the_filter stride_is_choosing_units")
class StridesNoFurtherThanTheFilter(RightLocallyConnected2d):
    """A stride longer than the filter is taken as long as the filter; the size is right."""

    def positions(self, problem: LocallyConnected2d) -> tuple[Positions, Positions]:
        rows, columns = (
            a.positions + np.arange(a.count)[:, None] * (min(a.stride, a.span) - a.stride) for a in problem.axes
        )
        return rows, columns


@broken(locally_connected2d="padding_is_zeros strides_and_paddings")
class ExchangesTheSides(RightLocallyConnected2d):
    """The padding of the bottom is put on top and that of the right on the left."""

    def positions(self, problem: LocallyConnected2d) -> tuple[Positions, Positions]:
        rows, columns = (a.positions + a.before - a.after for a in problem.axes)
        return rows, columns


@broken(locally_connected2d="padding_is_zeros padding_beyond_the_window windows_wholly_on_the_padding")
class RepeatsTheBorder(RightLocallyConnected2d):
    """Beside the image its border is repeated: indices are clamped."""

    def seen(self, problem: LocallyConnected2d) -> Array:
        at = (source(p, n, "replicate") for p, n in zip(self.positions(problem), problem.x.shape[2:], strict=True))
        return taken(problem.x, *at)


@broken(locally_connected2d="a_unit_sees_its_window_alone nan_reaches_no_other_unit")
class SeesItsNeighbourhood(RightLocallyConnected2d):
    """The last tap of a row of taps weighs the pixel behind it as well."""

    def seen(self, problem: LocallyConnected2d) -> Array:
        rows, columns = self.positions(problem)
        columns = np.concatenate([columns, columns[:, -1:] + 1], axis=1)
        at = (source(p, n) for p, n in zip((rows, columns), problem.x.shape[2:], strict=True))
        seen = taken(problem.x, *at)
        seen[..., -2] += seen[..., -1]
        return seen[..., :-1]


# What is added up, and what is left out.


@broken(
    locally_connected2d="a_filter_as_large_as_the_padded_image a_filter_as_large_as_the_image_is_linear"
    " exact_on_integers"
)
class MissesTheFlushWindow(RightLocallyConnected2d):
    """The loop over windows is `start < padded - taps`: one that ends flush with the padded image is left at zero."""

    def sums(self, problem: LocallyConnected2d, seen: Array, weight: Array) -> Array:
        y = super().sums(problem, seen, weight)
        rows, columns = problem.axes
        if rows.slack == 0:
            y[:, :, -1] = 0
        if columns.slack == 0:
            y[:, :, :, -1] = 0
        return y


@broken(locally_connected2d="cropping_the_image_crops_the_units exact_on_integers one_tap_picks_a_pixel")
class RepeatsTheLastPair(RightLocallyConnected2d):
    """Columns are made in pairs; an odd last one is left with its neighbour's value."""

    def sums(self, problem: LocallyConnected2d, seen: Array, weight: Array) -> Array:
        return last_pair_repeats(super().sums(problem, seen, weight))


@broken(30, locally_connected2d="channels_add_up channels_may_be_permuted exact_on_integers")
class DropsTheOddChannel(RightLocallyConnected2d):
    """Channels are taken in pairs; an odd last one is dropped."""

    def sums(self, problem: LocallyConnected2d, seen: Array, weight: Array) -> Array:
        c = seen.shape[1]
        even = c if c == 1 else c // 2 * 2
        return super().sums(problem, seen[:, :even], weight[:, :, :, :even])


@broken(examples=100, locally_connected2d="filters_may_be_permuted exact_on_integers")
class RepeatsOneFilter(RightLocallyConnected2d):
    """Filters are taken in pairs; an odd last one is replaced by the one before it."""

    def weight(self, problem: LocallyConnected2d) -> Array:
        weight = np.array(wide(problem.weight))
        if weight.shape[2] > 1 and weight.shape[2] % 2:
            weight[:, :, -1] = weight[:, :, -2]
        return weight


@broken(locally_connected2d="images_may_be_permuted images_are_independent")
class CentresOnTheFirstImage(Right):
    """The mean of the batch's first image is taken off every image."""

    def locally_connected2d(self, problem: Any) -> Any:
        if problem.x.shape[0] < 2:
            return self.answer(problem)
        images = wide(problem.x)
        return self.answer(problem.but(x=(images - images[:1].mean()).astype(problem.dtype)))


@broken(locally_connected2d="linear_in_the_images linear_in_the_weights channels_add_up")
class FusesTheRectifier(Right):
    """A rectifier was left on at the end."""

    def locally_connected2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        return np.maximum(y, np.zeros((), y.dtype))


@broken(locally_connected2d="within_the_bound exact_on_integers")
class AccumulatesInFloat16(RightLocallyConnected2d):
    """The sum is kept in float16."""

    def sums(self, problem: LocallyConnected2d, seen: Array, weight: Array) -> Array:
        total = np.zeros(problem.output_shape(), np.float16)
        for r, s in np.ndindex(seen.shape[4:]):
            total += np.einsum("ncij,ijkc->nkij", seen[..., r, s], weight[..., r, s]).astype(np.float16)
        return wide(total)


@broken(locally_connected2d="within_the_bound exact_on_integers one_tap_picks_a_pixel")
class RoundsToElevenBits(Right):
    """Images and weights are rounded to TF32's 11 bits, undeclared."""

    def locally_connected2d(self, problem: Any) -> Any:
        x, weight = (significant(a, 11).astype(problem.dtype) for a in (problem.x, problem.weight))
        return self.answer(problem.but(x=x, weight=weight))


@broken(locally_connected2d="padding_beyond_the_window windows_wholly_on_the_padding exact_on_integers")
class SkipsWindowsOfPadding(Right):
    """A window that sees no pixel is skipped, and its bias with it."""

    def locally_connected2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        rows, columns = (axis.inside.any(axis=1) for axis in problem.axes)
        y[:, :, ~rows] = 0
        y[:, :, :, ~columns] = 0
        return y


# The size.


@broken(locally_connected2d="size_follows_the_formula")
class RoundsTheSizeUp(Right):
    """The size is rounded up; the additional outputs are zero."""

    def locally_connected2d(self, problem: Any) -> Any:
        more = [(0, min(axis.slack, 1)) for axis in problem.axes]
        return np.pad(self.answer(problem), ((0, 0), (0, 0), *more))


@broken(locally_connected2d="size_follows_the_formula")
class PutsFiltersLast(Right):
    """The result comes as (N, I, J, K): channels first was asked for and ignored."""

    def locally_connected2d(self, problem: Any) -> Any:
        return self.answer(problem).transpose(0, 2, 3, 1)


# NaN, and what is not there.


@broken(locally_connected2d="nan_reaches_every_unit_that_sees_it")
class TakesNaNAsZero(Right):
    """NaN is replaced by zero on the way in."""

    def locally_connected2d(self, problem: Any) -> Any:
        return self.answer(problem.but(x=np.where(np.isnan(problem.x), 0, problem.x).astype(problem.dtype)))


@broken(locally_connected2d="what_is_not_finite_passes_every_tap")
class TakesNaNUnderTheFirstTapAsZero(RightLocallyConnected2d):
    """The sum starts with the first product unless that is NaN, and at zero then."""

    def seen(self, problem: LocallyConnected2d) -> Array:
        seen = super().seen(problem)
        seen[..., 0, 0] = np.where(np.isnan(seen[..., 0, 0]), 0, seen[..., 0, 0])
        return seen


@broken(locally_connected2d="nan_reaches_no_other_unit")
class MultipliesByABandedMatrix(Right):
    """The layer as one matrix with zeros wherever a unit does not look, which NaN and infinities show."""

    def locally_connected2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        spoilt = ~np.isfinite(wide(problem.x)).all(axis=(1, 2, 3))
        y[spoilt] = np.nan
        return y


@broken(locally_connected2d="no_channels")
class LeavesTheEmptySumUnwritten(Right):
    """Without channels the output is never written."""

    def locally_connected2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        return y if problem.x.shape[1] else np.full_like(y, 1e30)


# What should have been refused.


@broken(locally_connected2d="a_window_fits")
class ClampsTheSize(Repairs):
    """Where no window fits, the image is extended until one does."""

    def repaired(self, problem: Any) -> Any:
        more = [(0, max(a.span - a.padded, 0)) for a in problem.axes]
        weight = np.resize(problem.weight, np.maximum(problem.weight.shape, 1))
        return problem.but(x=np.pad(problem.x, ((0, 0), (0, 0), *more)), weight=weight)


@broken(locally_connected2d="filters_have_taps")
class GivesZerosForNoTaps(Right):
    """Filters without taps give zeros: the empty sum."""

    def locally_connected2d(self, problem: Any) -> Any:
        if 0 not in problem.weight.shape[4:]:
            return self.answer(problem)
        i, j, k = problem.weight.shape[:3]
        return np.zeros((problem.x.shape[0], k, i, j), problem.dtype)


@broken(locally_connected2d="stride_is_positive")
class TakesNothingAsOne(Repairs):
    """A stride below one is taken as one, and the units go round."""

    def repaired(self, problem: Any) -> Any:
        return problem.fitted(stride=tuple(max(v, 1) for v in problem.stride))


@broken(locally_connected2d="parameters_are_whole")
class TruncatesParameters(Repairs):
    """Strides and paddings are converted by int()."""

    def repaired(self, problem: Any) -> Any:
        padding = tuple((int(before), int(after)) for before, after in problem.padding)
        return problem.fitted(stride=tuple(map(int, problem.stride)), padding=padding)


@broken(locally_connected2d="parameters_are_pairs")
class CutsParametersToPairs(Repairs):
    """Of a list that is too long the first two are taken."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(stride=problem.stride[:2], padding=problem.padding[:2])


@broken(locally_connected2d="padding_is_not_negative")
class CropsForNegativePadding(Repairs):
    """A negative padding crops the image."""

    def repaired(self, problem: Any) -> Any:
        (top, bottom), (left, right) = [(max(-before, 0), max(-after, 0)) for before, after in problem.padding]
        h, w = problem.x.shape[2:]
        x = np.array(problem.x[:, :, top : h - bottom, left : w - right], order="C")
        return problem.fitted(x=x, padding=tuple((max(b, 0), max(a, 0)) for b, a in problem.padding))
