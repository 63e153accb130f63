"""The check of what one NaN or infinity reaches."""

from __future__ import annotations

import numpy as np

from convspec.reference.measured import Measured
from convspec.reference.spoilt import Mask, Reach, reach, spoil

from .case import Case
from .compare import Array, Inapplicable, wrong_values

VALUES = (float("nan"), float("inf"), float("-inf"))


def one_nan_touches_its_field(case: Case) -> None:
    """A NaN or an infinity in one element of any array reaches the outputs that see it, and no other: each of them is
    what it was without it."""
    problem = case.problem
    arrays = problem.arrays()
    name = case.pick.one_of(tuple(arrays))
    value = case.pick.one_of(VALUES, (60, 20, 20))
    if not arrays[name].size:
        raise Inapplicable("an array without elements")
    place = np.unravel_index(case.pick.integer(0, arrays[name].size - 1), arrays[name].shape)
    at = tuple(int(k) for k in place)
    spoilt = spoil(problem, name, at, value)
    if spoilt.broken_rules():
        raise Inapplicable("no valid problem has it there")
    if np.isnan(value) and case.convention(f"{problem.name.removesuffix('2d')}_nan") == "ignore":
        raise Inapplicable("the backend declares that it ignores NaN")
    case.note = f"{name}[{','.join(map(str, at))}] is {value}"
    conventions = case.backend.conventions
    reached = reach(problem.declared(conventions), spoilt.declared(conventions), name, at)
    clean = case.outputs(problem)
    for output, answer in case.answers(spoilt).items():
        found, due = np.asarray(answer, np.float64), reached[output]
        bad = ~_may_be(found, clean[output], due)
        if case.transforms:  # what a transform adds and subtracts is spoilt too
            bad &= ~due.as_before
        if bad.any():
            expected = np.where(due.as_before, clean[output].value, due.due)
            violation = wrong_values(spoilt, answer, expected, clean[output].tolerance, bad, output=output)
            assert violation.evidence is not None
            violation.evidence.direct = False
            raise violation


def _may_be(found: Array, clean: Measured, reached: Reach) -> Mask:
    with np.errstate(invalid="ignore"):
        same = (found == reached.due) | (np.isnan(found) & np.isnan(reached.due))
        unmoved = (found == clean.value) | (np.abs(found - clean.value) <= 2 * clean.tolerance)
    return np.asarray(
        reached.anything
        | (reached.as_due & same)
        | (reached.as_before & (unmoved | np.isposinf(clean.tolerance)))
        | (reached.nan & np.isnan(found))
        | (reached.infinite & np.isinf(found))
    )
