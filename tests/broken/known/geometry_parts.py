"""What bugs of geometry and layouts share: calls that ask for SAME, buffers of a wrong size, images channels last."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference.pool import axes as pooled_axes
from convspec.reference.window import Window

from ..base import Array, Tensor

Sides = tuple[int, int]


def same_total(length: int, taps: int, stride: int) -> int:
    """How much SAME pads: as much as ceil(length / stride) windows need."""
    return max((-(-length // stride) - 1) * stride + taps - length, 0)


def halves(total: int) -> Sides:
    """SAME_UPPER: what is odd goes behind."""
    return total // 2, total - total // 2


def axes_of(problem: Any) -> tuple[Window, Window]:
    """The windows of a convolution, a pooling or a gradient of either."""
    forward = getattr(problem, "forward", problem)
    rows, columns = forward.axes if hasattr(forward, "axes") else pooled_axes(forward)
    return rows, columns


def is_same(problem: Any, *, lower: bool = False) -> bool:
    """Is the padding the one that SAME (or SAME_LOWER) asks for, on both axes? Callers hand it over written out."""
    axes = axes_of(problem)
    if getattr(problem, "padding_mode", "zeros") != "zeros" or not any(a.before or a.after for a in axes):
        return False
    return all(
        (a.before, a.after)[:: -1 if lower else 1] == halves(same_total(a.length, a.span, a.stride))
        and a.count == -(-a.length // a.stride)
        for a in axes
    )


def resized(y: Tensor, *spatial: int) -> Tensor:
    """What fits of y (N, C, H, W) in a buffer of other sides, that held zeros before."""
    out = np.zeros((*y.shape[:2], *(max(n, 0) for n in spatial)), y.dtype)
    h, w = min(out.shape[2], y.shape[2]), min(out.shape[3], y.shape[3])
    out[:, :, :h, :w] = y[:, :, :h, :w]
    return out


def pooled_taps(problem: Any, along: tuple[npt.NDArray[Any], npt.NDArray[Any]]) -> Array:
    """Average pooling's divisor for windows that lie at other positions: (I, J)."""
    found = []
    for at, a in zip(along, axes_of(problem), strict=True):
        first, end = (-a.before, a.length + a.after) if problem.count_include_pad else (0, a.length)
        found.append(((at >= first) & (at < end)).sum(axis=1).astype(np.float64))
    return np.asarray(found[0][:, None] * found[1])


def all_counts(problem: Any) -> list[int]:
    """The output sizes, with the windows that rounding up adds behind the input."""
    rounding = -1 if problem.ceil_mode else 1
    return [rounding * (rounding * (a.padded - a.span) // a.stride) + 1 for a in axes_of(problem)]


def all_along(problem: Any) -> tuple[Any, Any]:
    """(I, R) and (J, S): where the taps of all these windows lie."""
    rows, columns = (
        np.arange(count)[:, None] * a.stride - a.before + np.arange(a.taps) * a.dilation
        for count, a in zip(all_counts(problem), axes_of(problem), strict=True)
    )
    return rows, columns


def is_channels_last(x: Tensor) -> bool:
    """Do images (N, C, H, W) lie in memory as N, H, W, C, and not at the same time as N, C, H, W?"""
    return bool(x.ndim == 4 and x.size and not x.flags.c_contiguous and x.transpose(0, 2, 3, 1).flags.c_contiguous)


def channels_last(x: Tensor) -> Tensor:
    """The same images as a view of memory in the order N, H, W, C."""
    return np.array(x.transpose(0, 2, 3, 1), order="C").transpose(0, 3, 1, 2)
