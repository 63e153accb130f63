"""Padding the two spatial axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import pad2d_clauses, rules
from .features import AXES, Exclusion, Feature, excluded, how_many, one_or_more, sizes, stratum
from .op import STRICT, Op, Padding, Shape, Tensor, operation, rule
from .pick import Pick
from .window import STRETCHED, WIDE

MODES = ("zeros", "replicate", "reflect", "circular")
ANY_LENGTH = ("zeros", "replicate")  # the modes that take any padding


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


# What is told of a padding.


def _axes(problem: Any) -> list[tuple[int, tuple[int, int]]]:
    """The length of each axis, and its two sides."""
    return list(zip(problem.x.shape[2:], problem.padding, strict=True))


def _side(axis: int, side: int) -> Callable[[Any], str]:
    """How much there is on a side: against what can be mirrored without the edge, and with it."""

    def told(problem: Any) -> str:
        n, p = problem.x.shape[2 + axis], problem.padding[axis][side]
        return "none" if p == 0 else "less" if p < n - 1 else "mirror" if p == n - 1 else "once" if p == n else "beyond"

    return told


_SIDES = ("none", "less", "mirror", "once", "beyond")


def _along(axis: int) -> tuple[Feature, ...]:
    a = AXES[axis]
    return (
        Feature(f"{a}.before", _SIDES, _side(axis, 0)),
        Feature(f"{a}.after", _SIDES, _side(axis, 1)),
        how_many(f"{a}.length", lambda p: p.x.shape[2 + axis]),
        sizes(a, lambda p: int(p.x.shape[2 + axis]), (STRETCHED, WIDE)[axis]),
    )


def _not_along(axis: int) -> tuple[Exclusion, ...]:
    a = AXES[axis]
    one = "one element has no inside"
    return excluded(
        *((f"mode=reflect {a}.{side}=once|beyond", "reflect takes at most n-1") for side in ("before", "after")),
        *((f"mode=circular {a}.{side}=beyond", "circular takes at most n") for side in ("before", "after")),
        *((f"{a}.length=1 {a}.{side}=less|mirror", one) for side in ("before", "after")),
    )


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
    features = (
        one_or_more("images", lambda p: p.x.shape[0]),
        how_many("channels", lambda p: p.x.shape[1]),
        Feature("mode", MODES, lambda p: p.mode),
        *(feature for axis in (0, 1) for feature in _along(axis)),
        sizes("channels", lambda p: p.x.shape[1]),
        stratum("at_the_limit", lambda p: p.mode == "reflect" and all(max(s) == n - 1 > 0 for n, s in _axes(p))),
        stratum("once_round", lambda p: p.mode == "circular" and all(max(s) == n for n, s in _axes(p))),
        stratum("one_pixel", lambda p: p.x.shape[2:] == (1, 1) and p.padding != ((0, 0), (0, 0))),
    )
    excluded = tuple(e for axis in (0, 1) for e in _not_along(axis))
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
        n = pick.integer(1, 3)
        c = pick.one_of(STRETCHED) if pick.flag(0.05) else pick.integer(1, 4, unlike=(1,))
        long = pick.one_of(("", "columns", "rows", "rows, columns"), (84, 8, 4, 4))
        sides: list[tuple[int, int]] = []
        lengths: list[int] = []
        for name, large in (("rows", STRETCHED), ("columns", WIDE if long == "columns" else STRETCHED)):
            pair = pick.integer(0, 5), pick.integer(0, 5)
            least = {"reflect": max(pair) + 1, "circular": max(pair)}.get(mode, 1)
            more = pick.integer(0, 5, unlike=(n, c, *lengths))
            length = max(least, pick.one_of(large)) if name in long else max(least, 1) + more
            if name in long and length <= max(STRETCHED):  # as much as can be mirrored, as there is, or more
                far = length - 1, length if mode != "reflect" else 0, length + 2 if mode in ANY_LENGTH else 0
                before, after = (pick.one_of((side, *far), (4, 1, 1, 1)) for side in pair)
                pair = before, after
            lengths.append(length)
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
