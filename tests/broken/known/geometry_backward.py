"""Known bugs of the geometry of gradients: of transposed convolution, which is the gradient of x, and of remainders."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Conv2dBackward

from ..backward import Gradients
from ..base import Array, rounded
from .entry import TRANSPOSED, filled, known
from .geometry_parts import axes_of


class Transposed(Gradients):
    """Gradients of convolutions with zeros around them, where grad_x may be cut out of the padded image's otherwise."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "conv2d_backward" or problem.padding_mode != "zeros":
            return right
        return (self.turned(problem, right[0]), *right[1:])

    def turned(self, problem: Any, grad_x: Any) -> Any:
        raise NotImplementedError

    def uncut(self, problem: Any) -> Array:
        """The gradient of the padded image."""
        (top, bottom), (left, right) = problem.padding
        x = np.pad(problem.x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        return np.asarray(problem.but(x=x, padding=((0, 0), (0, 0))).expected()[0])


def _problem(length: int, stride: int = 1, sides: tuple[int, int] = (0, 0), taps: int = 2) -> Conv2dBackward:
    """One row."""
    outputs = (length + sum(sides) - taps) // stride + 1
    return Conv2dBackward(
        x=filled((1, 1, 1, length)),
        weight=filled((1, 1, 1, taps)),
        stride=(1, stride),
        padding=((0, 0), sides),
        grad_output=filled((1, 1, 1, outputs)),
    )


@known(
    "B121",
    "apache/tvm#19524",
    "conv2d_backward",
    clause="exact_on_integers",
    at=lambda: _problem(3, stride=2),
    spared=lambda: _problem(4, stride=2),
    analog="the report gives no cause; what is added to the output on its wrong side stands for it",
)
class PadsTransposedOutputsBefore(Transposed):
    """Where a transposed convolution's output is longer than its windows reach, because a stride left pixels over, the
    additional ones are put before it: everything moves."""

    def turned(self, problem: Any, grad_x: Any) -> Any:
        if not any(a.slack for a in axes_of(problem)):
            return grad_x
        rows, columns = axes_of(problem)
        behind = np.pad(self.uncut(problem), ((0, 0), (0, 0), (rows.slack, 0), (columns.slack, 0)))
        h, w = grad_x.shape[2:]
        return rounded(behind[:, :, rows.before : rows.before + h, columns.before : columns.before + w], problem)


@known(
    "B135",
    "ARM-software/ComputeLibrary#743",
    "conv2d_backward",
    clause="size_follows_the_formula",
    at=lambda: _problem(2, sides=(0, 1)),
    spared=lambda: _problem(2, sides=(1, 1)),
    setting=TRANSPOSED,
)
class CutsBothSidesByTheFirst(Transposed):
    """A transposed convolution's padding at the end is taken to be that at the beginning: the output has another
    size."""

    def turned(self, problem: Any, grad_x: Any) -> Any:
        whole = self.uncut(problem)
        (top, _), (left, _) = problem.padding
        h, w = whole.shape[2:]
        return rounded(whole[:, :, top : max(h - top, top), left : max(w - left, left)], problem)


@known(
    "B143",
    "mlpack/mlpack#2986",
    "conv2d_backward",
    clause="size_follows_the_formula",
    at=lambda: _problem(4, stride=2, taps=3),
    spared=lambda: _problem(5, stride=2, taps=3),
)
class LosesWhatIsLeftOver(Transposed):
    """The gradient of the image ends with the last window: rows and columns that a stride left over are missing."""

    def turned(self, problem: Any, grad_x: Any) -> Any:
        h, w = (max(a.length - a.slack, 0) for a in axes_of(problem))
        return np.array(grad_x[:, :, :h, :w], order="C")
