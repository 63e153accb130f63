"""The taps that saw an input element: the transpose of laying windows over a padded axis.

Forward, a window takes elements; backward, an element collects from every tap that took it: none, one or many, and a
border element also from the padding that copies it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .measured import sum_of_pairs
from .pad2d import source_index
from .window import Window

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@lru_cache(maxsize=256)
def takers(axis: Window, mode: str = "zeros") -> Index:
    """(length, most): for each element the taps that take it, as numbers i * taps + r; count * taps where none is left.

    Windows may reach beyond the padding, as rounding up allows; there is nothing to take.
    """
    source = source_index(axis.length, axis.before, axis.after, mode)
    reach = axis.positions + axis.before
    at = np.where(reach < len(source), source[np.minimum(reach, len(source) - 1)], -1).ravel()
    order = np.argsort(at, kind="stable")
    order = order[at[order] >= 0]
    counts = np.bincount(at[order], minlength=axis.length)
    first = np.cumsum(counts) - counts
    index = np.full((axis.length, int(counts.max(initial=0))), at.size)
    index[at[order], np.arange(order.size) - first[at[order]]] = order
    index.flags.writeable = False  # many share it
    return index


def most_takers(axis: Window, mode: str = "zeros") -> int:
    """No fewer than any element has: at most one tap of each window and one window for each tap; times the places that
    copy an element, which mirrored or wrapped once are at most three."""
    copies = {"zeros": 1, "replicate": 1 + axis.before + axis.after}.get(mode, 3)
    return min(min(axis.count, axis.taps) * copies, axis.count * axis.taps)


def collected(parts: tuple[Array, ...], rows: Index, columns: Index) -> tuple[Array, ...]:
    """(N, C, I, J, R, S), what each tap has to give -> (N, C, H, W), the sums over the takers of each element.

    One part: float64 values. Two: unevaluated sums hi + lo, which come back as such.
    """
    n, c, i, j, r, s = parts[0].shape
    down = [a.transpose(0, 1, 3, 5, 2, 4).reshape(n, c, j, s, i * r) for a in parts]
    across = [a.transpose(0, 1, 4, 2, 3).reshape(n, c, len(rows), j * s) for a in _summed(down, rows)]
    return tuple(_summed(across, columns))


def _summed(parts: list[Array], index: Index) -> list[Array]:
    """The sums over the places in `index` along the last axis; a place behind its end has zero."""
    seen = [np.concatenate([a, np.zeros((*a.shape[:-1], 1))], axis=-1)[..., index] for a in parts]
    if len(seen) == 1:
        return [np.asarray(seen[0].sum(axis=-1))]
    return list(sum_of_pairs(seen[0], seen[1]))
