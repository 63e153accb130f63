"""Bugs of padding: which element a padded position copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .base import Array, Repairs, Right, broken, rounded, source, taken

Positions = npt.NDArray[Any]


class RightPad2d(Right):
    """Padding out of parts, each of which a bug may replace."""

    def pad2d(self, problem: Any) -> Any:
        problem.validate()
        rows, columns = (
            self.source(np.arange(-before, n + after), n, problem.mode)[:, None]
            for n, (before, after) in zip(problem.x.shape[2:], problem.padding, strict=True)
        )
        return rounded(self.finished(taken(problem.x, rows, columns)[..., 0, 0], problem), problem)

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        return source(at, length, mode)

    def finished(self, y: Array, problem: Any) -> Array:
        return y


@broken(pad2d="one_row_in_each_mode two_axes_with_corners exact_on_integers")
class ReflectRepeatsTheEdge(RightPad2d):
    """Reflection repeats the edge element."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        if mode != "reflect":
            return source(at, length, mode)
        back = np.mod(at, 2 * length)
        return np.minimum(back, 2 * length - 1 - back)


@broken(pad2d="flips_commute_with_padding exact_on_integers")
class ReflectRepeatsTheFarEdge(RightPad2d):
    """Reflection repeats the edge element at the bottom and on the right."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        right = source(at, length, mode)
        return np.where(at >= length, source(at - 1, length, mode), right) if mode == "reflect" else right


@broken(pad2d="exact_on_integers one_row_in_each_mode")
class ConfusesModes(RightPad2d):
    """reflect and circular are taken for each other."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        return source(at, length, {"reflect": "circular", "circular": "reflect"}.get(mode, mode))


@broken(pad2d="cropping_gives_the_image_back two_axes_with_corners exact_on_integers")
class SwapsTheSides(Right):
    """bottom is put on top and right on the left."""

    def pad2d(self, problem: Any) -> Any:
        return self.answer(problem.but(padding=tuple(sides[::-1] for sides in problem.padding)))


@broken(pad2d="size_follows_the_formula two_axes_with_corners")
class SwapsTheAxes(Right):
    """The padding of the rows goes to the columns and the other way round, where the mode allows it."""

    def pad2d(self, problem: Any) -> Any:
        swapped = problem.but(padding=problem.padding[::-1])
        return self.answer(problem if swapped.broken_rules() else swapped)


@broken(pad2d="axes_may_be_padded_one_after_the_other two_axes_with_corners exact_on_integers")
class LeavesTheCornersZero(RightPad2d):
    """The corners are left at zero."""

    def finished(self, y: Array, problem: Any) -> Array:
        (top, _), (left, _) = problem.padding
        h, w = problem.x.shape[2:]
        rows, columns = np.arange(y.shape[2]) - top, np.arange(y.shape[3]) - left
        corner = ((rows < 0) | (rows >= h))[:, None] & ((columns < 0) | (columns >= w))
        return np.where(corner, 0, y)


@broken(examples=60, pad2d="constants_stay_constant extremes_stay_the_same one_pixel_far_from_the_border")
class ReplicatesZeros(RightPad2d):
    """Replicate padding is not there: zeros stand for it."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        return source(at, length, "zeros" if mode == "replicate" else mode)


@broken(pad2d="one_pixel_far_from_the_border paddings_add_up")
class ReplicatesOnce(RightPad2d):
    """Replicate copies no further than the image is long; zeros beyond."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        far = (at < -length) | (at >= 2 * length)
        right = source(at, length, mode)
        return np.where(far, -1, right) if mode == "replicate" else right


@broken(pad2d="circular_padding_rolls padding_at_its_limit exact_on_integers")
class WrapsOneTooFar(RightPad2d):
    """Behind the far edge, circular padding starts with the second element."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        right = source(at, length, mode)
        return np.where(at >= length, source(at + 1, length, mode), right) if mode == "circular" else right


@broken(pad2d="padding_at_its_limit")
class RefusesTheLongestPadding(Right):
    """Reflect padding of n-1 and circular padding of n are refused."""

    def pad2d(self, problem: Any) -> Any:
        limit = {"reflect": -1, "circular": 0}.get(problem.mode, 99)
        for n, sides in zip(problem.x.shape[2:], problem.padding, strict=True):
            if max(sides) and max(sides) >= n + limit:
                raise ValueError("padding is too long")
        return self.answer(problem)


@broken(pad2d="no_padding_at_all cropping_gives_the_image_back exact_on_integers")
class CropsWithMinusZero(RightPad2d):
    """The image goes to y[top:-bottom], which is nothing where bottom is zero."""

    def finished(self, y: Array, problem: Any) -> Array:
        return y if all(after for _, after in problem.padding) else np.zeros_like(y)


@broken(pad2d="padding_is_linear exact_on_integers")
class PadsWithTheSmallest(RightPad2d):
    """Zero padding is filled with the smallest value of the image."""

    def pad2d(self, problem: Any) -> Any:
        y = super().pad2d(problem)
        if problem.mode == "zeros" and problem.x.size:
            marked = problem.but(x=np.ones_like(problem.x)).reference()
            y = np.where(marked == 0, problem.x.min(), y)
        return y


@broken(pad2d="special_values_are_copied")
class CopiesByMultiplying(RightPad2d):
    """Values are copied by a product with a matrix of zeros and ones, which makes NaN of 0 * inf."""

    def finished(self, y: Array, problem: Any) -> Array:
        return y + (0.0 * np.asarray(problem.x, np.float64)).sum(axis=(2, 3), keepdims=True)


@broken(pad2d="padding_is_not_negative")
class TakesTheModulusOfPadding(Repairs):
    """A negative padding pads as much as its modulus."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(padding=tuple((abs(a), abs(b)) for a, b in problem.padding))


@broken(pad2d="mode_is_known")
class TakesUnknownModesAsZeros(Repairs):
    """An unknown mode means zeros."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(mode="zeros")


@broken(pad2d="reflection_stays_inside wrapping_goes_round_once")
class ReplicatesWhatIsTooLong(Repairs):
    """Padding that is too long for its mode is replicated instead."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(mode="replicate")
