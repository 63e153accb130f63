"""Sliding windows along one axis: the geometry that convolution and pooling share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .pick import Pick


def _for_reading(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An array that many share."""
    array.flags.writeable = False
    return array


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

    @cached_property
    def count(self) -> int:
        """How many windows there are: the output size.

        Rounded down, or up with `ceil`; then a last window that would start behind the input and the leading
        padding is dropped (also where nothing is left over, as in PyTorch).
        """
        if not self.ceil:
            return (self.padded - self.span) // self.stride + 1
        count = -((self.span - self.padded) // self.stride) + 1
        return count - ((count - 1) * self.stride >= self.length + self.before)

    @cached_property
    def positions(self) -> npt.NDArray[np.int64]:
        """(count, taps): the input position of each tap of each window; outside [0, length) it is padding."""
        starts = np.arange(self.count) * self.stride - self.before
        return _for_reading(starts[:, None] + np.arange(self.taps) * self.dilation)

    @cached_property
    def inside(self) -> npt.NDArray[np.bool_]:
        """(count, taps): which taps lie on the input."""
        at = self.positions
        return _for_reading((at >= 0) & (at < self.length))

    def holds_input(self) -> bool:
        """Does every window hold at least one input element?

        One that starts on the input does, one that starts behind it does not; of one that starts before it, the first
        tap that has reached the input has not yet passed it.
        """
        if (self.count - 1) * self.stride - self.before >= self.length:
            return False
        for start in range(-self.before, min(0, self.count * self.stride - self.before), self.stride):
            reached = -(start // self.dilation)
            if reached >= self.taps or start + reached * self.dilation >= self.length:
                return False
        return True

    def shorter(self, least: int = 1) -> Window:
        """Half as long, if it is still as long as `least` and the kernel fits."""
        least = max(least, self.span - self.before - self.after, 1)
        return replace(self, length=max(least, (self.length + 1) // 2))

    def least(self, mode: str) -> int:
        """How long an input must be to be padded so in this mode."""
        return {"reflect": max(self.before, self.after) + 1, "circular": max(self.before, self.after)}.get(mode, 1)

    @classmethod
    def draw(
        cls,
        pick: Pick,
        *,
        unlike: tuple[int, ...] = (),
        stretch: tuple[int, ...] = (),
        dilated: bool = True,
        mode: str = "zeros",
        usual: str = "",
    ) -> Window:
        """A window and an input that it fits: the outputs are chosen and the input length follows.

        `unlike`: lengths to keep away from. `stretch`: numbers of outputs to choose from, instead of small ones.
        `dilated`: whether there may be holes between the taps. `mode`: how the input is padded. `usual`: one of USUAL,
        whose windows are as networks have them.
        """
        # The same choices whatever is chosen, so that a case keeps its shape while one of them is made simpler.
        taps = 1 + pick.one_of((0, 1, 2, 3, 4, 6, 5, 7, 8), (20, 18, 30, 11, 12, 4, 2, 1, 2))
        stride = pick.one_of((1, 2, 3, 4, taps, taps + 1, taps + 2), (43, 27, 13, 8, 4, 3, 2))
        dilation = 1 + pick.one_of((0, 1, 2), (60, 25, 15)) if dilated else 1
        before = pick.one_of((0, 1, 2, 3, 5, 9), (40, 22, 16, 12, 8, 2))
        after = pick.one_of((0, 1, 2, 3, 5, 9, before), (36, 18, 13, 9, 6, 2, 16))
        if usual.startswith("3x3"):
            taps, stride, dilation, before, after = 3, 2 if usual == "3x3 strided" else 1, 1, 1, 1
        elif usual == "pointwise":
            taps, stride, dilation, before, after = 1, 1, 1, 0, 0
        elif usual == "patchify":
            taps = stride = max(taps, 2)
            dilation, before, after = 1, 0, 0
        outputs = pick.one_of(stretch) if stretch else 1 + pick.integer(0, 6)
        if usual in ("same thin", "same short"):
            taps, stride, outputs = 1 if usual == "same thin" else max(taps, 2), 2, min(outputs, 2)
        slack = pick.integer(0, stride - 1)
        short = "" if stretch else pick.one_of(("", "kernel", "one"), (91, 5, 4))
        span = dilation * (taps - 1) + 1
        length = max((outputs - 1) * stride + span + slack - before - after, 1)
        if usual.startswith("same"):
            same = cls((outputs - 1) * stride + 1 + slack, taps, stride, dilation)._same(usual != "same, more before")
            return replace(same, length=max(same.length, same.least(mode)))
        drawn = cls(pick.away(length, unlike), taps, stride, dilation, before, after)
        if short:
            return drawn._short(mode, short == "kernel")
        return replace(drawn, length=max(drawn.length, drawn.least(mode)))

    def _same(self, behind: bool) -> Window:
        """Padded so that there are as many windows as there are steps on the input (SAME), an odd rest behind it or
        before it."""
        total = max((-(-self.length // self.stride) - 1) * self.stride + self.span - self.length, 0)
        less, more = total // 2, total - total // 2
        return replace(self, before=less if behind else more, after=more if behind else less)

    def is_same(self) -> bool:
        """Is it padded as SAME pads, if at all?"""
        return self in (self._same(True), self._same(False))

    def _short(self, mode: str, kernel: bool) -> Window:
        """With an input as long as the kernel, or of one element, and padding that this allows and needs."""
        length = self.span if kernel else 1
        most = {"reflect": length - 1, "circular": length}.get(mode, self.span + 9)
        before, after = min(self.before, most), min(self.after, most)
        after = max(after, min(self.span - length - before, most))
        changed = replace(self, length=length, before=before, after=after)
        return changed if changed.fits else replace(changed, taps=1)


SAME = ("same", "same, more before", "thin rows", "thin columns")
USUAL = ("", "3x3", "pointwise", "patchify", "3x3 strided", *SAME)


def usual_along(usual: str, axis: str) -> str:
    """What is usual along an axis: of a window that has a single row, or column, on a tiny image."""
    return usual if not usual.startswith("thin") else "same thin" if usual.endswith(axis) else "same short"


# One below, at and one above the sizes at which kernels change their blocking; of widths there are more.
STRETCHED = (3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)
WIDE = (*STRETCHED, 63, 64, 65, 255, 256, 257)


def thrifty(
    budget: int,
    n: int,
    c: int,
    k: int,
    rows: Window,
    columns: Window,
    wanted: str,
    mode: str = "zeros",
) -> tuple[int, int, int, Window, Window]:
    """Images, channels, filters, rows and columns of no more than `budget` multiplications, if it can be had.

    Images are given up first, then what is not named in `wanted`: filters, channels, rows, columns; then the rest.
    The axes stay long enough for their padding in this mode.
    """
    axes = [rows, columns]
    sizes = {"filters": k, "channels": c}
    names = ("filters", "channels", "rows", "columns")
    order = [name for name in names if name not in wanted] + [name for name in names if name in wanted]
    taps = rows.taps * columns.taps

    def too_many() -> bool:
        return n * sizes["filters"] * sizes["channels"] * axes[0].count * axes[1].count * taps > budget

    if too_many():
        n = 1
    for name in order:
        while too_many():
            if name in sizes:
                changed = (sizes[name] + 1) // 2 != sizes[name]
                sizes[name] = (sizes[name] + 1) // 2
            else:
                at = names.index(name) - 2
                shorter = axes[at].shorter(axes[at].least(mode))
                changed, axes[at] = shorter != axes[at], shorter
            if not changed:
                break
    return n, sizes["channels"], sizes["filters"], axes[0], axes[1]


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
