"""Taps of filters and windows as slices of whole arrays: what NumPy's kernels are written with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import AvgPool2d, MaxPool2d, Op

Tensor = npt.NDArray[Any]

MODES = {"zeros": "constant", "replicate": "edge", "reflect": "reflect", "circular": "wrap"}


def wide(array: Tensor) -> Tensor:
    return array.astype(np.float32) if array.dtype.itemsize == 2 else array


def padded(x: Tensor, padding: Any, mode: str) -> Tensor:
    if mode != "zeros" and not any(map(any, padding)):
        return x.copy()
    return np.pad(x, ((0, 0), (0, 0), *padding), MODES[mode])  # type: ignore[call-overload,no-any-return]


def slice_of(tap: int, dilation: int, stride: int, count: int) -> slice:
    start = tap * dilation
    return slice(start, start + (count - 1) * stride + 1, stride)


def pooled(problem: Op, dilation: tuple[int, int]) -> Iterator[tuple[tuple[Any, ...], Tensor]]:
    """For each tap: the outputs it contributes to, and the input elements that it contributes."""
    assert isinstance(problem, (MaxPool2d, AvgPool2d))
    x = wide(problem.x) if isinstance(problem, AvgPool2d) else problem.x
    size = problem.shape()[2:]
    for r, s in np.ndindex(*problem.kernel_size):
        places = [
            reach(tap * d - pad[0], stride, n, count)
            for tap, d, pad, stride, n, count in zip(
                (r, s), dilation, problem.padding, problem.stride, x.shape[2:], size, strict=True
            )
        ]
        (i, rows), (j, columns) = places
        yield (slice(None), slice(None), i, j), x[:, :, rows, columns]


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
