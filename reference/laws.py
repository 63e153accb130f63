"""Small moves on arrays that the laws of several operations are written with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .formats import format_of
from .pick import Pick

Tensor = npt.NDArray[Any]
Padding = tuple[tuple[int, int], tuple[int, int]]


def small(array: Tensor) -> Tensor:
    """Integers in [-2, 2] of the same shape and dtype, made from the values: exact through several layers."""
    values = np.asarray(array, np.float64).ravel()
    scrambled = np.abs(np.rint(values * 3)) + np.arange(values.size) * 2
    return np.asarray(np.mod(scrambled, 5) - 2).reshape(array.shape).astype(array.dtype)


def enlarged(x: Tensor, height: int, width: int) -> Tensor:
    """`x` (N, C, H, W), repeated and cropped to be at least so high and so wide."""
    h, w = x.shape[2:]
    rows = np.arange(max(h, height)) % h
    columns = np.arange(max(w, width)) % w
    return np.array(x[:, :, rows[:, None], columns], order="C")


def cropped(x: Tensor, height: int, width: int) -> Tensor:
    return np.array(x[:, :, :height, :width], order="C")


def parts(array: Tensor, pick: Pick) -> tuple[Tensor, Tensor]:
    """Two arrays with disjoint non-zero elements that add up to this one without any rounding.

    The first has no element whose double would leave the range (see `combined`).
    """
    mask = (np.arange(array.size) % pick.integer(2, 3) == 0).reshape(array.shape)
    mask &= np.abs(np.asarray(array, np.float64)) <= format_of(array.dtype).largest / 2
    zero = np.zeros_like(array)
    return np.where(mask, array, zero), np.where(mask, zero, array)


def combined(first: Tensor, second: Tensor) -> Tensor:
    """2 * first + second, exact for the two parts of one array: at each place one of them is zero."""
    return (2 * first + second).astype(first.dtype)


def order(size: int, pick: Pick) -> npt.NDArray[np.int64]:
    """A permutation of range(size): a rotation, reversed or not."""
    turned = np.roll(np.arange(size), pick.integer(0, max(size - 1, 0)))
    return turned[::-1] if pick.flag() else turned


def zero_stuffed(array: Tensor, steps: tuple[int, int]) -> Tensor:
    """The last two axes spread out with zeros between the elements, `steps` apart."""
    *lead, h, w = array.shape
    out = np.zeros((*lead, (h - 1) * steps[0] + 1, (w - 1) * steps[1] + 1), array.dtype)
    out[..., :: steps[0], :: steps[1]] = array
    return out


def without_pixels(x: Tensor, axis: int, padding: Padding, least: int) -> tuple[Tensor, Padding]:
    """Images without rows (axis 0) or columns (1), and padding that is no less than before and at least so long."""
    sides = list(padding)
    before, after = sides[axis]
    sides[axis] = (before, max(after, least - before))
    empty = x[:, :, :0] if axis == 0 else x[..., :0]
    return np.array(empty, order="C"), (sides[0], sides[1])
