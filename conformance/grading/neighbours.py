"""How far the error of a huge number reaches: not beyond its own outputs, a tile, an image, everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend
from convspec.reference.rounding import Arithmetic

from .form import Form
from .spoiled import asked, distance_of, wrong_ones
from .tiles import Tile, tile_of

Tensor = npt.NDArray[Any]

# The largest tiles in use are of 16 x 16 outputs (NNPACK's FFT): an error that stays in one goes no further than this.
LARGEST_TILE = 15


@dataclass
class Reach:
    """What huge numbers did to outputs that have no part in them."""

    radius: int = 0  # how many rows or columns off, at most
    inside: bool = False  # beside it: where the filter has a zero, or in other filters
    mixes: list[str] = field(default_factory=list)  # across what else: summed channels, images, filters
    leaks: bool = False  # outputs without any term that are not zero
    tile: Tile | None = None  # of what is computed together, where that is seen

    @property
    def letter(self) -> str:
        """A: nowhere; B: within a tile; C: further."""
        if self.mixes or self.radius > LARGEST_TILE:
            return "C"
        return "B" if self.radius or self.inside else "A"


def probe_neighbours(backend: Backend, form: Form, dtype: Any, reach: Reach) -> None:
    """Fill in what is found.

    All other numbers are -1, 0 and 1 times one power of two, so that every sum which no huge number has a part in is
    exact, in every order and down to accumulators of 8 bits. The huge ones lie three bits beyond the significand of the
    accumulator that a plain implementation would have: next to them nothing is left of the others, so that wherever
    they have been added in between, and taken away again, an output is off by one of its terms. Where all other numbers
    are zero, so are the outputs.
    """
    random = np.random.default_rng(10)
    small, huge = _sizes(dtype)
    kinds = _kinds(form, random, small, huge, dtype)
    for name, a, b in kinds:
        answer, touched, due = asked(backend, form, a, b, huge)
        unit = float(np.abs(b[np.abs(b) < huge]).max(initial=0.0)) * float(np.abs(a[np.abs(a) < huge]).max(initial=0.0))
        if wrong_ones(answer, due, unit * form.step)[~touched].any():
            reach.mixes.append(name)
    if form.space is None:
        return
    for others in (small, 0.0):
        for a, b in _spikes(form, random, others, huge, dtype):
            answer, touched, due = asked(backend, form, a, b, huge)
            wrong = wrong_ones(answer, due, others * form.step) & ~touched
            if not wrong.any():
                continue
            reach.leaks |= others == 0.0
            seen = form.terms(np.abs(a) == huge, np.ones_like(b)) > 0
            distance = distance_of(wrong, seen, form.space)
            reach.radius, reach.inside = max(reach.radius, distance), reach.inside or distance == 0
    if reach.letter == "B" and not form.alone:
        reach.tile = tile_of(backend, form, small, huge, dtype)


def _sizes(dtype: Any) -> tuple[float, float]:
    """A small number and one 2^(p+3) times as large, p being the significand of the usual accumulator.

    As far below 1 as above it, so that where float32 is computed with inputs in float16 these are no infinities yet.
    """
    p = Arithmetic.ieee(dtype).acc.p
    small = 2.0 ** -((p + 3) // 2 - 1)
    return small, small * 2.0 ** (p + 3)


def _kinds(
    form: Form, random: np.random.Generator, small: float, huge: float, dtype: Any
) -> list[tuple[str, Tensor, Tensor]]:
    """What may be mixed, with arrays in which it is huge."""

    def whole(shape: tuple[int, ...], unit: float) -> Tensor:
        return np.asarray(random.integers(-1, 2, shape) * unit).astype(dtype)

    kinds = []
    if form.summed is not None and form.b[form.summed[1]] > 1:
        along_a, along_b = form.summed
        a, b = whole(form.a, small), whole(form.b, 1.0)
        first = form.b[along_b] // 2
        np.moveaxis(a, along_a, 0)[first :: form.b[along_b]] = huge
        np.moveaxis(b, along_b, 0)[first] = 0
        kinds.append(("terms of one sum", a, b))
    if form.apart is not None and form.a[form.apart] > 1:
        a, b = whole(form.a, small), np.ones(form.b, dtype) if form.alone else whole(form.b, 1.0)
        np.moveaxis(a, form.apart, 0)[form.a[form.apart] // 2] = huge
        kinds.append(("images", a, b))
    if form.rows:
        a, b = whole(form.a, 1.0), whole(form.b, small)
        filters = form.rows[-1]
        if form.b[filters] > 1:
            np.moveaxis(b, filters, 0)[form.b[filters] // 2] = huge
            kinds.append(("filters", a, b))
    return kinds


def _spikes(
    form: Form, random: np.random.Generator, others: float, huge: float, dtype: Any
) -> list[tuple[Tensor, Tensor]]:
    """Images with one huge pixel each, at several places relative to any tiles, most near a corner: then the opposite
    one is far away. A third of the filters' numbers are zero: F(2,3) spoils no output that does not see the pixel, but
    those that see it with a zero."""
    shape = form.spread or form.a
    a = np.asarray(random.integers(-1, 2, shape) * others).astype(dtype)
    b = (np.ones(form.b) if form.alone else random.integers(-1, 2, form.b)).astype(dtype)
    images = a if form.apart == 0 else a[None, None] if a.ndim == 2 else a[None]
    height, width = images.shape[-2:]
    places = [(1, 2), (2, 1), (3, 4), (4, 3), (5, 6), (height - 2, width - 4)]
    if form.apart == 0:
        for n, image in enumerate(images):
            i, j = places[n % len(places)]
            image[n % image.shape[0], min(i, height - 1), min(j, width - 1)] = huge
        return [(a, b)]
    made = []
    for i, j in places:
        one = a.copy()
        one[..., i, j] = huge
        made.append((one, b))
    return made
