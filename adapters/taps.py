"""Taps of filters and windows as slices of whole arrays: what NumPy's kernels are written with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import AvgPool2d, MaxPool2d, Op

Tensor = npt.NDArray[Any]

MODES = {"zeros": "constant", "replicate": "edge", "reflect": "reflect", "circular": "wrap"}


def wide(array: Tensor) -> Tensor:
    return array.astype(np.float32) if array.dtype.itemsize == 2 else array


def in_groups(array: Tensor, axis: int, groups: int) -> Tensor:
    """The array with this axis in groups: one axis of groups, one of what is in each."""
    shape = array.shape
    return array.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def padded(x: Tensor, padding: Any, mode: str) -> Tensor:
    if not any(map(any, padding)):
        return x.copy()
    if mode != "zeros":
        return np.pad(x, ((0, 0), (0, 0), *padding), MODES[mode])  # type: ignore[call-overload,no-any-return]
    (top, bottom), (left, right) = padding
    n, c, h, w = x.shape
    whole = np.zeros((n, c, top + h + bottom, left + w + right), x.dtype)
    whole[:, :, top : top + h, left : left + w] = x
    return whole


def taps(
    counts: Sequence[int], dilation: Sequence[int], stride: Sequence[int], sizes: Sequence[int]
) -> list[tuple[tuple[int, int], tuple[slice, slice]]]:
    """Each tap (row, column), and the rows and columns of the padded image that it lies on, window by window."""
    along = [
        [slice(tap * d, tap * d + (size - 1) * step + 1, step) for tap in range(count)]
        for count, d, step, size in zip(counts, dilation, stride, sizes, strict=True)
    ]
    return [((r, s), (rows, columns)) for r, rows in enumerate(along[0]) for s, columns in enumerate(along[1])]


def pooled(problem: Op, dilation: tuple[int, int]) -> Iterator[tuple[tuple[Any, ...], Tensor]]:
    """For each tap: the outputs it contributes to, and the input elements that it contributes."""
    assert isinstance(problem, (MaxPool2d, AvgPool2d))
    x = wide(problem.x) if isinstance(problem, AvgPool2d) else problem.x
    along = [
        [reach(tap * d - pad[0], stride, n, count) for tap in range(taps)]
        for taps, d, pad, stride, n, count in zip(
            problem.kernel_size,
            dilation,
            problem.padding,
            problem.stride,
            x.shape[2:],
            problem.output_shape()[2:],
            strict=True,
        )
    ]
    for i, rows in along[0]:
        for j, columns in along[1]:
            yield (..., i, j), x[..., rows, columns]


def reach(offset: int, stride: int, length: int, count: int) -> tuple[slice, slice]:
    """The outputs i whose input position i * stride + offset lies on the image, and those positions."""
    first = max(0, -(offset // stride))
    last = min(count - 1, (length - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last + 1), slice(first * stride + offset, last * stride + offset + 1, stride)


def counts(problem: AvgPool2d) -> Tensor:
    """How many taps of each window are counted: (I, J)."""
    along = [
        _counted(n, k, s, pad, size, problem.count_include_pad)
        for n, k, s, pad, size in zip(
            problem.x.shape[2:],
            problem.kernel_size,
            problem.stride,
            problem.padding,
            problem.shape()[2:],
            strict=True,
        )
    ]
    return np.asarray(np.multiply.outer(*along))


def _counted(length: int, taps: int, stride: int, pad: tuple[int, int], count: int, padded: bool) -> Tensor:
    """How many taps of each window are counted along one axis."""
    start = np.arange(count) * stride - pad[0]
    low, high = (-pad[0], length + pad[1]) if padded else (0, length)
    return np.asarray(np.minimum(start + taps, high) - np.maximum(start, low))
