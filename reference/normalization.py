"""What the classes of the normalizations share: values and bounds, with running statistics and without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from . import normalize, running
from .op import Op, Shape
from .rounding import Arithmetic, Bound
from .sets import Array, Sets

# How far mean and variance of each set may be off.
Errors = tuple[Array, Array]


class NormalizationOp(Op):
    """An operation that normalizes sets of elements.

    A subclass has the fields x, weight, bias and eps, and writes `sets` and `draw`.
    """

    x: Any
    spreads: ClassVar[str] = "mixes"

    @property
    def sets(self) -> Sets:
        """What is normalized together."""
        raise NotImplementedError

    def output_shape(self) -> Shape:
        shape: Shape = self.x.shape
        return shape

    def reference(self) -> Array:
        return normalize.reference(self)

    def truth(self) -> tuple[Array, Array]:
        return normalize.truth(self) if self.dtype == np.float64 else super().truth()

    def judgement(self, arithmetic: Arithmetic) -> Bound:
        """As normalize.judgement derives it, of the errors that sets.errors finds."""
        return normalize.judgement(self, arithmetic)


class RunningNormalization(NormalizationOp):
    """One over the batch, which returns running statistics too.

    A subclass has their fields and momentum besides, and writes `errors`.
    """

    momentum: Any
    has_batch: ClassVar[bool] = False  # in training every image depends on all
    outputs: ClassVar[tuple[str, ...]] = running.OUTPUTS

    def errors(self, arithmetic: Arithmetic) -> Errors | None:
        """How far the statistics of x may be off; None where none are made of it."""
        raise NotImplementedError

    def declared(self, conventions: Mapping[str, str]) -> Op:
        """With `stored_variance: biased`, v itself is stored."""
        return running.read_as(self, conventions)

    def output_shapes(self) -> dict[str, Shape]:
        return {"y": self.output_shape()} | running.shapes(self)

    def references(self) -> dict[str, Array]:
        return {"y": self.reference()} | running.references(self)

    def truths(self) -> dict[str, tuple[Array, Array]]:
        return {"y": self.truth()} | running.truths(self)

    def judgement(self, arithmetic: Arithmetic) -> Bound:
        """That of y."""
        return self.judgements(arithmetic)["y"]

    def judgements(self, arithmetic: Arithmetic) -> dict[str, Bound]:
        """Of y as normalize.judgement derives it; of running statistics, running.judgements."""
        off = self.errors(arithmetic)
        return {"y": normalize.judgement(self, arithmetic, off)} | running.judgements(self, arithmetic, off)

    def weighs(self, output: str) -> bool:
        return output == "y" or self.momentum not in (0, 1)
