"""The checks that hold for every operation, each written once.

A check looks at one case and raises Violation if its claim does not hold; it returns normally when it looked and found
nothing, and raises Inapplicable when the case has nothing to look at. Its docstring is the clause's text.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import SPECIFIED, Clause, Composition, Op
from convspec.reference.measured import Measured
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
from .compare import Evidence, Inapplicable, Vacuous, Violation, agree, formed, judge, says_nothing
from .errors import note_errors
from .layer_checks import answers_stay_as_they_were_given, every_layer_is_within_its_bound
from .special_checks import one_nan_touches_its_field

Tensor = npt.NDArray[Any]
Outputs = dict[str, Measured]


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


def views_equal_copies(case: Case) -> None:
    """An array given as a view (offset, strided, permuted, sliced, reversed or expanded), or as the very array that is
    another argument too, gives what its contiguous copy gives."""
    problem = case.problem
    name = case.pick.one_of(sorted(problem.arrays(), reverse=True))  # x the simplest
    kind = case.pick.one_of((*VIEWS, SHARED))
    # Images stored channels last are what kernels meet most, and read by paths of their own: every case has them.
    first = [("x", "permuted"), ("x", "sliced")] * (problem.arrays()["x"].ndim > 2)
    copies: dict[str, Outputs] = {}
    said = [_view_equals_copy(case, problem, *view, copies) for view in dict.fromkeys((*first, (name, kind)))]
    if not any(said):
        raise Vacuous


def _view_equals_copy(case: Case, problem: Op, name: str, kind: str, copies: dict[str, Outputs]) -> bool:
    """Whether the comparison says anything. `copies`: what copies of views gave, by the view; of most of them the
    problem as it stands is the copy."""
    arrays = problem.arrays()
    twin = _twin(problem, name) if kind == SHARED else ""
    if twin:
        view = arrays[twin]
        case.note = f"{name} is the array that {twin} is"
    else:
        kind = "offset" if kind == SHARED else kind
        view = VIEWS[kind](arrays[name])
        case.note = f"{name} is {_AS[kind]}: strides {view.strides} bytes"
    case.problem = problem.but(**{name: view})
    if case.problem.broken_rules():  # one slice repeated may leave a set without a variance
        case.problem = problem
        return True
    key = kind + name if kind in ("expanded", SHARED) else ""
    if key not in copies:
        copies[key] = case.outputs(problem.but(**{name: np.array(view, order="C")}))
    other = copies[key]
    said = False
    for output, one in case.outputs(case.problem).items():
        with suppress(Vacuous):
            agree(case.problem, one, other[output], output)
            said = True
    return said


def _twin(problem: Op, name: str) -> str:
    """Another argument of the same shape that may take the place of this one; empty if there is none."""
    arrays = problem.arrays()
    for other, array in arrays.items():
        same = other != name and array.shape == arrays[name].shape
        if same and not problem.but(**{name: array}).broken_rules():
            return other
    return ""


def _offset(array: Tensor) -> Tensor:
    base = np.full(array.size + 3, -77.0).astype(array.dtype)
    base[3:] = array.reshape(-1)
    return base[3:].reshape(array.shape)


def _strided(array: Tensor) -> Tensor:
    base = np.full((*array.shape[:-1], 2 * array.shape[-1] + 1), -77.0).astype(array.dtype)
    base[..., 1::2] = array
    return base[..., 1::2]


def _permuted(array: Tensor) -> Tensor:
    """Channels last for images, transposed for matrices."""
    to = np.roll(np.arange(array.ndim), -1) if array.ndim < 4 else (0, *range(2, array.ndim), 1)
    return np.array(array.transpose(to), order="C").transpose(np.argsort(to))


def _sliced(array: Tensor) -> Tensor:
    """Part of the channels of images that are stored channels last, or of the columns of what is transposed."""
    to = np.roll(np.arange(array.ndim), -1) if array.ndim < 4 else (0, *range(2, array.ndim), 1)
    laid = array.transpose(to)
    base = np.full((*laid.shape[:-1], laid.shape[-1] + 2), -77.0).astype(array.dtype)
    base[..., 1:-1] = laid
    return base[..., 1:-1].transpose(np.argsort(to))


def _reversed(array: Tensor) -> Tensor:
    backwards = (slice(None, None, -1),) * array.ndim
    return np.array(array[backwards], order="C")[backwards]


def _expanded(array: Tensor) -> Tensor:
    return np.broadcast_to(array[:1], array.shape)


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "offset": _offset,
    "strided": _strided,
    "permuted": _permuted,
    "reversed": _reversed,
    "expanded": _expanded,
    "sliced": _sliced,
}
SHARED = "shared"
_AS = {
    "offset": "a view that starts inside a larger buffer",
    "strided": "every second element of a larger buffer",
    "permuted": "a view with its axes stored in another order",
    "reversed": "a view with negative steps",
    "expanded": "one slice repeated along the first axis with step 0",
    "sliced": "part of a larger array with its axes stored in another order",
}

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
)

# What is not looked at in networks: each layer's own check says as much.
OF_LAYERS = (
    dtype_is_that_of_x,
    views_equal_copies,
    results_are_memory_of_their_own,
    calls_in_between_change_nothing,
    threads_do_not_disturb_each_other,
    one_nan_touches_its_field,
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

# The checks of values try every stored row, a rare class may be in one alone, with data that each can tell most from.
KINDS: dict[Check, tuple[str, ...]] = {
    exact_on_integers: (*("integers",) * 4, *("wide",) * 3, "signs", "zeros"),
    within_the_bound: ("normal", "dominant", "normal", "cancel", "spread", "tiny"),
}


def checks_of(op: type[Op]) -> tuple[tuple[Check, str, str], ...]:
    """The checks that make sense for an operation."""
    checks = OF_NETWORKS if issubclass(op, Composition) else CHECKS
    absent = [images_are_independent] * (not op.has_batch) + [one_nan_touches_its_field] * (not op.spreads)
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
            kinds=KINDS.get(check, ()),
        )
        for check, wanted, source in checks_of(op)
    ]
    kinds = ("rule", "example", "edge", "law")
    own = sorted(op.clauses, key=lambda c: kinds.index(c.kind))
    return tuple(c for c in (*general, *own) if level == STRICT or c.level == CORE)


def all_clauses(level: str = STRICT) -> tuple[Clause, ...]:
    """Every clause of every operation."""
    return tuple(clause for op in SPECIFIED for clause in clauses_of(op, level))
