"""Known bugs of threads, played out in one: the order of steps that goes wrong is taken in every second call."""

from __future__ import annotations

import numpy as np

from convspec.reference import Conv2d

from ..base import Array
from ..conv2d import RightConv2d
from .entry import filled, known


class Races(RightConv2d):
    """A convolution by several threads, whose steps fall in the bad order in every second call."""

    def __init__(self) -> None:
        self.calls = 0

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        self.calls += 1
        return super().sums(problem, seen if self.calls % 2 else self.raced(seen))

    def raced(self, seen: Array) -> Array:
        """What the products are made of, when the steps fall badly."""
        raise NotImplementedError


@known(
    "B207",
    "FluxML/NNlib.jl#158",
    "conv2d",
    clause="repeating_a_call_repeats_the_bits",
    at=lambda: Conv2d(x=filled((2, 1, 1, 1)), weight=filled((1, 1, 1, 1))),
    spared=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1))),
    analog="two threads are played out in one, badly in every second call",
)
class SharesOneWorkspace(Races):
    """Two threads, an image each, lay out their patches in one workspace: the first multiplies those of the second."""

    def raced(self, seen: Array) -> Array:
        first = np.arange(seen.shape[0]) // 2 * 2
        return np.asarray(seen[np.minimum(first + 1, seen.shape[0] - 1)])


@known(
    "B209",
    "ggml-org/ggml#483",
    "conv2d",
    clause="repeating_a_call_repeats_the_bits",
    at=lambda: Conv2d(x=filled((1, 1, 1, 9)), weight=filled((1, 1, 1, 1))),
    spared=lambda: Conv2d(x=filled((1, 1, 1, 8)), weight=filled((1, 1, 1, 1))),
    analog="two threads are played out in one, badly in every second call; a tile is eight outputs",
)
class MultipliesBeforeTheLastTileIsThere(Races):
    """A thread begins to multiply while another has not laid out the last tile of patches: zeros are read there."""

    def raced(self, seen: Array) -> Array:
        n, c, i, j, r, s = seen.shape
        if i * j <= 8:  # one tile, one thread
            return seen
        columns = np.array(seen).reshape(n, c, i * j, r, s)
        columns[:, :, (i * j - 1) // 8 * 8 :] = 0
        return columns.reshape(seen.shape)
