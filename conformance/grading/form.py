"""Operations that are sums of products, in several geometries, all seen in one way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import Conv2d, Conv2dBackward, Convolve2d, Linear, LinearBackward, LocallyConnected2d, Op

Tensor = npt.NDArray[Any]
Array = npt.NDArray[np.float64]
Shape = tuple[int, ...]

AROUND = ((1, 1), (1, 1))


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
        return self.build(a.astype(np.float64), b.astype(np.float64)).references()[self.output]

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


def forms(op: type[Op]) -> tuple[Form, ...]:
    """The geometries in which an operation is probed; none, if it is no sum of products of two arrays."""
    return FORMS.get(op.name, ())


def _conv2d(
    name: str, size: tuple[int, int], filters: Shape, far: tuple[int, int] | None = None, n: int = 2, **fields: Any
) -> Form:
    groups = fields.get("groups", 1)
    c = filters[1] * groups
    return Form(
        name=name,
        build=lambda x, weight: Conv2d(x=x, weight=weight, **fields),
        a=(n, c, *size),
        b=filters,
        rows=(0,),
        summed=(1, 1),
        apart=0,
        spread=None if far is None else (max(SPIKES, n), c, *far),
        space=(2, 3),
    )


def _conv2d_backward(output: str) -> Form:
    n, c, k, height, width = 2, 6, 7, 8, 9
    x, weight, grad = (n, c, height, width), (k, c, 3, 3), (n, k, height, width)

    def build(a: Tensor, b: Tensor) -> Op:
        if output == "grad_x":
            images = np.zeros((a.shape[0], c, *a.shape[2:]), a.dtype)
            return Conv2dBackward(x=images, weight=b, grad_output=a, padding=AROUND)
        return Conv2dBackward(x=a, weight=np.zeros(weight, a.dtype), grad_output=b, padding=AROUND)

    if output == "grad_x":
        return Form(
            name="grad_x",
            build=build,
            a=grad,
            b=weight,
            rows=(1,),
            summed=(1, 0),
            apart=0,
            output=output,
            spread=(SPIKES, k, 24, 25),
            space=(2, 3),
        )
    return Form(name="grad_weight", build=build, a=x, b=grad, rows=(1,), summed=(0, 0), apart=1, output=output)


def _linear_backward(output: str) -> Form:
    n, f, o = 9, 8, 11

    def build(a: Tensor, b: Tensor) -> Op:
        if output == "grad_x":
            return LinearBackward(x=np.zeros((n, f), a.dtype), weight=b, grad_output=a)
        return LinearBackward(x=a, weight=np.zeros((o, f), a.dtype), grad_output=b)

    if output == "grad_x":
        return Form(name="grad_x", build=build, a=(n, o), b=(o, f), rows=(1,), summed=(1, 0), apart=0, output=output)
    return Form(name="grad_weight", build=build, a=(n, f), b=(n, o), rows=(1,), summed=(0, 0), apart=1, output=output)


SPIKES = 6  # images, each with one huge pixel in another place

# Many channels are one more than a multiple of four, eight or sixteen: what is left over by unrolled loops is seen too.
# Spikes lie within seven rows and columns of a corner: in 24 outputs, as in 20 with a stride of two, distances are seen
# beyond any tile (neighbours.LARGEST_TILE).
FORMS: dict[str, tuple[Form, ...]] = {
    "conv2d": (
        _conv2d("3x3", (8, 9), (9, 9, 3, 3), (26, 27), padding=1),
        _conv2d("3x3, 32 channels", (8, 8), (8, 32, 3, 3), n=1, padding=1),
        _conv2d("1x1", (6, 7), (17, 17, 1, 1), (24, 25)),
        _conv2d("5x5 stride 2", (11, 12), (6, 4, 5, 5), (40, 42), padding=2, stride=2),
        _conv2d("3x3 dilation 2", (9, 10), (7, 5, 3, 3), (24, 25), padding=2, dilation=2),
        _conv2d("3x3 depthwise", (8, 9), (8, 1, 3, 3), (24, 25), padding=1, groups=8),
        _conv2d("3x3 grouped", (7, 9), (6, 5, 3, 3), (24, 25), padding=1, groups=2),
        _conv2d("1x5 long row", (1, 200), (7, 8, 1, 5), n=1),
        _conv2d("3x3 batch of 18", (8, 8), (4, 4, 3, 3), (24, 24), n=18, padding=1),
    ),
    "convolve2d": (
        Form(
            name="3x3",
            build=lambda x, kernel: Convolve2d(x=x, kernel=kernel),
            a=(9, 10),
            b=(3, 3),
            rows=(),
            spread=(24, 25),
            space=(0, 1),
        ),
        Form(
            name="5x7",
            build=lambda x, kernel: Convolve2d(x=x, kernel=kernel),
            a=(12, 13),
            b=(5, 7),
            rows=(),
            spread=(24, 25),
            space=(0, 1),
        ),
    ),
    "linear": (
        Form(
            name="17 to 17",
            build=lambda x, weight: Linear(x=x, weight=weight),
            a=(6, 17),
            b=(17, 17),
            rows=(0,),
            summed=(1, 1),
            apart=0,
        ),
        Form(
            name="193 to 12",
            build=lambda x, weight: Linear(x=x, weight=weight),
            a=(4, 193),
            b=(12, 193),
            rows=(0,),
            summed=(1, 1),
            apart=0,
        ),
    ),
    "locally_connected2d": (
        Form(
            name="3x3",
            build=lambda x, weight: LocallyConnected2d(x=x, weight=weight, padding=AROUND),
            a=(2, 4, 7, 8),
            b=(7, 8, 3, 4, 3, 3),
            rows=(0, 1, 2),
            summed=(1, 3),
            apart=0,
            space=(2, 3),
        ),
        Form(
            name="2x3 stride 2",
            build=lambda x, weight: LocallyConnected2d(x=x, weight=weight, stride=(2, 2)),
            a=(2, 5, 8, 9),
            b=(4, 4, 3, 5, 2, 3),
            rows=(0, 1, 2),
            summed=(1, 3),
            apart=0,
            space=(2, 3),
        ),
    ),
    "conv2d_backward": (_conv2d_backward("grad_x"), _conv2d_backward("grad_weight")),
    "linear_backward": (_linear_backward("grad_x"), _linear_backward("grad_weight")),
}
