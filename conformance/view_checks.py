"""The check of arrays that are views: parts of larger ones, in another order, or one array in two roles."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import Op
from convspec.reference.measured import Measured

from .case import Case
from .compare import Vacuous, agree

Tensor = npt.NDArray[Any]
Outputs = dict[str, Measured]


def views_equal_copies(case: Case) -> None:
    """An array given as a view (offset, strided, permuted, sliced, reversed or expanded), or as the very array that is
    another argument too, gives what its contiguous copy gives."""
    problem = case.problem
    name = case.pick.one_of(sorted(problem.arrays(), reverse=True))  # x the simplest
    kind = case.pick.one_of((*VIEWS, SHARED))
    # Images stored channels last are what kernels meet most, and read by paths of their own: every case has them.
    first = [("x", "permuted"), ("x", "sliced")] * (problem.arrays()["x"].ndim > 2)
    pairs = _pairs(problem)
    views: list[tuple[str, str]] = [*first]
    if kind != SHARED or not pairs:
        views.append((name, "offset" if kind == SHARED else kind))
    if pairs and (kind == SHARED or case.pick.flag(OFTEN)):  # of many pairs, each is met now and then
        views.append(case.pick.one_of(pairs))
    copies: dict[tuple[str, str], Outputs] = {}
    said = [_view_equals_copy(case, problem, *view, copies) for view in dict.fromkeys(views)]
    if not any(said):
        raise Vacuous


def _view_equals_copy(case: Case, problem: Op, name: str, how: str, copies: dict[tuple[str, str], Outputs]) -> bool:
    """Whether the comparison says anything. `how`: one of VIEWS, or the argument whose array is taken. `copies`: what
    copies of views gave, by the view; of most of them the problem as it stands is the copy."""
    arrays = problem.arrays()
    if how in VIEWS:
        view = VIEWS[how](arrays[name])
        case.note = f"{name} is {_AS[how]}: strides {view.strides} bytes"
    else:
        view = arrays[how]
        case.note = f"{name} is the array that {how} is"
    case.problem = problem.but(**{name: view})
    if case.problem.broken_rules():  # one slice repeated may leave a set without a variance
        case.problem = problem
        return True
    key = (name, how) if how == "expanded" or how not in VIEWS else ("", "")
    if key not in copies:
        copies[key] = case.outputs(problem.but(**{name: np.array(view, order="C")}))
    other = copies[key]
    said = False
    for output, one in case.outputs(case.problem).items():
        with suppress(Vacuous):
            agree(case.problem, one, other[output], output)
            said = True
    return said


def _pairs(problem: Op) -> list[tuple[str, str]]:
    """Arguments and others of the same shape that may take their place."""
    arrays = problem.arrays()
    return [
        (name, other)
        for name, other in permutations(arrays, 2)
        if arrays[name].shape == arrays[other].shape and not problem.but(**{name: arrays[other]}).broken_rules()
    ]


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
OFTEN = 0.3
_AS = {
    "offset": "a view that starts inside a larger buffer",
    "strided": "every second element of a larger buffer",
    "permuted": "a view with its axes stored in another order",
    "reversed": "a view with negative steps",
    "expanded": "one slice repeated along the first axis with step 0",
    "sliced": "part of a larger array with its axes stored in another order",
}
