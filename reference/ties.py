"""Equal largest elements of a pooling window: any split of the window's gradient among them is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import pool
from .max_pool2d import MaxPool2d
from .window import windows

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def winners(forward: MaxPool2d) -> Mask:
    """Which taps on the image hold the largest element of their window: (N, C, I, J, R, S)."""
    rows, columns = forward.axes
    seen = windows(pool.filled(forward, -np.inf), rows, columns)
    inside = rows.inside[:, None, :, None] & columns.inside[:, None]
    return np.asarray((seen == seen.max(axis=(4, 5), keepdims=True, initial=-np.inf)) & inside)


def components(forward: MaxPool2d, tied: Mask) -> npt.NDArray[np.int64]:
    """A number for each pixel (N * C, H * W), the same for pixels that tie with each other, directly or by others
    between: only within such a component can gradients have been exchanged."""
    rows, columns = forward.axes
    n, c, h, w = forward.x.shape
    down, across = rows.positions[:, None, :, None], columns.positions[:, None]
    inside = rows.inside[:, None, :, None] & columns.inside[:, None]
    at = np.where(inside, down * w + across, h * w).reshape(-1, rows.taps * columns.taps)
    ties = tied.reshape(n * c, *at.shape)
    label = np.tile(np.arange(h * w + 1), (n * c, 1))
    plane = np.broadcast_to(np.arange(n * c)[:, None, None], ties.shape)[ties]
    pixel = np.broadcast_to(at, ties.shape)[ties]
    while True:
        least = np.where(ties, label[:, at], h * w).min(axis=2, initial=h * w)
        before = label.copy()
        np.minimum.at(label, (plane, pixel), np.broadcast_to(least[..., None], ties.shape)[ties])
        if np.array_equal(before, label):
            return np.asarray(label[:, :-1])


def nearest(problem: Any, answer: Array) -> Array:
    """The gradient that is nearest to an answer among those that a split of the ties allows.

    A pixel has all of the windows that it wins alone, and of those where it ties between nothing and all; and each
    component (see `components`) has in total what its windows got. These conditions are necessary, and sufficient where
    tied windows do not overlap. What a component has too little or too much is laid on its pixels in proportion to the
    gradients in play there. A tied window without a gradient has nothing to split: it ties nobody.
    """
    won = problem.won
    g = np.asarray(problem.grad_output, np.float64)[..., None, None]
    tied = won & (won.sum(axis=(4, 5), keepdims=True) > 1) & (g != 0)
    parts = (won & ~tied) * g, tied * np.minimum(g, 0), tied * np.maximum(g, 0), won * abs(g)
    alone, least, most, size = (problem.collected(part) for part in parts)
    inside = np.clip(np.where(np.isfinite(answer), answer, alone), alone + least, alone + most)
    label = components(problem.forward, tied)
    equal = problem.collected(problem.given(g[..., 0, 0]))  # one legal gradient: its totals are those of all
    place = (label + np.arange(len(label))[:, None] * label.shape[1]).ravel()
    short, weight = (np.bincount(place, a.ravel(), label.size) for a in (equal - inside, size))
    share = np.divide(short, weight, out=np.zeros(label.size), where=weight > 0)
    moved = np.where(problem.collected(tied * 1.0) > 0, share[place].reshape(size.shape) * size, 0.0)
    return np.asarray(inside + moved)
