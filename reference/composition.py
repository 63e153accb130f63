"""Operations one after another: what a backend gives for one layer is what the next one is asked about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .op import Op, Shape, Tensor

Layer = Callable[[Tensor], Op]  # the problem of a layer, once its input is known


class Composition(Op):
    """A problem made of others. A backend has no method for it: its layers are asked for one by one.

    A subclass says what the layers are; the ground truth is that of the layers, each on the truth of the one before.
    """

    requires: ClassVar[tuple[str, ...]] = ()  # the operations that a backend must have to be asked at all

    def layers(self) -> tuple[Layer, ...]:
        """The layers, first to last."""
        raise NotImplementedError

    def follow(self, ask: Callable[[Op], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The result, when `ask` gives the first output of each layer's problem."""
        x = self.arrays()["x"]
        for layer in self.layers():
            x = ask(layer(x))
        return x

    def output_shape(self) -> Shape:
        return self.follow(lambda problem: np.empty(problem.output_shape())).shape

    def reference(self) -> npt.NDArray[np.float64]:
        x = np.asarray(self.arrays()["x"], np.float64)
        for layer in self.layers():
            x = layer(x).reference()
        return x
