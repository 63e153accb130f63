"""How far a NaN or an infinity in one element reaches: what is due of every output.

Which outputs see the element is what the ground truth says, where NaN propagates as in IEEE arithmetic. Three ways of
computing differ in what they owe there:

- `copies` (padding, maxima, relu): exactly the ground truth.
- `adds` (sums of products): NaN where the ground truth has NaN, unless the other factors are all zero: 0 * NaN is NaN,
  but whoever skips zeros leaves the sum of the others. Of an infinity: itself, with its sign, where the element enters
  by factors other than zero and of one sign. There every product with it is that infinity, and what is finite changes
  nothing of it, in any order, fused or not, in any format. Where zeros or both signs meet it, it or NaN; and anywhere
  if inputs are taken apart or transformed: infinity less its first part is NaN, and so is what a transform adds and
  subtracts.
- `mixes` (normalizations): NaN where the ground truth has NaN. What an infinity makes of the elements that see it
  depends on the order of operations; but finite is none of them where the ground truth is not: the mean of its set is
  infinite, x - mean is NaN at the infinity and infinite elsewhere, and that times any inverse deviation, itself NaN
  unless a variance is cut off from below, is infinite or NaN. Of running statistics nothing is demanded then.

Everything else stays what it was without the element.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .op import Op
from .pick import Pick
from .window import Window

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
At = tuple[Any, ...]  # the index of an element, or arrays of the indices of several

ANY = (float("nan"), float("inf"), float("-inf"))


@dataclass(frozen=True)
class Reach:
    """Of one output, element by element: what it may be. `due` is the ground truth with the element in place."""

    due: Array
    as_due: Mask  # what the ground truth has
    as_before: Mask  # what it was without the element
    nan: Mask
    infinite: Mask  # of either sign
    anything: Mask
    certain: Mask  # an infinity that is no NaN, but where numbers are taken apart or transformed


def spoil(problem: Op, name: str, at: At, value: float) -> Op:
    """The problem with one element of one array replaced, or several by the same value."""
    array = np.array(problem.arrays()[name])
    array[at] = value
    return problem.but(**{name: array})


class Spread:
    """How far a value other than a number reaches from one element, or several: for any such value."""

    def __init__(self, problem: Op, name: str, at: At) -> None:
        self._name, self._at = name, at
        self._problem = problem
        self._adds = problem.spreads == "adds"
        with np.errstate(all="ignore"):
            self._before = problem.references()
            if self._adds:
                self._every, self._used = (_entries(problem, name, at, which) for which in (_any, _not_zero))

    @cached_property
    def _one_sign(self) -> dict[str, Mask]:
        """Of each output: where the element enters, do all of its factors differ from zero and have one sign?"""
        positive = _entries(self._problem, self._name, self._at, _positive)
        return {
            output: (count == self._used[output]) & ((positive[output] == 0) | (positive[output] == count))
            for output, count in self._every.items()
        }

    def reach(self, spoilt: Op) -> dict[str, Reach]:
        """What is due of every output of `spoilt`, which is the problem but for what `spoil` replaced."""
        nan = bool(np.isnan(np.asarray(spoilt.arrays()[self._name][self._at], np.float64)).all())
        copies, weighs, first = self._problem.spreads == "copies", self._problem.weighs, self._problem.outputs[0]
        with np.errstate(all="ignore"):
            after = spoilt.references()
            if self._adds:
                return {o: self._added(o, due, nan) for o, due in after.items()}
        return {
            o: _changed(self._before[o], due, copies, weighs(o) and nan, o == first and not (nan or copies))
            for o, due in after.items()
        }

    def _added(self, output: str, due: Array, nan: bool) -> Reach:
        known, must = np.isfinite(self._before[output]), self._used[output] > 0
        # The ground truth may skip zeros too, but not those of the padding.
        sees = known & ((self._every[output] > 0) | ~np.isfinite(due))
        spoilt = sees & ~np.isfinite(due)
        infinite = spoilt & must & np.isnan(due) & (not nan)
        certain = np.zeros(due.shape, bool) if nan else spoilt & must & np.isinf(due) & self._one_sign[output]
        return Reach(due, spoilt, known & ~(sees & must), sees, infinite, ~known, certain)


def _changed(before: Array, due: Array, copies: bool, nan: bool, infinite: bool) -> Reach:
    """`nan`: is NaN owed where the ground truth has it; `infinite`: nothing finite, where that is not?"""
    known, none = np.isfinite(before), np.zeros(due.shape, bool)
    stays = known & (due == before)
    owed = known & ~stays & (copies or (np.isnan(due) & nan))
    lost = known & ~np.isfinite(due) & infinite
    return Reach(due, owed, stays, lost, lost, ~owed & ~stays & ~lost, none)


def _any(factor: Array) -> Mask:
    return np.ones(factor.shape, bool)


def _not_zero(factor: Array) -> Mask:
    return np.asarray(factor != 0)


def _positive(factor: Array) -> Mask:
    return np.asarray(factor > 0)


def _entries(problem: Op, name: str, at: At, which: Callable[[Array], Mask]) -> dict[str, Array]:
    """How many products with this element each output adds up whose other factor is such; of averages, their share."""
    here = {other: which(np.asarray(a, np.float64)) * 1.0 for other, a in problem.arrays().items()}
    for other in here:
        if "bias" in (name, other):  # added, and no factor
            here[other] *= 0
    without = problem.but(**here | {name: np.zeros(here[name].shape)}).references()
    here[name] *= 0
    here[name][at] = 1
    return {output: value - without[output] for output, value in problem.but(**here).references().items()}


# One window, and every element of it.


@dataclass(frozen=True)
class Sight:
    """The elements of an array on which one window lies; of a gradient those that one pixel collects from."""

    name: str
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    @property
    def places(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The row and the column of each, those of a row together."""
        return np.repeat(self.rows, len(self.columns)), np.tile(self.columns, len(self.rows))


def sight(problem: Any, pick: Pick) -> Sight:
    """One of those that have the most elements: in `x`, or in `grad_output` where there is one."""
    backward = "grad_output" in problem.arrays()
    axes = (problem.forward if backward else problem).axes
    rows, columns = (_along(axis, backward, pick) for axis in axes)
    return Sight("grad_output" if backward else "x", rows, columns)


def _along(axis: Window, backward: bool, pick: Pick) -> tuple[int, ...]:
    """What a window takes of an axis; backward, the windows that take one element of it."""
    seen = np.zeros((axis.count, axis.length), bool)
    window, tap = np.nonzero(axis.inside)
    seen[window, axis.positions[window, tap]] = True
    seen = seen.T if backward else seen
    held = seen.sum(axis=1)
    one = pick.one_of(np.flatnonzero(held == held.max(initial=0)).tolist())
    return tuple(np.flatnonzero(seen[one]).tolist())


def filled_in(problem: Op, name: str) -> Op:
    """With ones for the zeros of whatever is multiplied with this array: what is skipped there is no fault."""
    others = {other: array for other, array in problem.arrays().items() if other not in (name, "x", "bias")}
    ones = {other: np.where(array == 0, np.ones((), array.dtype), array) for other, array in others.items()}
    return problem.but(**ones)


def side_by_side(problem: Op, image: int, times: int) -> Op:
    """A batch of the same image again and again."""
    one = problem.image(image)
    batch = {name: array for name, array in one.arrays().items() if name in ("x", "grad_output")}
    return one.but(**{name: np.repeat(array, times, axis=0) for name, array in batch.items()})
