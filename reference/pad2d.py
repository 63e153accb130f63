"""Padding the two spatial axes."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import pad2d_clauses, rules
from .op import STRICT, Op, Padding, Shape, Tensor, operation, rule
from .pick import Pick

MODES = ("zeros", "replicate", "reflect", "circular")


def source_index(length: int, before: int, after: int, mode: str) -> npt.NDArray[np.int64]:
    """Which input position each padded position copies; for zeros, -1 outside.

    replicate clamps to the edge; reflect mirrors about the edge element, which is not repeated; circular wraps.
    """
    q = np.arange(-before, length + after)
    if mode == "zeros":
        return np.where((q >= 0) & (q < length), q, -1)
    if mode == "replicate":
        return np.clip(q, 0, length - 1)
    if mode == "circular":
        return np.mod(q, max(length, 1))
    period = max(2 * (length - 1), 1)
    r = np.mod(q, period)
    return np.minimum(r, period - r) if length > 1 else np.zeros_like(q)


def padded(x: npt.NDArray[Any], padding: Padding, mode: str) -> npt.NDArray[Any]:
    """`x` (N, C, H, W) padded by ((top, bottom), (left, right))."""
    (top, bottom), (left, right) = padding
    if mode == "zeros":
        n, c, h, w = x.shape
        out = np.zeros((n, c, h + top + bottom, w + left + right), x.dtype)
        out[:, :, top : top + h, left : left + w] = x
        return out
    rows = source_index(x.shape[2], top, bottom, mode)
    columns = source_index(x.shape[3], left, right, mode)
    return np.array(x[:, :, rows[:, None], columns], order="C")


def mode_allows(length: int, sides: tuple[int, int], mode: str) -> bool:
    """Is padding of this length possible in this mode?"""
    most = max(sides)
    limit = {"reflect": length - 1, "circular": length}.get(mode)
    if mode == "replicate":
        return length >= 1 or most == 0
    return limit is None or most <= limit or most == 0


@operation
class Pad2d(Op):
    """Extend the rows and columns of each channel of each image.

        y[n,c,i,j] = x[n, c, source(i - top), source(j - left)]

    The four sides are independent. Outside the image, at position q of an axis of length n, the source is:
    `zeros` none (the value is 0); `replicate` the nearest edge element; `reflect` the mirror image about the edge
    element, which is not repeated (P = 2(n-1), r = q mod P, min(r, P-r)); `circular` q mod n. Corners are what
    padding one axis after the other gives, in either order. Values are copied bit for bit.

    reflect needs padding of at most n-1 on each side and circular at most n; zeros and replicate take any.
    Source: the lecture's slides on zero, replication and reflection padding; limits as in PyTorch, TensorFlow and
    WebNN.
    """

    x: Tensor  # (N, C, H, W) images
    padding: Padding  # ((top, bottom), (left, right)) around the image
    mode: str = "zeros"  # zeros, replicate, reflect or circular

    spreads = "copies"
    chapters = (pad2d_clauses,)

    def output_shape(self) -> Shape:
        n, c, h, w = self.x.shape
        (top, bottom), (left, right) = self.padding
        return n, c, h + top + bottom, w + left + right

    def reference(self) -> npt.NDArray[np.float64]:
        return padded(np.asarray(self.x, np.float64), self.padding, self.mode)

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        mode = pick.one_of(MODES, (25, 25, 25, 25))
        n, c = pick.integer(1, 3), pick.integer(1, 4, unlike=(1,))
        sides: list[tuple[int, int]] = []
        lengths: list[int] = []
        for _ in range(2):
            pair = pick.integer(0, 5), pick.integer(0, 5)
            least = {"reflect": max(pair) + 1, "circular": max(pair)}.get(mode, 1)
            lengths.append(max(least, 1) + pick.integer(0, 5, unlike=(n, c, *lengths)))
            sides.append(pair)
        data = pick.data(1)
        return cls(x=data.array((n, c, *lengths)), padding=(sides[0], sides[1]), mode=mode)

    @rule(lambda self, pick: rules.drop_axis(self, pick, "x"), source="GEN-01")
    def x_has_four_axes(self) -> bool:
        """x has the four axes N, C, H, W."""
        return rules.ranks(self, x=4)

    @rule(lambda self, pick: rules.wrong_length(self, pick, "padding"), STRICT, "GEN-02, PAD-07")
    def padding_is_a_pair_of_pairs(self) -> bool:
        """padding is ((top, bottom), (left, right))."""
        return rules.are_pairs(self, "padding")

    @rule(lambda self, pick: rules.fractional(self, pick, "padding"), STRICT, "PAD-07")
    def padding_is_whole(self) -> bool:
        """The four paddings are whole numbers."""
        return rules.are_whole(self, "padding")

    @rule(lambda self, pick: rules.with_number(self, pick, -1, "padding"), STRICT, "PAD-11")
    def padding_is_not_negative(self) -> bool:
        """No padding is negative; padding does not crop."""
        return bool(min(rules.flat(self, "padding")) >= 0)

    @rule(lambda self, pick: self.but(mode=pick.one_of(("mirror", "edge", "", "ZEROS"))), STRICT, "PAD-04")
    def mode_is_known(self) -> bool:
        """The mode is one of zeros, replicate, reflect, circular."""
        return self.mode in MODES

    @rule(
        lambda self, pick: rules.with_number(
            self.but(mode="reflect"), pick, max(self.x.shape[2:]) + pick.integer(0, 2), "padding"
        ),
        STRICT,
        "PAD-03",
    )
    def reflection_stays_inside(self) -> bool:
        """With mode reflect, no side is padded by more than n-1 elements of an axis of n."""
        return self.mode != "reflect" or _allowed(self.x, self.padding, self.mode)

    @rule(
        lambda self, pick: rules.with_number(
            self.but(mode="circular"), pick, max(self.x.shape[2:]) + 1 + pick.integer(0, 2), "padding"
        ),
        STRICT,
        "PAD-05",
    )
    def wrapping_goes_round_once(self) -> bool:
        """With mode circular, no side is padded by more than n elements of an axis of n."""
        return self.mode != "circular" or _allowed(self.x, self.padding, self.mode)

    @rule(
        lambda self, pick: self.but(
            x=self.x[:, :, :0], padding=((1, pick.integer(0, 1)), (0, pick.integer(0, 1))), mode="replicate"
        ),
        STRICT,
        "PAD-08",
    )
    def there_is_something_to_repeat(self) -> bool:
        """With mode replicate, an axis that is padded has at least one element."""
        return self.mode != "replicate" or _allowed(self.x, self.padding, self.mode)


def _allowed(x: Tensor, padding: Padding, mode: str) -> bool:
    return all(mode_allows(n, sides, mode) for n, sides in zip(x.shape[2:], padding, strict=True))
