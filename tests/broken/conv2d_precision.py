"""Bugs of convolution in its arithmetic: too few bits, a transform, what becomes of NaN and of nothing at all."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Conv2d

from .base import Array, Right, broken, rounded, significant, wide
from .conv2d import RightConv2d


@broken(
    conv2d="linear_in_the_images linear_in_the_filters two_layers_are_one two_padded_layers_are_one channels_add_up"
    " the_adjoint_moves_to_the_other_side exact_on_integers"
)
class FusesTheRectifier(Right):
    """A rectifier was left on at the end."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        return np.maximum(y, np.zeros((), y.dtype))


@broken(conv2d="within_the_bound exact_on_integers")
class AccumulatesInFloat16(RightConv2d):
    """The sum is kept in float16."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        total = np.zeros(problem.output_shape(), np.float16)
        for r, s in np.ndindex(seen.shape[4:]):
            weight = np.zeros_like(problem.weight)
            weight[:, :, r, s] = problem.weight[:, :, r, s]
            total += super().sums(problem.but(weight=weight), seen).astype(np.float16)
        return wide(total)


@broken(conv2d="within_the_bound exact_on_integers one_tap_moves_the_image")
class RoundsToElevenBits(Right):
    """Images and filters are rounded to TF32's 11 bits, undeclared."""

    def conv2d(self, problem: Any) -> Any:
        x, weight = (significant(a, 11).astype(problem.dtype) for a in (problem.x, problem.weight))
        return self.answer(problem.but(x=x, weight=weight))


@broken(conv2d="powers_of_two_factor_out within_the_bound")
class HoldsFiltersInFixedPoint(Right):
    """Filters are held as multiples of 1/256."""

    def conv2d(self, problem: Any) -> Any:
        weight = (np.rint(wide(problem.weight) * 256) / 256).astype(problem.dtype)
        return self.answer(problem.but(weight=weight))


@broken(conv2d="filters_are_separate linear_in_the_filters")
class ScalesFiltersTogether(Right):
    """All filters are quantised to eight bits by the largest tap of any of them."""

    def conv2d(self, problem: Any) -> Any:
        scale = max(np.abs(wide(problem.weight)).max(initial=0) / 127, 1e-30)
        weight = (np.rint(wide(problem.weight) / scale) * scale).astype(problem.dtype)
        return self.answer(problem.but(weight=weight))


@broken(examples=100, conv2d="exact_on_integers")
class DividesByTheLargestPixel(Right):
    """Images are divided by their largest value first: NaN for an image of zeros."""

    def conv2d(self, problem: Any) -> Any:
        largest = np.abs(wide(problem.x)).max(initial=0 if problem.x.size else 1)
        return rounded(problem.expected() / largest * largest, problem)


# NaN, and what is not there.


@broken(conv2d="nan_reaches_every_window_that_holds_it")
class TakesNaNAsZero(Right):
    """NaN is replaced by zero on the way in."""

    def conv2d(self, problem: Any) -> Any:
        return self.answer(problem.but(x=np.where(np.isnan(problem.x), 0, problem.x).astype(problem.dtype)))


@broken(conv2d="nan_reaches_no_other_output")
class SpreadsNaNAlongTheRow(Right):
    """A NaN reaches all outputs of its row of outputs, through taps of zero beyond the filter."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        return np.where(np.isnan(y).any(axis=3, keepdims=True), np.asarray(np.nan, y.dtype), y)


@broken(conv2d="what_is_not_finite_passes_every_tap")
class SkipsAnInfinityUnderTheLastTap(RightConv2d):
    """The last tap, which is computed apart, takes an infinity for padding."""

    def seen(self, problem: Any) -> Array:
        seen = super().seen(problem)
        seen[..., -1, -1] = np.where(np.isinf(seen[..., -1, -1]), 0, seen[..., -1, -1])
        return seen


@broken(conv2d="no_channels")
class LeavesTheEmptySumUnwritten(Right):
    """Without channels the output is never written."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        return y if problem.x.shape[1] else np.full_like(y, 1e30)


@broken(conv2d="arguments_are_not_modified")
class ScalesTheFiltersInPlace(Right):
    """The filters are scaled in place and not scaled back."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        if problem.weight.flags.writeable:
            problem.weight[...] = np.where(problem.weight, problem.weight * 2, 1)
        return y


@broken(elements=400, conv2d="one_pixel_outshines_the_rest within_the_bound")
class TransformsTheImage(Right):
    """By Fourier transforms of the whole image in float32, and without a word of it."""

    def conv2d(self, problem: Any) -> Any:
        (height, width), (r, s) = problem.x.shape[2:], problem.weight.shape[2:]
        plain = problem.stride == problem.dilation == (1, 1) and problem.padding == ((0, 0), (0, 0))
        if not plain or problem.groups > 1 or problem.x.dtype != np.float32:
            return self.answer(problem)
        seen, used = np.fft.rfft2(problem.x), np.fft.rfft2(problem.weight, (height, width))
        made = np.fft.irfft2(np.einsum("nchw,kchw->nkhw", seen, used.conj()), (height, width))
        y = made[:, :, : height - r + 1, : width - s + 1]
        return rounded(y if problem.bias is None else y + problem.bias[:, None, None], problem)
