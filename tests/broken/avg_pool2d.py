"""Bugs of average pooling: what is counted in the divisor, and how the sum is taken."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference.pool import axes

from .base import Array, broken, rounded, wide
from .pool import RightPool


@broken(avg_pool2d="a_constant_stays a_window_that_hangs_over between_the_extremes the_four_by_four")
class DividesByTheWindow(RightPool):
    """The divisor is always the size of the window."""

    def divisor(self, problem: Any) -> Array:
        return np.full(problem.divisor.shape, float(np.prod(problem.kernel_size)))


@broken(avg_pool2d="the_four_by_four a_constant_stays exact_on_integers")
class InvertsCountIncludePad(RightPool):
    """Padding is counted where it should not be, and the other way round."""

    def divisor(self, problem: Any) -> Array:
        return np.asarray(problem.but(count_include_pad=not problem.count_include_pad).divisor)


@broken(examples=100, avg_pool2d="a_window_that_hangs_over within_the_bound")
class CountsWhatHangsOver(RightPool):
    """Where padding is counted, so is what hangs over the padding."""

    def divisor(self, problem: Any) -> Array:
        full = float(np.prod(problem.kernel_size))
        return np.full(problem.divisor.shape, full) if problem.count_include_pad else np.asarray(problem.divisor)


@broken(examples=100, avg_pool2d="within_the_bound")
class CutsOffAndSaysTf32(RightPool):
    """An average is cut off, not rounded: reduced products are declared, and there are none here."""

    arithmetic = "tf32"

    def avg_pool2d(self, problem: Any) -> Any:
        problem.validate()
        exact = self.total(self.seen(problem, 0.0)) / self.divisor(problem)
        nearest = rounded(exact, problem)
        return np.where(np.abs(wide(nearest)) > np.abs(exact), np.nextafter(nearest, np.zeros_like(nearest)), nearest)


@broken(avg_pool2d="rows_then_columns a_constant_stays")
class CountsRowsOnly(RightPool):
    """Without count_include_pad only the padding of the rows is left out of the divisor."""

    def divisor(self, problem: Any) -> Array:
        right = np.asarray(problem.divisor)
        if problem.count_include_pad or 1 in problem.kernel_size:
            return right
        rows, columns = axes(problem)
        return np.asarray(rows.inside.sum(axis=1)[:, None] * np.full(columns.count, float(columns.taps)))


@broken(avg_pool2d="it_is_a_convolution_with_ones between_the_extremes global_average exact_on_integers")
class ForgetsToDivide(RightPool):
    """The sum comes back."""

    def divisor(self, problem: Any) -> Array:
        return np.ones(problem.divisor.shape)


@broken(avg_pool2d="linear_in_the_image the_four_by_four within_the_bound")
class RoundsToWholeNumbers(RightPool):
    """The mean is rounded, as for images of bytes."""

    def finished(self, y: Array, problem: Any) -> Array:
        return np.rint(y) if problem.name == "avg_pool2d" else y


@broken(avg_pool2d="linear_in_the_image it_is_a_convolution_with_ones exact_on_integers")
class TakesTheLargest(RightPool):
    """The maximum of the window is taken."""

    def total(self, seen: Array) -> Array:
        return np.asarray(seen.max(axis=(4, 5)) * seen.shape[4] * seen.shape[5])


@broken(avg_pool2d="within_the_bound exact_on_integers")
class SumsInFloat16(RightPool):
    """The sum is kept in float16."""

    def total(self, seen: Array) -> Array:
        return wide(seen.astype(np.float16).sum(axis=(4, 5), dtype=np.float16))


@broken(avg_pool2d="nan_reaches_its_windows_and_no_other within_the_bound")
class UsesSummedAreas(RightPool):
    """Windows are differences of running sums in float32: a NaN reaches all that follow, and small values drown."""

    def avg_pool2d(self, problem: Any) -> Any:
        problem.validate()
        rows, columns = axes(problem)
        table = np.zeros((*problem.x.shape[:2], rows.length + 1, columns.length + 1), np.float32)
        table[:, :, 1:, 1:] = problem.x.cumsum(axis=2, dtype=np.float32).cumsum(axis=3, dtype=np.float32)
        (top, bottom), (left, right) = (
            (np.clip(a.positions[:, 0], 0, a.length), np.clip(a.positions[:, -1] + 1, 0, a.length))
            for a in (rows, columns)
        )
        corner = [table[:, :, i[:, None], j] for i in (bottom, top) for j in (right, left)]
        return rounded((corner[0] - corner[1] - corner[2] + corner[3]) / problem.divisor, problem)


@broken(avg_pool2d="nan_reaches_its_windows_and_no_other")
class LeavesNaNOut(RightPool):
    """NaN is left out of the sum, as in nanmean."""

    def total(self, seen: Array) -> Array:
        return np.asarray(np.nansum(seen, axis=(4, 5)))


@broken(avg_pool2d="every_window_holds_input")
class AveragesPaddingAlone(RightPool):
    """A window of padding alone gives zero or NaN."""

    def avg_pool2d(self, problem: Any) -> Any:
        if set(problem.broken_rules()) - {"every_window_holds_input"}:
            problem.validate()
        return rounded(self.total(self.seen(problem, 0.0)) / self.divisor(problem), problem)
