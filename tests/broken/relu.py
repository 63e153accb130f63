"""Bugs of the rectifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Right, broken, rounded, wide


@broken(relu="nan_stays_nan")
class TakesNaNAsZero(Right):
    """x > 0 ? x : 0, which is 0 for NaN."""

    def relu(self, problem: Any) -> Any:
        return np.where(problem.x > 0, problem.x, np.zeros((), problem.dtype))


@broken(relu="nan_stays_nan")
class SpreadsNaN(Right):
    """A NaN anywhere makes everything NaN: the maximum is found first."""

    def relu(self, problem: Any) -> Any:
        y = self.answer(problem)
        return np.full_like(y, np.nan) if np.isnan(y).any() else y


@broken(
    relu="signs_and_infinities twice_is_once positive_and_negative_parts_make_the_whole"
    " positive_and_negative_parts_add_to_the_modulus exact_on_integers"
)
class Leaks(Right):
    """A thousandth of what is negative comes through."""

    def relu(self, problem: Any) -> Any:
        x = wide(problem.x)
        return rounded(np.where(x < 0, x * 1e-3, x), problem)


@broken(
    relu="positive_and_negative_parts_make_the_whole positive_and_negative_parts_add_to_the_modulus"
    " larger_inputs_give_no_smaller_outputs signs_and_infinities exact_on_integers"
)
class TakesTheModulus(Right):
    """The modulus is taken."""

    def relu(self, problem: Any) -> Any:
        return np.abs(problem.x)


@broken(relu="positive_factors_move_out signs_and_infinities exact_on_integers")
class StopsAtSix(Right):
    """What is above 6 becomes 6."""

    def relu(self, problem: Any) -> Any:
        return np.minimum(self.answer(problem), np.asarray(6, problem.dtype))


@broken(relu="twice_is_once positive_factors_move_out")
class StartsAtOneHalf(Right):
    """What is below a half becomes zero, and a half is taken off the rest."""

    def relu(self, problem: Any) -> Any:
        return rounded(np.maximum(wide(problem.x) - 0.5, 0), problem)


@broken(relu="larger_inputs_give_no_smaller_outputs positive_and_negative_parts_make_the_whole")
class RectifiesDownwards(Right):
    """min(x, 0) with the sign turned: the wrong half is kept."""

    def relu(self, problem: Any) -> Any:
        return np.abs(np.minimum(problem.x, np.zeros((), problem.dtype)))


@broken(relu="elements_are_separate exact_on_integers")
class CopiesTheOddElement(Right):
    """Elements are taken in pairs; an odd last one is copied as it is."""

    def relu(self, problem: Any) -> Any:
        y = self.answer(problem)
        if y.size % 2:
            y.reshape(-1)[-1] = problem.x[(-1,) * problem.x.ndim]
        return y


@broken(40, relu="exact_on_integers")
class SkipsTheVectorRemainder(Right):
    """Elements are taken in eights; those beyond the last full eight are copied as they are."""

    def relu(self, problem: Any) -> Any:
        y = self.answer(problem)
        whole = y.size // 8 * 8
        if y.size > 8:
            y.reshape(-1)[whole:] = np.ascontiguousarray(problem.x).reshape(-1)[whole:]
        return y


@broken(relu="signs_and_infinities")
class MultipliesByMask(Right):
    """x * (x > 0): NaN for minus infinity."""

    def relu(self, problem: Any) -> Any:
        return problem.x * (problem.x > 0).astype(problem.dtype)


@broken(relu="signs_and_infinities")
class StopsAtTheLargestNumber(Right):
    """Infinity becomes the largest finite number."""

    def relu(self, problem: Any) -> Any:
        y = self.answer(problem)
        return np.minimum(y, np.finfo(y.dtype).max)


@broken(relu="exact_on_integers within_the_bound")
class GoesThroughFloat16(Right):
    """The values pass through float16."""

    def relu(self, problem: Any) -> Any:
        return self.answer(problem).astype(np.float16).astype(problem.dtype)


@broken(relu="numbers_are_ordered")
class ComparesRealParts(Right):
    """Complex numbers are rectified by their real parts, booleans as 0 and 1."""

    def relu(self, problem: Any) -> Any:
        x = problem.x
        return self.answer(problem if x.dtype.kind == "f" else problem.but(x=np.real(x).astype(np.float32)))
