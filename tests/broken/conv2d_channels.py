"""Bugs of convolution that no pixel decides: which channel belongs to which group and filter, and what is added."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Conv2d

from .base import Array, Right, broken, rounded, wide
from .conv2d import RightConv2d


@broken(conv2d="groups_are_separate groups_are_a_block_diagonal_filter depthwise_with_a_multiplier exact_on_integers")
class InterleavesTheGroups(RightConv2d):
    """Filter k reads group k mod groups."""

    def group(self, problem: Conv2d, k: int) -> int:
        return k % problem.groups


@broken(conv2d="depthwise_with_a_multiplier depthwise_filters")
class OrdersMultipliersFirst(RightConv2d):
    """Depthwise with a multiplier: outputs come multiplier by multiplier instead of channel by channel."""

    def conv2d(self, problem: Any) -> Any:
        y = super().conv2d(problem)
        n, *_, i, j = y.shape
        if problem.weight.shape[1] != 1 or problem.groups == 1:
            return y
        return y.reshape(n, problem.groups, -1, i, j).swapaxes(1, 2).reshape(y.shape)


@broken(conv2d="the_adjoint_moves_to_the_other_side")
class OrdersLargeMultipliersFirst(OrdersMultipliersFirst):
    """The same, in the path for filters of more than one tap only, which the worked example does not take.

    Few drawn problems are depthwise; the adjoint of a convolution with one filter per group is.
    """

    def conv2d(self, problem: Any) -> Any:
        taps = problem.weight.shape[2] * problem.weight.shape[3]
        return super().conv2d(problem) if taps > 1 else self.answer(problem)


@broken(conv2d="channels_add_up channels_may_be_permuted exact_on_integers two_layers_are_one")
class DropsTheOddChannel(RightConv2d):
    """Channels are taken in pairs; an odd last one is dropped."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        c = problem.weight.shape[1]
        if c > 1 and c % 2:
            seen = np.array(seen)
            seen[:, c - 1 :: c] = 0
        return super().sums(problem, seen)


@broken(70, conv2d="exact_on_integers")  # with few calls to shrink, seventeen channels may remain
class DropsTheFifthChannel(RightConv2d):
    """Channels are taken in fours; a single one left over is dropped."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        c = problem.weight.shape[1]
        if c > 4 and c % 4 == 1:
            seen = np.array(seen)
            seen[:, c - 1 :: c] = 0
        return super().sums(problem, seen)


@broken(examples=100, conv2d="filters_may_be_permuted filters_are_separate exact_on_integers")
class RepeatsOneFilter(Right):
    """Filters are taken in pairs; an odd last one is replaced by the one before it."""

    def conv2d(self, problem: Any) -> Any:
        weight = np.array(problem.weight)
        if weight.shape[0] > 1 and weight.shape[0] % 2:
            weight[-1] = weight[-2]
        return self.answer(problem.but(weight=weight))


@broken(conv2d="images_may_be_permuted images_are_independent")
class CentresOnTheFirstImage(Right):
    """The mean of the batch's first image is taken off every image."""

    def conv2d(self, problem: Any) -> Any:
        first = wide(problem.x)[:1]
        images = wide(problem.x) - (first.mean() if first.size else 0)
        if problem.x.shape[0] < 2:
            return self.answer(problem)
        return self.answer(problem.but(x=images.astype(problem.dtype)))


@broken(conv2d="bias_is_added_once weight_sharing_equations the_rgb_example exact_on_integers")
class AddsTheBiasTwice(Right):
    """The accumulator starts at the bias, and the bias is added at the end."""

    def conv2d(self, problem: Any) -> Any:
        bias = None if problem.bias is None else problem.bias * 2
        return self.answer(problem.but(bias=bias))


@broken(conv2d="bias_is_added_once weight_sharing_equations exact_on_integers")
class AddsTheBiasPerTap(Right):
    """The bias is added at every tap."""

    def conv2d(self, problem: Any) -> Any:
        taps = problem.weight.shape[2] * problem.weight.shape[3]
        bias = None if problem.bias is None else problem.bias * taps
        return self.answer(problem.but(bias=bias))


@broken(conv2d="bias_is_added_once groups_are_separate groups_are_a_block_diagonal_filter")
class ForgetsTheBiasOfGroups(Right):
    """With more than one group the bias is left out."""

    def conv2d(self, problem: Any) -> Any:
        return self.answer(problem.but(bias=None) if problem.groups > 1 else problem)


@broken(conv2d="no_bias_is_a_bias_of_zero two_padded_layers_are_one")
class AddsOnesForNoBias(Right):
    """Without a bias, an array of ones stands in for it."""

    def conv2d(self, problem: Any) -> Any:
        bias = np.ones(problem.weight.shape[0], problem.dtype) if problem.bias is None else problem.bias
        return self.answer(problem.but(bias=bias))


@broken(elements=60, conv2d="exact_on_integers")
class AddsTheBiasAlongTheColumns(Right):
    """The bias is broadcast along the last axis, where its length happens to fit."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem.but(bias=None))
        if problem.bias is None or y.shape[3] != y.shape[1]:
            return self.answer(problem)
        return rounded(y + wide(problem.bias), problem)
