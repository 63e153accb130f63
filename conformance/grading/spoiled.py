"""What huge numbers did to outputs that have no part in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend

from .ask import ask
from .form import Form

Array = npt.NDArray[np.float64]
Tensor = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def asked(backend: Backend, form: Form, a: Tensor, b: Tensor, huge: float) -> tuple[Array, Mask, Array]:
    """The answer, which outputs a huge number has a part in, and what is due."""
    answer = ask(backend, form.build(a, b))[form.output]
    touched = form.terms(np.abs(a) == huge, b) > 0
    if (np.abs(b) == huge).any():
        touched |= form.terms(a, np.abs(b) == huge) > 0
    return answer, touched, form.reference(a, b)


def wrong_ones(answer: Array, due: Array, unit: float) -> Mask:
    """Off by half a unit, where everything is whole multiples of it; by anything at all, where nothing is added up."""
    with np.errstate(invalid="ignore"):
        return ~(np.abs(answer - due) < unit / 2) if unit else ~(answer == 0)


def distance_of(wrong: Mask, seen: Mask, space: tuple[int, int]) -> int:
    """The largest distance, in rows or columns of the output, of what is wrong from the rectangle of what sees the huge
    number, image by image."""
    found = 0
    for bad, own in zip(images_of(wrong, space), images_of(seen, space), strict=True):
        if not bad.any():
            continue
        for axis in (0, 1):
            at, inside = np.nonzero(bad.any(axis=1 - axis))[0], np.nonzero(own.any(axis=1 - axis))[0]
            if not inside.size:  # between strides: everything wrong comes from elsewhere
                return int(max(bad.shape))
            found = max(found, int(inside[0]) - int(at[0]), int(at[-1]) - int(inside[-1]))
    return found


def images_of(mask: Mask, space: tuple[int, int]) -> Mask:
    """(N, I, J)."""
    moved = np.moveaxis(mask, space, (-2, -1)).reshape(mask.shape[0] if mask.ndim == 4 else 1, -1, *mask.shape[-2:])
    return np.asarray(moved.any(axis=1))
