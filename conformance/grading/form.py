"""Sums of products, whatever operation they are, seen in one way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import Conv2dBackward, LinearBackward, Op
from convspec.reference.backward import values

Tensor = npt.NDArray[Any]
Array = npt.NDArray[np.float64]
Shape = tuple[int, ...]

SPIKES = 6  # images, each with one huge pixel in another place


@dataclass(frozen=True, kw_only=True)
class Form:
    """One output of an operation in one geometry: bilinear in an array a (the image) and an array b (the filters).

    A row of b is what one output channel is made with; everything else of b is summed over.
    """

    name: str
    build: Callable[[Tensor, Tensor], Op]
    a: Shape
    b: Shape
    rows: tuple[int, ...]  # the axes of b that tell its rows apart
    summed: tuple[int, int] | None = None  # axes of a and of b that are summed over together, index by index
    apart: int | None = None  # the axis of a whose entries never meet: images
    output: str = "y"
    spread: Shape | None = None  # a shape of a on which errors that spread to neighbours are seen far away
    space: tuple[int, int] | None = None  # rows and columns of the output
    alone: bool = False  # b is but a factor of one: sums of a alone
    step: float = 1.0  # outputs of whole numbers are whole multiples of this

    def reference(self, a: Tensor, b: Tensor) -> Array:
        """The output in float64."""
        problem = self.build(a.astype(np.float64), b.astype(np.float64))
        if isinstance(problem, Conv2dBackward | LinearBackward):  # the other gradients are not asked for
            return values({self.output: problem.gradients[self.output]})[self.output]
        return problem.references()[self.output]

    def magnitude(self, a: Tensor, b: Tensor) -> Array:
        """The sum of the absolute products of every output."""
        return self.reference(np.abs(a), np.abs(b))

    def terms(self, a: Tensor, b: Tensor) -> Array:
        """How many products of two non-zeros every output is the sum of."""
        return self.reference(a != 0, b != 0)

    def one_hot(self, random: np.random.Generator, values: Tensor, count: int = 1) -> list[Tensor]:
        """Arrays like b, as many as `count`, with one of the values in every row, somewhere; zeros elsewhere."""
        made = []
        for _ in range(count):
            table, places = self.table(values.dtype)
            at = random.integers(places, size=len(table))
            table[np.arange(len(table)), at] = values[: len(table)]
            made.append(self.from_table(table))
        return made

    @property
    def row_count(self) -> int:
        return int(np.prod([self.b[axis] for axis in self.rows]))

    def table(self, dtype: Any) -> tuple[Tensor, int]:
        """Zeros, one row for each row of b, and how long a row is."""
        places = int(np.prod(self.b)) // self.row_count
        return np.zeros((self.row_count, places), dtype), places

    def from_table(self, table: Tensor) -> Tensor:
        """b out of its rows."""
        order = [*self.rows, *(axis for axis in range(len(self.b)) if axis not in self.rows)]
        moved = table.reshape([self.b[axis] for axis in order])
        return np.array(moved.transpose(np.argsort(order)), order="C")
