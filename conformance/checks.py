"""The checks that hold for every operation, each written once.

A check looks at one case and raises Violation if its claim does not hold; it returns normally when it looked and found
nothing, and raises Inapplicable when the case has nothing to look at. Its docstring is the clause's text.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convspec.reference import SPECIFIED, Clause, Composition, Op
from convspec.reference.op import CORE, STRICT, clause_text
from convspec.reference.rounding import is_whole

from .call_checks import (
    calls_in_between_change_nothing,
    images_are_independent,
    repeating_a_call_repeats_the_bits,
    results_are_memory_of_their_own,
    threads_do_not_disturb_each_other,
)
from .case import Case
from .compare import Evidence, Inapplicable, Vacuous, Violation, formed, judge, says_nothing
from .errors import note_errors
from .layer_checks import answers_stay_as_they_were_given, every_layer_is_within_its_bound
from .special_checks import one_nan_touches_its_field, what_is_not_finite_passes_every_tap
from .view_checks import views_equal_copies


def size_follows_the_formula(case: Case) -> None:
    """The output has the size that the operation's formula gives."""
    case.problem.validate()
    formed(case.problem, case.raw(), dtype=False)


def dtype_is_that_of_x(case: Case) -> None:
    """The output has the dtype of x."""
    case.problem.validate()
    formed(case.problem, case.raw(), shape=False)


def exact_on_integers(case: Case) -> None:
    """Where every order of summation is exact, the result is exact: the true integer, rounded once to the dtype."""
    problem = case.problem
    if isinstance(problem, Composition) and not (is_whole(problem.arrays()["x"]) and case.bound().forced.any()):
        raise Inapplicable("no output element is forced")  # told before its many layers are asked
    answers = case.answers(case.problem)
    truths = case.truths(case.problem, answers)
    forced = {name: truth.bound.forced for name, truth in truths.items()}
    if not any(where.any() for where in forced.values()):
        raise Inapplicable("no output element is forced")
    judge(case.problem, answers, truths, case.arithmetic, forced)


def within_the_bound(case: Case) -> None:
    """No element is further from the truth than rounding in the declared arithmetic can take it, in any order."""
    answers = case.answers(case.problem)
    truths = case.truths(case.problem, answers)
    if says_nothing(truths):
        raise Vacuous
    note_errors(case, answers, truths)
    case.tally.add(judge(case.problem, answers, truths, case.arithmetic), case.problem.summary())


def arguments_are_not_modified(case: Case) -> None:
    """After the call every array argument holds the bits that it held before."""
    arrays = {name: np.array(array) for name, array in case.problem.arrays().items()}
    problem = case.problem.but(**arrays)
    before = {name: array.tobytes() for name, array in arrays.items()}
    case.raw(problem, restore=False)
    for name, array in arrays.items():
        if array.tobytes() != before[name]:
            changed = int((array != case.problem.arrays()[name]).sum())
            raise Violation(
                "argument modified", f"{name} was modified: {changed} of {array.size} elements", Evidence(case.problem)
            )


Check = Callable[[Case], None]

# Every check, its level and the material it comes from; in the order in which failures are told.
CHECKS: tuple[tuple[Check, str, str], ...] = (
    (size_follows_the_formula, CORE, "SHP-02, GEN-15"),
    (dtype_is_that_of_x, CORE, "GEN-04"),
    (exact_on_integers, CORE, "GEN-06, GEN-02"),
    (within_the_bound, CORE, "GEN-07, GEN-08"),
    (images_are_independent, CORE, "GEN-17"),
    (arguments_are_not_modified, CORE, "GEN-10"),
    (views_equal_copies, CORE, "GEN-11"),
    (repeating_a_call_repeats_the_bits, CORE, "GEN-09"),
    (results_are_memory_of_their_own, STRICT, "GEN-20"),
    (calls_in_between_change_nothing, CORE, "GEN-21"),
    (threads_do_not_disturb_each_other, STRICT, "GEN-22"),
    (one_nan_touches_its_field, STRICT, "GEN-18"),
    (what_is_not_finite_passes_every_tap, STRICT, "GEN-18"),
)

# What is not looked at in networks: each layer's own check says as much.
OF_LAYERS = (
    dtype_is_that_of_x,
    views_equal_copies,
    results_are_memory_of_their_own,
    calls_in_between_change_nothing,
    threads_do_not_disturb_each_other,
    one_nan_touches_its_field,
    what_is_not_finite_passes_every_tap,
)
OF_NETWORKS: tuple[tuple[Check, str, str], ...] = (
    (every_layer_is_within_its_bound, CORE, "GEN-07, BLK-01"),
    *(
        (check, level, source + ", LAW-A9" * (check is images_are_independent))
        for check, level, source in CHECKS
        if check not in OF_LAYERS
    ),
    (answers_stay_as_they_were_given, STRICT, "GEN-10"),
)

# The checks of values try every stored row, a rare class may be in one alone, with data that each can tell most from:
# whole numbers, whose sums are exact, and others. The rows take them in turn, so that every kind is tried.
DATA_OF: dict[Check, tuple[str, ...]] = {
    exact_on_integers: (
        *("integers", "wide", "signs", "full", "integers", "wide", "ones", "both_wide"),
        *("integers", "iota", "wide", "one_hot", "integers", "zeros", "wide", "signed_zeros"),
    ),
    within_the_bound: (
        *("normal", "dominant", "cancel", "tiny", "spread", "normal"),
        *("huge", "dominant", "offset", "negative", "constant"),
    ),
}


def checks_of(op: type[Op]) -> tuple[tuple[Check, str, str], ...]:
    """The checks that make sense for an operation."""
    checks = OF_NETWORKS if issubclass(op, Composition) else CHECKS
    absent = [images_are_independent] * (not op.has_batch) + [one_nan_touches_its_field] * (not op.spreads)
    absent += [what_is_not_finite_passes_every_tap] * (not (op.spreads and op.has_windows))
    return tuple(entry for entry in checks if entry[0] not in absent)


def clauses_of(op: type[Op], level: str = STRICT) -> tuple[Clause, ...]:
    """Every clause of an operation: the checks that hold for all, then its own rules, examples, edges and laws."""
    general = [
        Clause(
            name=f"{op.name}.{check.__name__}",
            kind="check",
            level=wanted,
            text=clause_text(check),
            source=source,
            enforce=check,
            kinds=DATA_OF.get(check, ()),
        )
        for check, wanted, source in checks_of(op)
    ]
    kinds = ("rule", "example", "edge", "law")
    own = sorted(op.clauses, key=lambda c: kinds.index(c.kind))
    return tuple(c for c in (*general, *own) if level == STRICT or c.level == CORE)


def all_clauses(level: str = STRICT) -> tuple[Clause, ...]:
    """Every clause of every operation."""
    return tuple(clause for op in SPECIFIED for clause in clauses_of(op, level))
