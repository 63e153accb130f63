"""The checks that hold for every network: each layer judged by itself, and what layers may do to each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import Composition, Op

from .case import Case
from .compare import Evidence, Inapplicable, Vacuous, Violation, judge, says_nothing

Tensor = npt.NDArray[Any]


def every_layer_is_within_its_bound(case: Case) -> None:
    """Each layer's answer is within the bound of that layer, given what came back for the layer before: a wrong layer
    is found by name, however little of it is left at the end."""
    case.problem.validate()
    case.raw()
    judge_calls(case)


def judge_calls(case: Case) -> None:
    """Judge every call that the case has made, each by itself."""
    worst, where, vacuous = 0.0, "", True
    for problem, answers in case.calls:
        truths = case.truths(problem, answers)
        ratio = judge(problem, answers, truths, case.backend.arithmetic_of(problem))
        vacuous = vacuous and says_nothing(truths, answers)
        if ratio > worst:
            worst, where = ratio, problem.summary()
    if vacuous and case.calls:
        raise Vacuous
    case.tally.add(worst, where)


def answers_stay_as_they_were_given(case: Case) -> None:
    """When the last layer has answered, every answer before it still holds what it held: no layer writes into its
    input or into an older answer, as a network that reads one twice relies on. A backend in a process of its own
    hands out copies: of it only what a layer does to its input is seen."""
    assert isinstance(case.problem, Composition)
    case.problem.validate()
    given: list[tuple[Op, Tensor, Tensor]] = []

    def ask(layer: Op) -> Tensor:
        answer = case.layer(layer, restore=False)
        given.append((layer, answer, np.array(answer)))
        return answer

    case.problem.follow(ask)
    if len(given) < 2:
        raise Inapplicable("a network of one layer")
    for number, (layer, answer, first) in enumerate(given, 1):
        if answer.tobytes() != first.tobytes():
            changed = int((answer != first).sum())
            what = f"the answer of layer {number} ({layer.name})"
            message = f"{what} was changed later: {changed} of {answer.size} elements"
            evidence = Evidence(layer, answer, np.asarray(first, np.float64), direct=False)
            raise Violation("an earlier answer was modified", message, evidence)
