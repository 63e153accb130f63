"""Bugs of max pooling: what padding counts as, where the maximum starts, what it does with NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference.window import Window

from .base import Array, broken, rounded, wide
from .pool import Positions, RightPool


@broken(max_pool2d="rows_of_numbers padding_of_half_a_window exact_on_integers")
class LetsPaddingWin(RightPool):
    """Padding counts as zero in a maximum."""

    outside = 0.0


@broken(max_pool2d="minus_infinity_alone nothing_but_minus_infinity")
class StartsAtTheLowestNumber(RightPool):
    """The maximum starts at the lowest finite number."""

    def largest(self, seen: Array) -> Array:
        return np.asarray(seen.max(axis=(4, 5), initial=float(np.finfo(np.float32).min)))


@broken(max_pool2d="nan_propagates")
class ComparesWithNaN(RightPool):
    """`if (v > best) best = v`: a NaN counts only where it comes first."""

    def largest(self, seen: Array) -> Array:
        flat = seen.reshape(*seen.shape[:4], -1)
        best = flat[..., 0]
        for k in range(1, flat.shape[-1]):
            best = np.where(flat[..., k] > best, flat[..., k], best)
        return best


@broken(max_pool2d="nan_propagates")
class IgnoresNaN(RightPool):
    """NaN never wins, and nothing declares it."""

    def largest(self, seen: Array) -> Array:
        return np.asarray(np.fmax.reduce(seen, axis=(4, 5)))


@broken(
    max_pool2d="larger_inputs_give_no_smaller_outputs relu_commutes monotone_functions_commute the_larger_of_two_images"
)
class TakesTheLargestModulus(RightPool):
    """The element of the largest modulus wins."""

    def largest(self, seen: Array) -> Array:
        top, bottom = seen.max(axis=(4, 5)), np.where(np.isinf(seen), 0, seen).min(axis=(4, 5))
        return np.where(-bottom > top, bottom, top)


@broken(
    max_pool2d="smaller_elements_do_not_matter monotone_functions_commute the_larger_of_two_images"
    " the_largest_of_all_survives two_poolings_are_one the_lectures_four_by_four exact_on_integers"
)
class AveragesInstead(RightPool):
    """The mean of the window is taken."""

    def largest(self, seen: Array) -> Array:
        inside = np.isfinite(seen)
        return np.asarray(np.where(inside, seen, 0).sum(axis=(4, 5)) / np.maximum(inside.sum(axis=(4, 5)), 1))


@broken(max_pool2d="dilated_is_interleaved_phases rows_of_numbers exact_on_integers")
class ForgetsDilation(RightPool):
    """The windows are dense; the size is right."""

    def positions(self, axis: Window) -> Positions:
        return axis.positions - np.arange(axis.taps) * (axis.dilation - 1)


@broken(examples=100, max_pool2d="monotone_functions_commute within_the_bound")
class PoolsInFloat16(RightPool):
    """The maximum is held in float16."""

    def largest(self, seen: Array) -> Array:
        return wide(super().largest(seen).astype(np.float16))


@broken(max_pool2d="every_window_holds_input")
class AnswersForPaddingAlone(RightPool):
    """A window of padding alone gives minus infinity."""

    def max_pool2d(self, problem: Any) -> Any:
        if set(problem.broken_rules()) - {"every_window_holds_input"}:
            problem.validate()
        return rounded(self.largest(self.seen(problem, self.outside)), problem)
