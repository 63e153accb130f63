"""Bugs of the lecture's flipped, centred convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Repairs, Right, broken, last_pair_repeats, rounded, wide


@broken(
    convolve2d="a_single_one_becomes_the_kernel it_is_a_correlation_with_the_flipped_kernel the_animated_example"
    " image_and_kernel_may_be_exchanged exact_on_integers"
)
class DoesNotFlip(Right):
    """The kernel is not flipped: a correlation."""

    def convolve2d(self, problem: Any) -> Any:
        return self.answer(problem.but(kernel=problem.kernel[::-1, ::-1]))


@broken(convolve2d="it_is_a_correlation_with_the_flipped_kernel the_animated_example exact_on_integers")
class FlipsTheRowsOnly(Right):
    """The kernel is flipped along its rows only."""

    def convolve2d(self, problem: Any) -> Any:
        return self.answer(problem.but(kernel=problem.kernel[:, ::-1]))


@broken(convolve2d="a_single_one_becomes_the_kernel exact_on_integers")
class TransposesSquareKernels(Right):
    """A square kernel is stored column by column."""

    def convolve2d(self, problem: Any) -> Any:
        square = problem.kernel.shape[0] == problem.kernel.shape[1]
        return self.answer(problem.but(kernel=problem.kernel.T) if square else problem)


@broken(convolve2d="two_kernels_are_one a_single_one_becomes_the_kernel exact_on_integers")
class IsOffCentre(Right):
    """The centre lies one column to the right."""

    def convolve2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        moved = np.zeros_like(y)
        moved[:, :-1] = y[:, 1:]
        return moved


@broken(convolve2d="exact_on_integers the_animated_example one_pixel")
class WrapsAround(Right):
    """Beyond the border the matrix goes on from the other side, as a Fourier transform does it."""

    def convolve2d(self, problem: Any) -> Any:
        problem.validate()
        a, b = problem.kernel.shape[0] // 2, problem.kernel.shape[1] // 2
        y = np.zeros(problem.x.shape)
        for u, v in np.ndindex(problem.kernel.shape):
            y += float(problem.kernel[u, v]) * np.roll(wide(problem.x), (u - a, v - b), (0, 1))
        return rounded(y, problem)


@broken(convolve2d="shifts_with_zeros_around one_pixel exact_on_integers")
class LeavesTheBorderZero(Right):
    """Only windows that lie wholly on the matrix are computed; the border stays zero."""

    def convolve2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        a, b = problem.kernel.shape[0] // 2, problem.kernel.shape[1] // 2
        inside = np.zeros(y.shape, bool)
        inside[a : max(y.shape[0] - a, 0), b : max(y.shape[1] - b, 0)] = True
        return np.where(inside, y, np.zeros((), y.dtype))


@broken(convolve2d="size_follows_the_formula a_kernel_larger_than_the_image")
class HasTheSizeOfTheLarger(Right):
    """The result is as large as the larger of the two, as with NumPy's `same`."""

    def convolve2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        more = [max(k - n, 0) for n, k in zip(problem.x.shape, problem.kernel.shape, strict=True)]
        return np.pad(y, [(m // 2, m - m // 2) for m in more])


@broken(convolve2d="linear_in_the_image linear_in_the_kernel two_kernels_are_one exact_on_integers")
class FusesTheRectifier(Right):
    """A rectifier was left on at the end."""

    def convolve2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        return np.maximum(y, np.zeros((), y.dtype))


@broken(convolve2d="linear_in_the_kernel within_the_bound")
class NormalisesTheKernel(Right):
    """The kernel is divided by its sum, as for blurring."""

    def convolve2d(self, problem: Any) -> Any:
        total = float(wide(problem.kernel).sum())
        return rounded(problem.expected() / (total or 1.0), problem)


@broken(convolve2d="exact_on_integers shifts_with_zeros_around")
class RepeatsTheLastPair(Right):
    """Columns are made in pairs; an odd last one is left with its neighbour's value."""

    def convolve2d(self, problem: Any) -> Any:
        return rounded(last_pair_repeats(problem.expected()), problem)


@broken(convolve2d="exact_on_integers within_the_bound")
class GoesThroughFloat16(Right):
    """The products are summed in float16."""

    def convolve2d(self, problem: Any) -> Any:
        return rounded(problem.expected().astype(np.float16), problem)


@broken(convolve2d="the_kernel_has_a_centre")
class CentresEvenKernels(Repairs):
    """An even kernel is made odd by a row or column of zeros."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(kernel=np.pad(problem.kernel, [(0, 1 - n % 2) for n in problem.kernel.shape]))


@broken(convolve2d="ranks_are_right")
class FlattensToMatrices(Repairs):
    """Arrays of more axes are flattened to matrices."""

    def repaired(self, problem: Any) -> Any:
        x, kernel = (a.reshape(-1, a.shape[-1]) for a in (problem.x, problem.kernel))
        return problem.but(x=x, kernel=kernel)


@broken(convolve2d="what_is_not_finite_passes_every_tap")
class TakesNaNUnderTheLastTapAsZero(Right):
    """The last tap, which is computed apart, takes NaN for a missing number."""

    def convolve2d(self, problem: Any) -> Any:
        problem.validate()
        kernel = wide(problem.kernel)[::-1, ::-1]
        around = np.pad(wide(problem.x), [(n // 2, n // 2) for n in kernel.shape])
        seen = np.array(np.lib.stride_tricks.sliding_window_view(around, kernel.shape))
        seen[..., -1, -1] = np.where(np.isnan(seen[..., -1, -1]), 0, seen[..., -1, -1])
        return rounded(np.tensordot(seen, kernel, 2), problem)
