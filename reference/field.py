"""Receptive fields: which input positions an output of several layers of windows depends on.

Axes are separate, so everything here is about one of them. A stack is a sequence of `Window`, first layer first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .window import Window


@dataclass(frozen=True)
class Field:
    """The hull of the fields of a stack: output i sees positions start + i*jump to start + i*jump + size - 1 at most.

    Positions count from the first input element; those outside the input are padding. Without padding both ends are
    seen. The recursion, from size 1, jump 1 and start 0, for a layer with span e = dilation*(taps-1) + 1:
    size += (e-1)*jump, start -= before*jump, jump *= stride. So a stride enlarges the fields of later layers, never
    that of its own. Source: RF-02, as in Araujo, Norris and Sim 2019.
    """

    size: int = 1
    jump: int = 1
    start: int = 0

    def after(self, layer: Window) -> Field:
        """The field with one more layer behind it."""
        return Field(
            self.size + (layer.span - 1) * self.jump, self.jump * layer.stride, self.start - layer.before * self.jump
        )

    def ends(self, output: int, length: int) -> tuple[int, int]:
        """The first and the last input position that an output may see, cut to an input of `length` elements."""
        first = self.start + output * self.jump
        return max(first, 0), min(first + self.size, length) - 1

    def centre(self, output: int) -> float:
        """The middle of the hull in half-pixel coordinates: position p is the cell from p - 1/2 to p + 1/2."""
        return self.start + output * self.jump + (self.size - 1) / 2


def field(layers: Sequence[Window]) -> Field:
    """The hull of a stack, by the recursion. Lengths play no part."""
    found = Field()
    for layer in layers:
        found = found.after(layer)
    return found


def along(length: int, layers: Sequence[Window]) -> tuple[Window, ...]:
    """The same layers on an input of `length` elements: each is as long as the output of the one before."""
    placed: list[Window] = []
    for layer in layers:
        placed.append(replace(layer, length=length))
        length = placed[-1].count
    return tuple(placed)


def sizes(length: int, layers: Sequence[Window]) -> tuple[int, ...]:
    """The output size of each layer."""
    return tuple(layer.count for layer in along(length, layers))


def reach(length: int, layers: Sequence[Window]) -> npt.NDArray[np.bool_]:
    """(outputs, length): which input positions each output depends on, for weights none of which is zero.

    Exact where the hull is not: a dilated field has holes, a stride larger than the window skips elements.
    One layer sees the elements that lie under its taps; a stack sees what the elements of the last layer see.
    """
    seen = np.eye(length, dtype=bool)
    for layer in along(length, layers):
        at, inside = layer.positions, layer.inside
        rows = np.zeros((layer.count, length), bool)
        for tap in range(layer.taps):
            on = inside[:, tap]
            rows[on] |= seen[at[on, tap]]
        seen = rows
    return seen
