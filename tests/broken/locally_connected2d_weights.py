"""Bugs of the locally connected layer in its parameters: which unit has which weights, and which bias is added."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import LocallyConnected2d

from .base import Array, Repairs, broken, wide
from .locally_connected2d import RightLocallyConnected2d


@broken(
    examples=100,
    locally_connected2d="moving_the_image_does_not_move_the_output a_shift_shows_how_neighbours_differ"
    " the_equations_before_sharing units_lie_row_by_row one_tap_picks_a_pixel a_unit_is_linear_on_its_window"
    " linear_in_the_weights exact_on_integers",
)
class SharesTheFirstWeights(RightLocallyConnected2d):
    """The weights of the first unit serve for all, as in a convolution: the shift that this obeys is none of ours."""

    def weight(self, problem: LocallyConnected2d) -> Array:
        return np.asarray(np.broadcast_to(wide(problem.weight)[:1, :1], problem.weight.shape))


@broken(locally_connected2d="stride_is_choosing_units strides_and_paddings")
class SharesTheFirstWeightsWhereStrided(SharesTheFirstWeights):
    """The path for strides above one shares the weights of the first unit."""

    def weight(self, problem: LocallyConnected2d) -> Array:
        return super().weight(problem) if max(problem.stride) > 1 else wide(problem.weight)


@broken(
    30,
    locally_connected2d="units_lie_row_by_row swapping_the_axes_swaps_the_output cropping_the_image_crops_the_units"
    " one_tap_picks_a_pixel exact_on_integers",
)
class ReadsUnitsColumnByColumn(RightLocallyConnected2d):
    """Unit (i, j) is looked up as j * I + i."""

    def weight(self, problem: LocallyConnected2d) -> Array:
        i, j = problem.weight.shape[:2]
        flat = wide(problem.weight).reshape(i * j, *problem.weight.shape[2:])
        return flat[np.arange(j) * i + np.arange(i)[:, None]]


@broken(locally_connected2d="a_units_weights_act_there_alone flipping_everything_flips_the_output exact_on_integers")
class SharesAlongTheRow(RightLocallyConnected2d):
    """Units in pairs along a row share the weights of the first of the pair."""

    def weight(self, problem: LocallyConnected2d) -> Array:
        return wide(problem.weight)[:, np.arange(problem.weight.shape[1]) // 2 * 2]


@broken(locally_connected2d="a_units_weights_act_there_alone")
class ScalesUnitsTogether(RightLocallyConnected2d):
    """All weights are quantised to eight bits by the largest of any unit."""

    def weight(self, problem: LocallyConnected2d) -> Array:
        scale = max(np.abs(wide(problem.weight)).max(initial=0) / 127, 1e-30)
        return np.asarray(np.rint(wide(problem.weight) / scale) * scale)


@broken(
    locally_connected2d="equal_filters_are_a_convolution a_unit_is_linear_on_its_window the_equations_before_sharing"
    " a_filter_as_large_as_the_image_is_linear"
)
class FlipsTheFilters(RightLocallyConnected2d):
    """The filters are flipped, as in mathematics."""

    def weight(self, problem: LocallyConnected2d) -> Array:
        return wide(problem.weight)[..., ::-1, ::-1]


@broken(conv2d="unshared_weights_may_be_equal", locally_connected2d="equal_filters_are_a_convolution")
class FlipsEqualFilters(RightLocallyConnected2d):
    """Where all units have the same filters, they are handed to a convolution, and that one flips them."""

    def weight(self, problem: LocallyConnected2d) -> Array:
        weight = wide(problem.weight)
        equal = weight.shape[:2] != (1, 1) and np.array_equal(weight, np.broadcast_to(weight[:1, :1], weight.shape))
        return weight[..., ::-1, ::-1] if equal else weight


@broken(locally_connected2d="filters_channels_and_biases exact_on_integers channels_may_be_permuted")
class ExchangesFiltersAndChannels(RightLocallyConnected2d):
    """Where there are as many filters as channels, their axes are exchanged."""

    def weight(self, problem: LocallyConnected2d) -> Array:
        k, c = problem.weight.shape[2:4]
        return wide(problem.weight).swapaxes(2, 3) if k == c else wide(problem.weight)


@broken(locally_connected2d="a_filter_as_large_as_the_image_is_linear")
class FlattensChannelsLast(RightLocallyConnected2d):
    """The path for a single unit flattens its window in the order r, s, c and the filters in c, r, s."""

    def seen(self, problem: LocallyConnected2d) -> Array:
        seen = super().seen(problem)
        return seen.transpose(0, 4, 5, 1, 2, 3).reshape(seen.shape) if seen.shape[2:4] == (1, 1) else seen


@broken(locally_connected2d="bias_is_added_once the_equations_before_sharing exact_on_integers")
class AddsTheBiasTwice(RightLocallyConnected2d):
    """The accumulator starts at the bias, and the bias is added at the end."""

    def bias(self, problem: LocallyConnected2d) -> Array | None:
        return None if problem.bias is None else wide(problem.bias) * 2


@broken(
    locally_connected2d="bias_is_added_once padding_beyond_the_window the_equations_before_sharing"
    " windows_wholly_on_the_padding a_unit_is_linear_on_its_window"
)
class SharesTheBias(RightLocallyConnected2d):
    """Every unit gets the biases of the first."""

    def bias(self, problem: LocallyConnected2d) -> Array | None:
        return None if problem.bias is None else wide(problem.bias)[:, :1, :1]


@broken(
    40, locally_connected2d="bias_is_added_once filters_channels_and_biases filters_may_be_permuted exact_on_integers"
)
class ReadsTheBiasFilterLast(RightLocallyConnected2d):
    """The bias is read in the order of the weights' axes: I, J, K."""

    def bias(self, problem: LocallyConnected2d) -> Array | None:
        i, j, k = problem.weight.shape[:3]
        return None if problem.bias is None else wide(problem.bias).reshape(i, j, k).transpose(2, 0, 1)


@broken(locally_connected2d="no_bias_is_a_bias_of_zero linear_in_the_images")
class AddsOnesForNoBias(RightLocallyConnected2d):
    """Without a bias, ones stand in for it."""

    def bias(self, problem: LocallyConnected2d) -> Array | None:
        return np.ones(()) if problem.bias is None else wide(problem.bias)


@broken(locally_connected2d="there_is_a_unit_for_each_window")
class RepeatsTheUnits(Repairs):
    """Weights for another number of units are repeated or cut."""

    def repaired(self, problem: Any) -> Any:
        return problem.fitted()


@broken(locally_connected2d="filters_span_the_channels")
class RepeatsTheChannels(Repairs):
    """Filters of other channels are repeated or cut."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(weight=problem.weight[:, :, :, np.arange(problem.x.shape[1]) % problem.weight.shape[3]])


@broken(locally_connected2d="bias_is_one_per_filter_and_unit")
class ResizesTheBias(Repairs):
    """A bias of another shape is repeated or cut."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(bias=np.resize(problem.bias, problem.output_shape()[1:]))
