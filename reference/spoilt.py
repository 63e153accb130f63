"""How far a NaN or an infinity in one element reaches: what is due of every output.

Which outputs see the element is what the ground truth says, where NaN propagates as in IEEE arithmetic. Three ways of
computing differ in what they owe there:

- `copies` (padding, maxima, relu): exactly the ground truth.
- `adds` (sums of products): NaN where the ground truth has NaN, unless the other factors are all zero: 0 * NaN is NaN,
  but whoever skips zeros leaves the sum of the others. An infinity with its sign, or NaN, as transforms leave it, which
  add and subtract it.
- `mixes` (normalizations): NaN where the ground truth has NaN. What an infinity makes of the elements that see it
  depends on the order of operations; nothing is demanded there.

Everything else stays what it was without the element.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .op import Op

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Reach:
    """Of one output, element by element: what it may be. `due` is the ground truth with the element in place."""

    due: Array
    as_due: Mask  # what the ground truth has
    as_before: Mask  # what it was without the element
    nan: Mask
    infinite: Mask  # of either sign
    anything: Mask


def spoil(problem: Op, name: str, at: tuple[int, ...], value: float) -> Op:
    """The problem with one element of one array replaced."""
    array = np.array(problem.arrays()[name])
    array[at] = value
    return problem.but(**{name: array})


def reach(problem: Op, spoilt: Op, name: str, at: tuple[int, ...]) -> dict[str, Reach]:
    """What is due of every output of `spoilt`, which is `problem` but for one element."""
    nan = bool(np.isnan(np.asarray(spoilt.arrays()[name][at], np.float64)))
    with np.errstate(all="ignore"):
        before, after = problem.references(), spoilt.references()
        if problem.spreads == "adds":
            seen, must = _indicated(problem, name, at, zeros=True), _indicated(problem, name, at, zeros=False)
            return {o: _added(before[o], due, nan, seen[o], must[o]) for o, due in after.items()}
    copies = problem.spreads == "copies"
    return {o: _changed(before[o], due, nan, copies, problem.weighs(o)) for o, due in after.items()}


def _changed(before: Array, due: Array, nan: bool, copies: bool, weighs: bool) -> Reach:
    known, none = np.isfinite(before), np.zeros(due.shape, bool)
    stays = known & (due == before)
    owed = known & ~stays & (copies or (np.isnan(due) & nan & weighs))
    return Reach(due, owed, stays, none, none, ~owed & ~stays)


def _added(before: Array, due: Array, nan: bool, seen: Mask, must: Mask) -> Reach:
    known = np.isfinite(before)
    sees = known & (seen | ~np.isfinite(due))  # the ground truth may skip zeros too, but not those of the padding
    spoilt = sees & ~np.isfinite(due)
    return Reach(due, spoilt, known & ~(sees & must), sees, spoilt & must & np.isnan(due) & (not nan), ~known)


def _indicated(problem: Op, name: str, at: tuple[int, ...], zeros: bool) -> dict[str, Mask]:
    """Which elements of each output add up a product with this element, its other factors being zero or not."""
    here = {other: ((np.asarray(a, np.float64) != 0) | zeros) * 1.0 for other, a in problem.arrays().items()}
    for other in here:
        if "bias" in (name, other):  # added, and no factor
            here[other] *= 0
    without = problem.but(**here | {name: np.zeros(here[name].shape)}).references()
    here[name] *= 0
    here[name][at] = 1
    return {output: value > without[output] for output, value in problem.but(**here).references().items()}
