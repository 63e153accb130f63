"""Laws, worked examples and legal edges of padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .examples import image, output
from .laws import combined, enlarged, parts, without_pixels
from .op import STRICT, Run, Sides, edge, example, law
from .pick import Pick

if TYPE_CHECKING:
    from .pad2d import Pad2d

Worked = list[tuple[Any, npt.NDArray[np.float64]]]


@law("LAW-D1")
def cropping_gives_the_image_back(problem: Pad2d, run: Run, pick: Pick) -> Sides | None:
    """The middle of the padded image is the image, bit for bit."""
    (top, _), (left, _) = problem.padding
    h, w = problem.x.shape[2:]
    return run.values(problem)[:, :, top : top + h, left : left + w], np.asarray(problem.x, np.float64)


@law("LAW-D1, PAD-06")
def axes_may_be_padded_one_after_the_other(problem: Pad2d, run: Run, pick: Pick) -> Sides | None:
    """Padding the rows and then the columns, or the columns and then the rows, gives the same, corners included."""
    rows, columns = problem.padding
    order = ((rows, (0, 0)), ((0, 0), columns))
    first, second = order if pick.flag() else order[::-1]
    middle = run.values(problem.but(padding=first)).astype(problem.dtype)
    return run.values(problem.but(x=middle, padding=second)), run.values(problem)


@law("LAW-D2, PAD-07")
def flips_commute_with_padding(problem: Pad2d, run: Run, pick: Pick) -> Sides | None:
    """Padding the flipped image with the sides exchanged gives the flipped result, in every mode."""
    (top, bottom), (left, right) = problem.padding
    flipped = problem.but(x=np.array(problem.x[:, :, ::-1, ::-1], order="C"), padding=((bottom, top), (right, left)))
    return run.values(flipped), run.values(problem)[:, :, ::-1, ::-1]


@law("LAW-D3")
def padding_is_linear(problem: Pad2d, run: Run, pick: Pick) -> Sides | None:
    """Padding 2u + v gives twice the padding of u plus the padding of v."""
    u, v = parts(problem.x, pick)
    together = run(problem.but(x=combined(u, v)))
    return together, 2 * run(problem.but(x=u)) + run(problem.but(x=v))


@law("LAW-D3, PAD-12")
def constants_stay_constant(problem: Pad2d, run: Run, pick: Pick) -> Sides | None:
    """Replicate, reflect and circular padding of a constant image are that constant everywhere; so is no padding."""
    flat = problem.but(x=np.full_like(problem.x, 3))
    if problem.mode == "zeros":
        flat = flat.but(padding=((0, 0), (0, 0)))
    return run.values(flat), np.full(flat.shape(), 3.0)


@law("LAW-D3")
def extremes_stay_the_same(problem: Pad2d, run: Run, pick: Pick) -> Sides | None:
    """Replicate, reflect and circular padding invent no value: minimum and maximum stay those of the image."""
    if problem.mode == "zeros":
        return None
    y, x = run.values(problem), np.asarray(problem.x, np.float64)
    return np.array([y.min(), y.max()]), np.array([x.min(), x.max()])


@law("LAW-D4")
def paddings_add_up(problem: Pad2d, run: Run, pick: Pick) -> Sides | None:
    """Zeros and replicate: padding twice is padding once by the sum. (Not true of reflect and circular.)"""
    if problem.mode not in ("zeros", "replicate"):
        return None
    total = tuple((2 * before, 2 * after) for before, after in problem.padding)
    once = run.values(problem).astype(problem.dtype)
    return run.values(problem.but(x=once)), run.values(problem.but(padding=total))


@law("EQV-05, PAD-13")
def circular_padding_rolls(problem: Pad2d, run: Run, pick: Pick) -> Sides | None:
    """With circular padding of one side by a whole image, rolling the image rolls the period of the output."""
    h, w = problem.x.shape[2:]
    a, b = pick.integer(0, h - 1), pick.integer(0, w - 1)
    around = problem.but(padding=((h, 0), (0, w)), mode="circular")
    rolled = around.but(x=np.roll(problem.x, (a, b), (2, 3)))
    return run.values(rolled), np.tile(np.roll(np.asarray(problem.x, np.float64), (a, b), (2, 3)), (2, 2))


@law("PAD-10", STRICT)
def special_values_are_copied(problem: Pad2d, run: Run, pick: Pick) -> Sides | None:
    """NaN and infinities are copied like any other value, and spread no further than their copies."""
    x = np.array(problem.x)
    flat = x.reshape(-1)
    for value in (np.nan, np.inf, -np.inf):
        flat[pick.integer(0, flat.size - 1)] = value
    spoilt = problem.but(x=x)
    return run.values(spoilt), spoilt.reference()


@example("PAD-06")
def two_axes_with_corners(cls: type[Pad2d], dtype: np.dtype[Any]) -> Worked:
    """1 2 3 / 4 5 6 padded by one row above, two columns on the left and one on the right."""
    x, padding = image([[1, 2, 3], [4, 5, 6]], dtype), ((1, 0), (2, 1))
    reflect = [[6, 5, 4, 5, 6, 5], [3, 2, 1, 2, 3, 2], [6, 5, 4, 5, 6, 5]]
    replicate = [[1, 1, 1, 2, 3, 3], [1, 1, 1, 2, 3, 3], [4, 4, 4, 5, 6, 6]]
    circular = [[5, 6, 4, 5, 6, 4], [2, 3, 1, 2, 3, 1], [5, 6, 4, 5, 6, 4]]
    zeros = [[0, 0, 0, 0, 0, 0], [0, 0, 1, 2, 3, 0], [0, 0, 4, 5, 6, 0]]
    return [
        (cls(x=x, padding=padding, mode=mode), output(y))
        for mode, y in (("zeros", zeros), ("replicate", replicate), ("reflect", reflect), ("circular", circular))
    ]


@example("PAD-01, PAD-02, PAD-03, PAD-05, L031-L033, PAD-04")
def one_row_in_each_mode(cls: type[Pad2d], dtype: np.dtype[Any]) -> Worked:
    """1 2 3 padded by two on each side: 0 0 1 2 3 0 0, 1 1 1 2 3 3 3, 3 2 1 2 3 2 1, 2 3 1 2 3 1 2."""
    rows = {
        "zeros": [0, 0, 1, 2, 3, 0, 0],
        "replicate": [1, 1, 1, 2, 3, 3, 3],
        "reflect": [3, 2, 1, 2, 3, 2, 1],
        "circular": [2, 3, 1, 2, 3, 1, 2],
    }
    x = image([[1, 2, 3]], dtype)
    return [(cls(x=x, padding=((0, 0), (2, 2)), mode=mode), output([y])) for mode, y in rows.items()]


@edge("GEN-14")
def an_empty_batch(cls: type[Pad2d], pick: Pick) -> Pad2d:
    """A batch of no images gives no images of the padded size."""
    problem = cls.draw(pick)
    return problem.but(x=problem.x[:0])


@edge("PAD-01")
def no_padding_at_all(cls: type[Pad2d], pick: Pick) -> Pad2d:
    """Padding by nothing in any mode gives the image."""
    return cls.draw(pick).but(padding=((0, 0), (0, 0)))


@edge("PAD-03, PAD-05")
def padding_at_its_limit(cls: type[Pad2d], pick: Pick) -> Pad2d:
    """Reflect padding of n-1 and circular padding of n are the most that is allowed, and allowed."""
    problem = cls.draw(pick)
    mode = pick.one_of(("reflect", "circular"))
    less = 1 if mode == "reflect" else 0
    h, w = problem.x.shape[2:]
    return problem.but(padding=((h - less, h - less), (w - less, w - less)), mode=mode)


@edge("PAD-01, PAD-02")
def one_pixel_far_from_the_border(cls: type[Pad2d], pick: Pick) -> Pad2d:
    """One pixel padded by more than its size, with zeros or copies of itself."""
    problem = cls.draw(pick)
    x = enlarged(problem.x, 1, 1)[:, :, :1, :1]
    sides = tuple((pick.integer(2, 4), pick.integer(2, 4)) for _ in range(2))
    return problem.but(x=np.array(x, order="C"), padding=sides, mode=pick.one_of(("zeros", "replicate")))


@edge("GEN-23", STRICT, may_refuse=True)
def no_channels(cls: type[Pad2d], pick: Pick) -> Pad2d:
    """Images without channels may be refused; accepted, they give images of the padded size without channels."""
    problem = cls.draw(pick)
    return problem.but(x=np.array(problem.x[:, :0], order="C"))


@edge("GEN-23, PAD-01", STRICT, may_refuse=True)
def no_pixels(cls: type[Pad2d], pick: Pick) -> Pad2d:
    """Images without rows or columns, padded with zeros, may be refused; accepted, they give zeros alone."""
    problem = cls.draw(pick)
    x, padding = without_pixels(problem.x, pick.integer(0, 1), problem.padding, 1)
    return problem.but(x=x, padding=padding, mode="zeros")
