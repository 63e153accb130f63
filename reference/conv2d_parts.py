"""What the laws of convolution share: one group, small integers, no padding; and the composed filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .laws import enlarged, small

if TYPE_CHECKING:
    from .conv2d import Conv2d

Tensor = npt.NDArray[Any]
NONE = ((0, 0), (0, 0))


def first_group(problem: Conv2d) -> Conv2d:
    """The convolution of the first group alone, without bias."""
    c, k = problem.weight.shape[1], problem.weight.shape[0] // problem.groups
    return problem.but(x=contiguous(problem.x[:, :c]), weight=problem.weight[:k], bias=None, groups=1)


def composed(first: Tensor, second: Tensor) -> Tensor:
    """The filters (L, C, ., .) of one layer that does what `first` (K, C, ., .) and then `second` (L, K, ., .) do."""
    _, c, r1, s1 = first.shape
    outputs, _, r2, s2 = second.shape
    out = np.zeros((outputs, c, r1 + r2 - 1, s1 + s2 - 1))
    w = np.asarray(first, np.float64)
    for r in range(r2):
        for s in range(s2):
            out[:, :, r : r + r1, s : s + s1] += np.einsum(
                "lk,kcrs->lcrs", np.asarray(second, np.float64)[:, :, r, s], w
            )
    return out.astype(first.dtype)


def plain_group(problem: Conv2d, **changes: Any) -> Conv2d:
    """One group of small integers, dense, without bias, padding or stride unless asked for."""
    one = first_group(problem)
    settings: dict[str, Any] = {"stride": (1, 1), "padding": NONE, "padding_mode": "zeros", "dilation": (1, 1)}
    one = one.but(x=small(one.x), weight=small(one.weight), **(settings | changes))
    rows, columns = one.axes
    return one.but(x=enlarged(one.x, rows.span, columns.span))


def per_channel(problem: Conv2d, taps: Tensor) -> tuple[Tensor, int]:
    """Filters that give each channel its own taps (C, R, S), and their groups: depthwise for a grouped problem, else
    dense with zeros, so that backends with one group have something to do."""
    c = taps.shape[0]
    if problem.groups > 1:
        return taps[:, None], c
    dense = np.zeros((c, c, *taps.shape[1:]), taps.dtype)
    dense[np.arange(c), np.arange(c)] = taps
    return dense, 1


def without_padding(problem: Conv2d) -> Conv2d:
    """The convolution without padding, of an image that is large enough for it."""
    rows, columns = problem.axes
    return problem.but(x=enlarged(problem.x, rows.span, columns.span), padding=NONE, padding_mode="zeros")


def contiguous(array: Tensor) -> Tensor:
    """A copy in the order of its axes, which `numpy.ascontiguousarray` does not make of every flipped view."""
    return np.array(array, order="C")
