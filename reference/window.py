"""Sliding windows along one axis: the geometry that convolution and pooling share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .pick import Pick


@dataclass(frozen=True)
class Window:
    """`taps` taps, `dilation` apart, moved by `stride` along `length` elements padded by `before` and `after`."""

    length: int
    taps: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    ceil: bool = False

    @property
    def span(self) -> int:
        """From the first tap to the last, both counted."""
        return self.dilation * (self.taps - 1) + 1

    @property
    def padded(self) -> int:
        return self.length + self.before + self.after

    @property
    def fits(self) -> bool:
        return self.padded >= self.span

    @property
    def slack(self) -> int:
        """Padded elements behind the last whole window: (length + padding - span) mod stride."""
        return (self.padded - self.span) % self.stride

    @property
    def count(self) -> int:
        """How many windows there are: the output size.

        Rounded down, or up with `ceil`; then a last window that would start behind the input and the leading
        padding is dropped (also where nothing is left over, as in PyTorch).
        """
        if not self.ceil:
            return (self.padded - self.span) // self.stride + 1
        count = -((self.span - self.padded) // self.stride) + 1
        return count - ((count - 1) * self.stride >= self.length + self.before)

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """(count, taps): the input position of each tap of each window; outside [0, length) it is padding."""
        starts = np.arange(self.count) * self.stride - self.before
        return np.asarray(starts[:, None] + np.arange(self.taps) * self.dilation)

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        """(count, taps): which taps lie on the input."""
        at = self.positions
        return (at >= 0) & (at < self.length)

    def holds_input(self) -> bool:
        """Does every window hold at least one input element?"""
        return bool(self.inside.any(axis=1).all())

    @classmethod
    def draw(cls, pick: Pick, *, unlike: tuple[int, ...] = (), stretch: bool = False, dilated: bool = True) -> Window:
        """A window and an input that it fits: the outputs are chosen and the input length follows.

        `unlike`: lengths to keep away from. `stretch`: one of the larger sizes, around those where kernels
        change their blocking. `dilated`: whether there may be holes between the taps.
        """
        taps = 1 + pick.one_of((0, 1, 2, 3, 4, 6), (20, 18, 30, 12, 14, 6))
        stride = 1 + pick.one_of((0, 1, 2, 3), (45, 30, 15, 10))
        dilation = 1 + pick.one_of((0, 1, 2), (60, 25, 15)) if dilated else 1
        before = pick.one_of((0, 1, 2, 3, 5, 9), (40, 22, 16, 12, 8, 2))
        after = pick.one_of((0, 1, 2, 3, 5, 9), (40, 22, 16, 12, 8, 2))
        outputs = 1 + (pick.one_of(STRETCHED) - 1 if stretch else pick.integer(0, 6))
        slack = pick.integer(0, stride - 1)
        span = dilation * (taps - 1) + 1
        length = (outputs - 1) * stride + span + slack - before - after
        length = pick.away(max(length, 1), unlike)
        return cls(length, taps, stride, dilation, before, after)


# One below, at and one above the sizes at which kernels change their blocking.
STRETCHED = (3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)


def windows(padded: npt.NDArray[Any], rows: Window, columns: Window) -> npt.NDArray[Any]:
    """(N, C, H, W), already padded -> (N, C, I, J, R, S): a view of every window, no element copied."""
    n, c = padded.shape[:2]
    sn, sc, sh, sw = padded.strides
    return np.lib.stride_tricks.as_strided(
        padded,
        (n, c, rows.count, columns.count, rows.taps, columns.taps),
        (sn, sc, sh * rows.stride, sw * columns.stride, sh * rows.dilation, sw * columns.dilation),
        writeable=False,
    )
