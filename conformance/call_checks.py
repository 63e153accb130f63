"""The checks of what calls do to each other: one after another, at once, and the images of one batch."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Unsupported
from convspec.adapters.watch import LATER
from convspec.reference import Composition, Op

from .case import Case
from .compare import Evidence, Inapplicable, Violation, agree, judge
from .variations import batch_of, other_parameters, other_values

Tensor = npt.NDArray[Any]
Answers = dict[str, Tensor]

# Around the widths of SIMD lanes, tiles and unrolled loops; first as many as were drawn.
BATCHES = (0, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)
OFTEN = (20, 4, 4, 6, 8, 6, 6, 8, 6, 6, 8, 6, 6, 6)
MOST = 20_000  # elements of x and of y together: larger batches of larger images show nothing more

CALLS_AT_ONCE = 2  # of each thread
# Elements of x: calls of a kernel that take no time never meet. What runs in Python is interrupted anywhere.
LONG, USUAL = 4_000, 400

# A value that is wrong without other calls says nothing of what calls do.
WRONG_ALONE = "the value itself is wrong: see within_the_bound"


def repeating_a_call_repeats_the_bits(case: Case) -> None:
    """The same call gives the same bits again, unless the backend declares that it does not repeat."""
    _must_repeat(case)
    first = _copied(case.answers(case.problem))
    _same_bits(case.problem, first, case.answers(case.problem), "the second call gave other bits than the first")


def calls_in_between_change_nothing(case: Case) -> None:
    """A call gives the bits that it gave before, whatever was called in between: with other values in the same memory,
    with other parameters, with other shapes; and what was called in between has its own right answer."""
    _must_repeat(case)
    problem = case.problem
    problem.validate()
    memory = {name: np.array(array) for name, array in problem.arrays().items()}
    first = _copied(case.answers(problem, problem.but(**memory)))
    wrong: list[tuple[Op, Violation]] = []
    for other in (other_values(problem), other_parameters(problem, case.pick)):
        if other is None:
            continue
        try:
            for name, array in other.arrays().items():
                memory[name][...] = array
            answers = case.answers(other, other.but(**{name: memory[name] for name in other.arrays()}))
        except Unsupported:
            continue
        violation = _wrong(case, other, answers)
        if violation is not None:
            wrong.append((other, violation))
    with suppress(Unsupported):
        case.raw(type(problem).draw(case.pick))
    for name, array in problem.arrays().items():
        memory[name][...] = array
    again = case.answers(problem, problem.but(**memory))
    _same_bits(problem, first, again, "after other calls it gave other bits than before")
    for other, violation in wrong:  # last: to see what an answer is alone, the backend starts anew
        if case.backend.forget():
            alone = _wrong(case, other, case.answers(other)) is not None
            when = "right as the first call, wrong after one with other values or parameters"
        else:
            alone = _wrong(case, problem, first) is not None
            when = "wrong by itself or since the call before it"
        if not alone:
            raise _told(violation, when)
    if wrong:
        raise Inapplicable(WRONG_ALONE)


def threads_do_not_disturb_each_other(case: Case) -> None:
    """Two threads that call at the same time, each with arrays of its own, get what each gets alone; a backend that may
    be called from one thread at a time declares `threads: one`."""
    if case.convention("threads") == "one":
        raise Unsupported("the backend declares that it is called from one thread at a time")
    case.problem.validate()
    size = LONG if case.backend.prepares else USUAL
    problem = _lengthened(case.problem, size)
    other = None if case.pick.flag(0.3) else other_values(problem)
    both = (problem, other or _lengthened(type(problem).draw(case.pick), size))
    alone = [_copied(case.answers(one)) for one in both]
    for one, due, found in zip(both, alone, case.together(both, CALLS_AT_ONCE), strict=True):
        for answers in found:
            if case.convention("repeatable") == "false" or not _equal(due, answers):
                violation = _wrong(case, one, answers)
                if violation is not None and _wrong(case, one, due) is not None:
                    raise Inapplicable(WRONG_ALONE)
                if violation is not None:
                    raise _told(violation, "while another thread called")
            if case.convention("repeatable") != "false":
                _same_bits(one, due, answers, "while another thread called it gave other bits than alone")


def images_are_independent(case: Case) -> None:
    """Each image of a batch gives what it gives alone, in batches of any size."""
    problem = case.problem
    if isinstance(problem, Composition):
        _images_of_a_network(case, problem)
        return
    images = len(problem.arrays()["x"])
    if not images:
        raise Inapplicable("a batch of none")
    each = (problem.arrays()["x"].size + int(np.prod(problem.output_shape()))) // images
    size = min(case.pick.one_of(BATCHES, OFTEN) or images, MOST // max(each, 1))
    batch, number = batch_of(problem, size) if size > images else (problem, np.arange(images))
    if len(number) < 2:
        raise Inapplicable("a batch of one")
    if batch.broken_rules():
        raise Inapplicable("the rules do not allow the larger batch")
    k = case.pick.integer(0, len(number) - 1)
    alike = np.flatnonzero(number == number[k])
    alone = case(batch.image(k))[np.zeros(alike.size, int)]
    agree(batch, alone.like(case.values(batch)[alike]), alone)


def _lengthened(problem: Op, elements: int) -> Op:
    """The problem with about so many elements, by more of its images; as it is, where the rules do not allow it."""
    x = problem.arrays()["x"]
    size = elements // max(x[:1].size, 1)
    more = batch_of(problem, size)[0] if x.size and size > len(x) else problem
    return problem if more.broken_rules() else more


def _must_repeat(case: Case) -> None:
    if case.convention("repeatable") == "false":
        raise Inapplicable("the backend declares that it does not repeat")


def _copied(answers: Answers) -> Answers:
    return {name: np.array(answer, order="C") for name, answer in answers.items()}


def _equal(first: Answers, second: Answers) -> bool:
    return all(first[name].tobytes() == answer.tobytes() for name, answer in second.items())


def _same_bits(problem: Op, first: Answers, second: Answers, otherwise: str) -> None:
    """Raise Violation unless both answers have the same bits; `otherwise` says what else is the case."""
    for name, answer in second.items():
        if first[name].tobytes() != answer.tobytes():
            agree(problem, np.asarray(answer, np.float64), np.asarray(first[name], np.float64), name)
            raise Violation("not repeatable", otherwise, Evidence(problem, direct=False))


def _wrong(case: Case, problem: Op, answers: Answers) -> Violation | None:
    """What is wrong with the answers by themselves; None if they are right."""
    try:
        judge(problem, answers, case.truths(problem, answers), case.backend.arithmetic_of(problem))
    except Violation as violation:
        return violation
    return None


def _told(violation: Violation, when: str) -> Violation:
    """The violation, with the circumstances in its message."""
    violation.message = f"{when}: {violation.message}"
    return violation


def _images_of_a_network(case: Case, problem: Composition) -> None:
    n = problem.arrays()["x"].shape[0]
    if n < 2:
        raise Inapplicable("a batch of one")
    if problem.mixes_images:
        raise Inapplicable("a layer in which images act on each other")
    k = case.pick.integer(0, n - 1)
    whole = case(problem)[k : k + 1]
    agree(problem, whole, whole.like(case.values(problem.image(k))))


def results_are_memory_of_their_own(case: Case) -> None:
    """A result shares no memory with an argument, and the next call does not change it."""
    problem = case.problem
    problem.validate()
    other = other_values(problem)
    case.raw()
    seen = [what for what in case.backend.seen if what != LATER]  # of this answer, not of one before the case
    if other is not None:
        case.raw(other)
        seen += case.backend.seen
    if seen:
        cause = "an earlier answer was modified" if LATER in seen else "a result that is an argument"
        raise Violation(cause, "; ".join(dict.fromkeys(seen)), Evidence(problem, direct=False))


# The checks whose failures other calls may be the reason of.
OF_CALLS = tuple(
    check.__name__
    for check in (
        repeating_a_call_repeats_the_bits,
        calls_in_between_change_nothing,
        threads_do_not_disturb_each_other,
        results_are_memory_of_their_own,
    )
)
