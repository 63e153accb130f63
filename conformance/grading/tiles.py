"""Which outputs a fast algorithm computes together, read off the outputs that huge numbers spoil."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend

from .form import Form
from .spoiled import asked, images_of, wrong_ones

Tensor = npt.NDArray[Any]
Span = tuple[int, int]  # first and last row, or column


@dataclass(frozen=True)
class Tile:
    """Outputs that are computed together, aligned to multiples of their number."""

    rows: int
    columns: int
    taps: tuple[int, int]  # of the filters
    overlaps: bool  # a pixel spoils the next tile too, where that does no more than see it

    @property
    def outputs(self) -> str:
        return f"{self.rows}x{self.columns} outputs"

    @property
    def name(self) -> str:
        """The algorithm; empty where nothing tells.

        Of a pixel that only the tap in the middle of the filter sees, the outermost inputs of a tile of F(m, r) enter
        the points zero and infinity alone, where the transform of such a filter is zero: no other tile is spoiled. A
        Fourier transform has no such points. With a single tap no tile sees more than its own pixels.
        """
        if self.overlaps:
            return f"FFT of {self.rows + self.taps[0] - 1}x{self.columns + self.taps[1] - 1} inputs"
        if self.rows == self.columns and self.taps[0] == self.taps[1] > 2:
            return f"Winograd F({self.rows},{self.taps[0]})"
        if self.rows == 1 and self.taps[1] > 2:
            return f"Winograd F({self.columns},{self.taps[1]}) along rows"
        if self.columns == 1 and self.taps[0] > 2:
            return f"Winograd F({self.rows},{self.taps[0]}) along columns"
        return ""


def tile_of(backend: Backend, form: Form, small: float, huge: float, dtype: Any) -> Tile | None:
    """The tile, if what is spoiled comes in such.

    A filter of one tap takes each pixel to one output; whatever else a huge one spoils is computed together with it. So
    a huge pixel goes along the diagonal, next to small ones whose products are lost beside it: all outputs of a tile
    are off. Nothing is seen of transforms that are far more exact than the result.
    """
    assert form.space is not None
    spans: list[dict[int, Span]] = [{}, {}]  # for rows and columns: what is spoiled by which output
    for a, b in _diagonal(form, small, huge, dtype):
        answer, touched, due = asked(backend, form, a, b, huge)
        wrong = wrong_ones(answer, due, small * form.step) & ~touched
        for bad, own in zip(images_of(wrong, form.space), images_of(touched, form.space), strict=True):
            for axis in (0, 1):
                at, hit = (np.nonzero(mask.any(axis=1 - axis))[0] for mask in (own, bad | own))
                if len(at) == 1:
                    spans[axis].setdefault(int(at[0]), (int(hit[0]), int(hit[-1])))
    rows, columns = (size_of(of) for of in spans)
    if rows is None or columns is None or rows[0] * columns[0] == 1:
        return None
    taps = (form.b[-2], form.b[-1])
    return Tile(rows[0], columns[0], taps, rows[1] or columns[1])


def _diagonal(form: Form, small: float, huge: float, dtype: Any) -> list[tuple[Tensor, Tensor]]:
    """As many images as the form has, again and again, each with its huge pixel one further down the diagonal."""
    random = np.random.default_rng(16)
    shape = form.spread or form.a
    height, width = shape[-2:]
    images = shape[0] if form.apart == 0 else 1
    b = np.zeros(form.b)
    b[..., form.b[-2] // 2, form.b[-1] // 2] = random.choice((-1, 1), form.b[:-2])
    made = []
    for start in range(0, max(height, width), images):
        a = np.asarray(random.choice((-1, 1), shape) * small)
        for n, image in enumerate(a if form.apart == 0 else [a]):
            at = start + n
            image[..., min(at, height - 1), min(at, width - 1)] = huge
        made.append((a.astype(dtype), b.astype(dtype)))
    return made


def size_of(spoiled: dict[int, Span]) -> tuple[int, bool] | None:
    """How many rows go together, and whether some spoil others than these; None where they do not come in tiles.

    The smallest span that a row is in is its tile. All are of one size, the last perhaps cut off by the border.
    """
    tiles: list[Span] = []
    for at in sorted(spoiled):
        mine = min((s for s in spoiled.values() if s[0] <= at <= s[1]), key=lambda s: s[1] - s[0])
        if mine not in tiles:
            tiles.append(mine)
    if not tiles or (len(tiles) == 1 and len(spoiled) > 1):  # the border of the only one is that of the image
        return None
    sizes = [last - first + 1 for first, last in tiles]
    size = Counter(sizes[:-1] or sizes).most_common(1)[0][0]
    starts = [first for first, _ in tiles]
    if starts != [n * size for n in range(len(tiles))] or any(n != size for n in sizes[:-1]) or sizes[-1] > size:
        return None
    return size, any(span not in tiles for span in spoiled.values())
