"""The checks of what one NaN or infinity reaches: somewhere, and at every tap of a window."""

from __future__ import annotations

import numpy as np

from convspec.reference import Op
from convspec.reference.measured import Measured
from convspec.reference.spoilt import ANY, At, Mask, Reach, Spread, filled_in, side_by_side, sight, spoil

from .case import Case
from .compare import Array, Inapplicable, Tensor, wrong_values


def one_nan_touches_its_field(case: Case) -> None:
    """A NaN or an infinity in one element of any array reaches the outputs that see it, and no other: each of them is
    what it was without it."""
    problem = case.problem
    arrays = problem.arrays()
    name = case.pick.one_of(tuple(arrays))
    value = case.pick.one_of(ANY, (60, 20, 20))
    if not arrays[name].size:
        raise Inapplicable("an array without elements")
    place = np.unravel_index(case.pick.integer(0, arrays[name].size - 1), arrays[name].shape)
    at = tuple(int(k) for k in place)
    spoilt = spoil(problem, name, at, value)
    if spoilt.broken_rules():
        raise Inapplicable("no valid problem has it there")
    if np.isnan(value) and _ignores_nan(case):
        raise Inapplicable("the backend declares that it ignores NaN")
    case.note = f"{name}[{','.join(map(str, at))}] is {value}"
    spread = Spread(problem.declared(case.backend.conventions), name, at)
    _reaches_no_further(case, spoilt, spread, case.outputs(problem))


def what_is_not_finite_passes_every_tap(case: Case) -> None:
    """NaN and both infinities, one at a time on every element under one window, reach the outputs that see them,
    through taps that are not zero, and no other: each of them is what it was without them. Of a gradient: on every
    element of the gradient of the output that one pixel collects from."""
    where = sight(case.problem, case.pick)
    if not len(where):
        raise Inapplicable("no tap lies on the input")
    problem, name, (rows, columns) = filled_in(case.problem, where.name), where.name, where.places
    each: list[At]
    if problem.has_batch:  # one call for all taps: every image has the value under another
        shape = problem.arrays()[name].shape
        problem = side_by_side(problem, case.pick.integer(0, shape[0] - 1), len(where))
        channels = [case.pick.integer(0, shape[1] - 1) for _ in range(len(where))]
        each = [(np.arange(len(where)), np.array(channels), rows, columns)]
    else:
        each = list(zip(rows.tolist(), columns.tolist(), strict=True))
    clean = case.outputs(problem)
    for at in each:
        spread = Spread(problem.declared(case.backend.conventions), name, at)
        for value in ANY[1:] if _ignores_nan(case) else ANY:
            here = "image,channel,row,column" if problem.has_batch else ",".join(map(str, at))
            case.note = f"{name}[{here}] is {value}" + ", in each image under another tap" * problem.has_batch
            _reaches_no_further(case, spoil(problem, name, at, value), spread, clean)


def _ignores_nan(case: Case) -> bool:
    return case.convention(f"{case.problem.name.removesuffix('2d')}_nan") == "ignore"


def _reaches_no_further(case: Case, spoilt: Op, spread: Spread, clean: dict[str, Measured]) -> None:
    """The outputs for `spoilt` are what is due of them, and what they were where nothing is."""
    reached = spread.reach(spoilt.declared(case.backend.conventions))
    held = not case.rounds_products and not any(_flushed(a, case.smallest) for a in spoilt.arrays().values())
    for output, answer in case.answers(spoilt).items():
        found, due = np.asarray(answer, np.float64), reached[output]
        bad = ~_may_be(found, clean[output], due, case.smallest, held)
        if case.transforms:  # what a transform adds and subtracts is spoilt too
            bad &= ~due.as_before
        if bad.any():
            expected = np.where(due.as_before, clean[output].value, due.due)
            violation = wrong_values(spoilt, answer, expected, clean[output].tolerance, bad, output=output)
            assert violation.evidence is not None
            violation.evidence.direct = False
            raise violation


def _flushed(array: Tensor, smallest: float) -> bool:
    """May a number other than zero be read as zero?"""
    return bool(smallest) and bool(np.any((array != 0) & (np.abs(np.asarray(array, np.float64)) < smallest)))


def _may_be(found: Array, clean: Measured, reached: Reach, smallest: float, held: bool) -> Mask:
    """`smallest`: below it numbers may have become zero. A maximum may be one, where minus infinity took the place of
    the largest. `held`: is an infinity that is certain for who adds up products demanded? Where finite numbers alone
    might overflow, it is not: theirs may be the other one."""
    nan = reached.nan & ~(reached.certain & np.isfinite(clean.tolerance)) if held else reached.nan
    with np.errstate(invalid="ignore"):
        same = (found == reached.due) | (np.isnan(found) & np.isnan(reached.due))
        same |= (found == 0) & (np.abs(reached.due) < smallest)
        unmoved = (found == clean.value) | (np.abs(found - clean.value) <= 2 * clean.tolerance)
    return np.asarray(
        reached.anything
        | (reached.as_due & same)
        | (reached.as_before & (unmoved | np.isposinf(clean.tolerance)))
        | (nan & np.isnan(found))
        | (reached.infinite & np.isinf(found))
    )
