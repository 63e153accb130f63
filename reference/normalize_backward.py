"""What the gradients of the normalizations share: the formula and its value in many digits."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from math import prod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from . import backward
from .backward import Backward, HiLo
from .dot import as_float
from .normalize import FORTY_DIGITS, affine, decimals, moments, pair
from .normalize_backward_bounds import JUDGES, Seen
from .rounding import Arithmetic, Bound
from .sets import Array, Sets, found_in, held

Numbers = npt.NDArray[Any]  # of float64, or of decimals


class NormalizationBackward(Backward):
    """The gradients of a normalization with respect to x, weight and bias.

    A subclass has the fields of the forward operation and `grad_output`, and writes `forward`.
    """

    x: Any
    grad_output: Any
    bias: Any
    eps: float
    outputs: ClassVar[tuple[str, ...]] = backward.PARAMETERS
    fresh: ClassVar[bool] = False

    @property
    def sets(self) -> Sets:
        """What is normalized together."""
        found: Sets = self.forward.sets
        return found

    @property
    def held(self) -> tuple[Array, Array] | None:
        """Mean and variance where they are given, as in the forward operation."""
        return held(self.forward)

    @property
    def users(self) -> Sets:
        """x as the sets see it, the elements together that share a weight and a bias."""
        sets = self.sets
        return Sets(sets.shape, tuple(a for a, size in enumerate(sets.affine) if size == 1), sets.affine)

    def references(self) -> dict[str, Array]:
        if not self.x.size:
            return self._nothing()
        found = found_in(self)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            r = 1 / np.sqrt(found.variance + self.eps)
            return self._gradients(as_float, found.mean, r)

    def truths(self) -> dict[str, HiLo]:
        """Of float64 arrays in 40 digits."""
        if self.dtype != np.float64 or not self.x.size:
            return super().truths()
        mean, variance = moments(self)
        with decimal.localcontext(FORTY_DIGITS):
            root = np.frompyfunc(lambda v: v.sqrt(), 1, 1)
            r = 1 / root(variance + decimal.Decimal(self.eps))
            return {name: pair(found) for name, found in self._gradients(decimals, mean, r).items()}

    def _nothing(self) -> dict[str, Array]:
        return {name: np.zeros(shape) for name, shape in self.output_shapes().items()}

    def _gradients(self, numbers: Callable[[Numbers], Numbers], mean: Numbers, r: Numbers) -> dict[str, Numbers]:
        """The formulas, in whatever numbers; mean and r of each set, with its axes kept."""
        sets, shapes = self.sets, self.output_shapes()
        x, g = (numbers(a).reshape(sets.shape) for a in (self.x, self.grad_output))
        h, centred = g * numbers(affine(self)[0]), x - mean

        def average(a: Numbers) -> Numbers:
            return np.asarray(a.sum(axis=sets.axes, keepdims=True) / sets.count)

        x_hat = centred * r
        inner = h if self.held is not None else h - average(h) - x_hat * average(h * x_hat)
        found = {
            "grad_x": inner * r,
            "grad_weight": (g * x_hat).sum(axis=self.users.axes),
            "grad_bias": g.sum(axis=self.users.axes),
        }
        return {name: np.asarray(found[name]).reshape(shape) for name, shape in shapes.items()}

    def judgements(self, arithmetic: Arithmetic) -> dict[str, Bound]:
        """As normalize_backward_bounds.py derives them, one function for each."""
        shapes = self.output_shapes()
        if not self.x.size:
            return {name: Bound.exact(shape) for name, shape in shapes.items()}
        seen = Seen(self, arithmetic)
        return {name: JUDGES[name](self, seen, arithmetic) for name in shapes}

    @staticmethod
    def terms(forward: Any) -> int:
        sets: Sets = forward.sets
        return max(sets.count, prod(size for size, own in zip(sets.shape, sets.affine, strict=True) if own == 1))
