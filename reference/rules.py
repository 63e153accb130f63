"""Conditions that several operations share, written as plain predicates and ways to break them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .pick import Pick

Problem = Any

# So far beyond a limit of 0 or 1 that float32 still tells the two apart: a limit is refused from there, not from where
# it is obvious.
JUST = 2.0**-20
BEYOND = (-JUST, 1 + JUST)


def ranks(problem: Problem, **wanted: int) -> bool:
    """Have the named arrays (those present) the wanted numbers of axes?"""
    arrays = problem.arrays()
    return all(np.ndim(arrays[name]) == rank for name, rank in wanted.items() if name in arrays)


def drop_axis(problem: Problem, pick: Pick, *names: str) -> Problem:
    """The problem with one of the named arrays short of an axis."""
    present = [n for n in names if n in problem.arrays()]
    name = pick.one_of(present)
    array = problem.arrays()[name]
    return problem.but(**{name: array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])})


def is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2


def is_padding(value: Any) -> bool:
    return is_pair(value) and all(is_pair(v) for v in value)


def are_pairs(problem: Problem, *names: str) -> bool:
    """Are the named parameters pairs (padding: a pair of pairs)?"""
    return all((is_padding if n == "padding" else is_pair)(getattr(problem, n)) for n in names)


def wrong_length(problem: Problem, pick: Pick, *names: str) -> Problem:
    """The problem with one parameter list one too long or too short."""
    name = pick.one_of(names)
    value = getattr(problem, name)
    return problem.but(**{name: pick.one_of((value[:1], (*value, value[-1])))})


def flat(problem: Problem, *names: str) -> list[Any]:
    """All numbers of the named parameters, in order."""
    numbers: list[Any] = []
    for name in names:
        value = getattr(problem, name)
        for item in value if isinstance(value, tuple) else (value,):
            numbers.extend(item if isinstance(item, tuple) else (item,))
    return numbers


def are_whole(problem: Problem, *names: str) -> bool:
    """Are all numbers of the named parameters Python or NumPy integers?"""
    for number in flat(problem, *names):
        try:
            operator.index(number)
        except TypeError:
            return False
    return True


def with_number(problem: Problem, pick: Pick, value: Any, *names: str) -> Problem:
    """The problem with one number of one of the named parameters replaced by `value`, on either axis or side."""
    name = pick.one_of(names)
    old = getattr(problem, name)
    if not isinstance(old, tuple):
        return problem.but(**{name: value})
    axis = pick.integer(0, 1)
    inner = old[axis]
    if isinstance(inner, tuple):
        inner = pick.one_of(((value, value), (value, inner[1]), (inner[0], value)))
    else:
        inner = value
    return problem.but(**{name: (inner, old[1]) if axis == 0 else (old[0], inner)})


def fractional(problem: Problem, pick: Pick, *names: str) -> Problem:
    """The problem with one parameter half way between two whole numbers."""
    return with_number(problem, pick, pick.one_of((1.5, 2.5)), *names)
