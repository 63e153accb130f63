"""The rectifier."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .features import NOT_OF_ANY_SHAPE, of_any_shape
from .op import STRICT, Op, Run, Shape, Sides, Tensor, edge, example, law, operation, rule
from .pick import Pick
from .subnormal import is_subnormal
from .window import WIDE

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]


@operation
class Relu(Op):
    """Keep what is positive, put zero for the rest.

        y = x if x > 0, else 0

    NaN stays NaN; the infinities give themselves and 0; the sign of a zero is free. Nothing is computed, so the result
    is exact in every format. Source: the lecture's activation; ONNX Relu, PyTorch relu.
    """

    x: Tensor  # any shape

    spreads = "copies"
    features = of_any_shape()
    excluded = NOT_OF_ANY_SHAPE

    def output_shape(self) -> Shape:
        return self.x.shape

    def reference(self) -> Array:
        x = np.asarray(self.x, np.float64)
        return np.where(np.isnan(x), x, np.maximum(x, 0.0))

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        rank = 1 + pick.one_of((3, 0, 1, 2, 4), (50, 15, 15, 15, 5))
        shape: list[int] = []
        lean = pick.flag(0.04)
        for _ in range(rank):
            shape.append(1 if lean else pick.integer(1, 5, unlike=shape))
        if pick.flag(0.3):
            shape[-1] = pick.one_of(WIDE)
        return cls(x=pick.data(1).array(tuple(shape)))

    @rule(lambda self, pick: self.but(x=self.x.astype(pick.one_of((np.complex64, np.bool_)))), STRICT, "ACT-05")
    def numbers_are_ordered(self) -> bool:
        """x holds real numbers: complex numbers have no order, and a boolean is not a number."""
        return self.x.dtype.kind not in "cb"

    @law("LAW-A5")
    def positive_factors_move_out(self, run: Run, pick: Pick) -> Sides | None:
        """relu(a*x) = a*relu(x) bit for bit for a power of two a > 0."""
        factor = pick.one_of((2.0, 0.5))
        scaled = (np.asarray(self.x, np.float64) * factor).astype(self.dtype)
        if not np.array_equal(np.asarray(scaled, np.float64), np.asarray(self.x, np.float64) * factor):
            return None
        clear = ~(is_subnormal(self.x) | is_subnormal(scaled))  # those may become zero on one side alone
        return run.values(self.but(x=scaled))[clear], (run.values(self) * factor)[clear]

    @law("LAW-A6")
    def twice_is_once(self, run: Run, pick: Pick) -> Sides | None:
        """Applying it again changes nothing."""
        once = run.values(self)
        return run.values(self.but(x=once.astype(self.dtype))), once

    @law("LAW-A6")
    def positive_and_negative_parts_make_the_whole(self, run: Run, pick: Pick) -> Sides | None:
        """x = relu(x) - relu(-x)."""
        return run.values(self) - run.values(self.but(x=-self.x)), np.asarray(self.x, np.float64)

    @law("LAW-A6")
    def positive_and_negative_parts_add_to_the_modulus(self, run: Run, pick: Pick) -> Sides | None:
        """|x| = relu(x) + relu(-x)."""
        return run.values(self) + run.values(self.but(x=-self.x)), np.abs(np.asarray(self.x, np.float64))

    @law("LAW-A6")
    def larger_inputs_give_no_smaller_outputs(self, run: Run, pick: Pick) -> Sides | None:
        """It is monotone, and moves no further than its input does."""
        lower = np.minimum(self.x, self.x.reshape(-1)[::-1].reshape(self.x.shape))
        rise = run.values(self) - run.values(self.but(x=np.array(lower, order="C")))
        most = np.asarray(self.x, np.float64) - np.asarray(lower, np.float64)
        clear = ~(is_subnormal(self.x) | is_subnormal(lower))
        return np.clip(rise, 0, most)[clear], rise[clear]

    @law("ACT-01, EQV-09")
    def elements_are_separate(self, run: Run, pick: Pick) -> Sides | None:
        """Reversing the elements reverses the result."""
        backwards = np.array(self.x.reshape(-1)[::-1], order="C")
        return run.values(self.but(x=backwards)), run.values(self).reshape(-1)[::-1]

    @law("ACT-02", STRICT)
    def nan_stays_nan(self, run: Run, pick: Pick) -> Sides | None:
        """relu(NaN) is NaN, unless the backend declares `relu_nan: ignore`; no other element is touched."""
        x = np.array(self.x)
        x.reshape(-1)[pick.integer(0, x.size - 1)] = np.nan
        spoilt = self.but(x=x)
        wanted = spoilt.reference()
        if run.convention("relu_nan") == "ignore":
            wanted = np.where(np.isnan(wanted), 0.0, wanted)
        return run.values(spoilt), wanted

    @example("ACT-01, ACT-03, ACT-04, GEN-13")
    def signs_and_infinities(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """-inf, -1, -0, 0, 2 and inf give 0, 0, 0, 0, 2 and inf."""
        x = np.array([-np.inf, -1.0, -0.0, 0.0, 2.0, np.inf])
        return [(cls(x=x.astype(dtype)), np.array([0.0, 0, 0, 0, 2, np.inf]))]

    @edge("GEN-14")
    def an_empty_array(cls: Any, pick: Pick) -> Relu:
        """No elements give no elements, whichever axis is empty."""
        problem: Relu = cls.draw(pick)
        shape = list(problem.x.shape)
        shape[pick.integer(0, len(shape) - 1)] = 0
        return problem.but(x=np.zeros(shape, problem.dtype))

    @edge("ACT-01")
    def one_number(cls: Any, pick: Pick) -> Relu:
        """A single element."""
        problem: Relu = cls.draw(pick)
        return problem.but(x=problem.x.reshape(-1)[:1])
