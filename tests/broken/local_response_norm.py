"""Bugs of local response normalization."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Right, broken, last_pair_repeats, rounded, wide


class RightLRN(Right):
    """x over a power of what its neighbours add up to: a bug overrides one step."""

    def local_response_norm(self, problem: Any) -> Any:
        problem.validate()
        x = wide(problem.x)
        y = np.zeros(x.shape)
        with np.errstate(all="ignore"):
            for c in range(x.shape[1]):
                first, last = self.window(problem, c)
                seen = x[:, max(first, 0) : last + 1]
                divisor = problem.k + self.share(problem, seen) * self.total(seen)
                y[:, c] = x[:, c] * divisor ** -self.power(problem)
        return rounded(self.last(y), problem)

    def window(self, problem: Any, c: int) -> tuple[int, int]:
        return c - (problem.size - 1) // 2, c + problem.size // 2

    def share(self, problem: Any, seen: Array) -> float:
        return float(problem.alpha / problem.size)

    def total(self, seen: Array) -> Array:
        return np.asarray((seen**2).sum(axis=1))

    def power(self, problem: Any) -> float:
        return float(problem.beta)

    def last(self, y: Array) -> Array:
        return y


@broken(60, local_response_norm="counting_the_window within_the_bound")
class ForgetsToDivideAlpha(RightLRN):
    """alpha is not divided by the size."""

    def share(self, problem: Any, seen: Array) -> float:
        return float(problem.alpha)


@broken(60, local_response_norm="counting_the_window within_the_bound")
class DividesAlphaByTheCount(RightLRN):
    """alpha is divided by the number of channels that the window holds."""

    def share(self, problem: Any, seen: Array) -> float:
        return float(problem.alpha / max(seen.shape[1], 1))


@broken(60, local_response_norm="counting_the_window within_the_bound")
class MirrorsEvenWindows(RightLRN):
    """An even window has its extra channel before, and nothing says so."""

    def window(self, problem: Any, c: int) -> tuple[int, int]:
        return c - problem.size // 2, c + (problem.size - 1) // 2


@broken(
    60,
    local_response_norm="a_window_over_all_channels_is_one_sum a_window_beyond_the_channels"
    " nan_reaches_its_neighbours_and_no_other within_the_bound",
)
class LooksBackOnly(RightLRN):
    """The window ends at the channel itself."""

    def window(self, problem: Any, c: int) -> tuple[int, int]:
        return c - problem.size + 1, c


@broken(60, local_response_norm="alpha_takes_the_scale within_the_bound")
class AddsModuli(RightLRN):
    """Moduli are added, not squares."""

    def total(self, seen: Array) -> Array:
        return np.asarray(np.abs(seen).sum(axis=1))


@broken(60, local_response_norm="alpha_takes_the_scale beta_zero_changes_nothing exact_on_integers")
class TakesZeroAsTheDefault(RightLRN):
    """A beta of 0 is read as not given, 0.75; and one square too many is added."""

    def power(self, problem: Any) -> float:
        return float(problem.beta or 0.75)

    def total(self, seen: Array) -> Array:
        return super().total(seen) + 1


@broken(60, local_response_norm="k_takes_the_scale within_the_bound")
class HasItsOwnK(RightLRN):
    """k is 1 whatever is asked for, as in a library that names it otherwise."""

    def local_response_norm(self, problem: Any) -> Any:
        return super().local_response_norm(problem.but(k=1.0))


@broken(60, local_response_norm="alpha_zero_divides_by_a_power_of_k within_the_bound")
class HasItsOwnBeta(RightLRN):
    """beta is 0.75 whatever is asked for."""

    def power(self, problem: Any) -> float:
        return 0.75


@broken(60, local_response_norm="a_window_of_one_channel within_the_bound")
class LooksAtNeighboursAtLeast(RightLRN):
    """A window holds the channel before and the one behind, however small it is."""

    def window(self, problem: Any, c: int) -> tuple[int, int]:
        first, last = super().window(problem, c)
        return min(first, c - 1), max(last, c + 1)


@broken(60, local_response_norm="negated_inputs_give_negated_outputs exact_on_integers")
class FusesTheRectifier(RightLRN):
    """A rectifier was left on at the end."""

    def last(self, y: Array) -> Array:
        return np.maximum(y, 0)


@broken(60, local_response_norm="pixels_may_be_permuted")
class RepeatsAnOddLastColumn(RightLRN):
    """Columns are made in pairs, and an odd last one is left with what its neighbour has."""

    def last(self, y: Array) -> Array:
        return last_pair_repeats(y)


@broken(local_response_norm="nan_reaches_its_neighbours_and_no_other")
class PassesOverNaN(RightLRN):
    """NaN is left out of the sum."""

    def total(self, seen: Array) -> Array:
        return np.asarray(np.nansum(seen**2, axis=1))


@broken(local_response_norm="infinity_reaches_its_neighbours_and_no_other")
class TakesInfinityForZero(RightLRN):
    """Infinities are taken for zero."""

    def local_response_norm(self, problem: Any) -> Any:
        cleared = np.where(np.isinf(problem.x), 0, problem.x).astype(problem.dtype)
        return super().local_response_norm(problem.but(x=cleared))


@broken(local_response_norm="infinity_reaches_its_neighbours_and_no_other")
class SaturatesTheSquares(RightLRN):
    """The sum of the squares ends at 3e38, which leaves something of the neighbours of an infinity."""

    def total(self, seen: Array) -> Array:
        return np.minimum(super().total(seen), 3e38)
