"""Problems near a given one: other values, other parameters, more images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import Op
from convspec.reference.pad2d import MODES
from convspec.reference.pick import Pick

# Images that differ in a larger batch. No power of two: a tile that reads the image of another tile then gets another.
DIFFERENT = 5

BATCHED = ("x", "grad_output")  # the arrays whose first axis is n


def other_values(problem: Op) -> Op | None:
    """The problem with the elements of every array in reverse order; None where that is not valid."""
    arrays = problem.arrays()
    backwards = {name: np.array(array.reshape(-1)[::-1]).reshape(array.shape) for name, array in arrays.items()}
    other = problem.but(**backwards)
    return None if other.broken_rules() else other


def other_parameters(problem: Op, pick: Pick) -> Op | None:
    """The problem with one parameter changed or one array left out that need not be there; None if none can be."""
    changes: list[dict[str, Any]] = [{name: None} for name in problem.arrays() if problem.may_lack(name)]
    for name, value in problem.parameters().items():
        changes += [{name: changed} for changed in _changed(value)]
    first = pick.integer(0, max(len(changes) - 1, 0))
    for change in changes[first:] + changes[:first]:
        other = problem.but(**change)
        if not other.broken_rules():
            return other
    return None


def _changed(value: Any) -> list[Any]:
    """Other values of a parameter, valid or not."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [value / 2 or 0.25]
    if isinstance(value, str):
        return [mode for mode in MODES if mode != value]
    if isinstance(value, tuple):
        return [(*value[:k], new, *value[k + 1 :]) for k, one in enumerate(value) for new in _changed(one)]
    return []


def batch_of(problem: Op, size: int) -> tuple[Op, npt.NDArray[np.int64]]:
    """The problem with so many images, made of its own, and which of them are equal, by number."""
    number = np.arange(size) % DIFFERENT
    return problem.but(
        **{name: _images(array, number) for name, array in problem.arrays().items() if name in BATCHED}
    ), number


def _images(array: npt.NDArray[Any], number: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """The images of an array, the second time around with their elements moved on by one, and so on."""
    n = array.shape[0]
    rows = array.reshape(n, -1)
    different = np.stack([np.roll(rows[k % n], k // n) for k in range(DIFFERENT)])
    return np.array(different[number]).reshape(number.size, *array.shape[1:])
