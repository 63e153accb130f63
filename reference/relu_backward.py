"""The gradient of the rectifier."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import backward, backward_clauses, backward_laws
from .backward import Backward
from .features import of_forward
from .op import STRICT, Run, Sides, Tensor, example, law, operation
from .pick import Pick
from .relu import Relu
from .rounding import Arithmetic, Bound
from .subnormal import is_subnormal

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]


@operation
class ReluBackward(Backward):
    """The gradient of the rectifier, from the gradient of its output.

        grad_x = grad_output if x > 0, else 0

    At x = 0, of either sign, the gradient is 0. Where x <= 0 and grad_output is infinite or undefined, the gradient is
    0 where it is selected and NaN where it is multiplied by a mask: both are right. What comes back where x is NaN is
    not specified. The result is exact in every format.

    Source: the chain rule on the lecture's activation; PyTorch threshold_backward, whose gradient at 0 this is.
    """

    x: Tensor  # any shape
    grad_output: Tensor  # that of x, the gradient of the output

    fresh = False
    features = of_forward(Relu.features)
    excluded = Relu.excluded
    chapters = (backward.of_forward(Relu), backward_clauses)
    the_input_times_its_gradient = backward_laws.the_input_times_its_gradient

    @property
    def forward(self) -> Relu:
        return backward.forward_of(self, Relu)

    def references(self) -> dict[str, Array]:
        return {"grad_x": np.where(np.asarray(self.x, np.float64) > 0, np.asarray(self.grad_output, np.float64), 0.0)}

    def judgements(self, arithmetic: Arithmetic) -> dict[str, Bound]:
        """Numbers are selected, none is computed: there is no error. Where subnormal numbers are flushed, x > 0 that is
        one may be read as 0, at which the gradient is 0: there it is grad_output or 0."""
        exact, gradient = Bound.exact(self.x.shape), np.asarray(self.grad_output, np.float64)
        closes = is_subnormal(self.x) & (np.asarray(self.x, np.float64) > 0)
        if not (arithmetic.flush_to_zero and closes.any()):
            return {"grad_x": exact}
        due = self.references()["grad_x"]
        off, results = np.where(closes, abs(gradient), 0.0), (due, np.where(closes, 0.0, due))
        return {"grad_x": replace(exact, tolerance=off, results=results)}

    @staticmethod
    def terms(forward: Relu) -> int:
        return 1

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls.drawn(Relu.draw(pick), pick)

    @law("BWD-10")
    def it_is_the_gradient_times_the_slope(self, run: Run, pick: Pick) -> Sides | None:
        """With a gradient of ones, 1 where relu(x) = x > 0 and 0 elsewhere; times grad_output, the gradient."""
        ones = run.values(self.but(grad_output=np.ones_like(self.grad_output)))
        return run.values(self), ones * np.asarray(self.grad_output, np.float64)

    @law("BWD-10")
    def only_signs_of_the_input_matter(self, run: Run, pick: Pick) -> Sides | None:
        """The gradient for x is that for its signs, -1, 0 and 1."""
        signs, clear = self.but(x=np.sign(self.x).astype(self.dtype)), ~is_subnormal(self.x)  # which may count as 0
        return run.values(self)[clear], run.values(signs)[clear]

    @law("BWD-11, GEN-18", STRICT)
    def what_is_closed_lets_nothing_through(self, run: Run, pick: Pick) -> Sides | None:
        """A NaN or an infinity in grad_output comes through where x > 0, becomes 0 elsewhere, or NaN by a mask of
        zeros, and touches no other element."""
        grad = np.array(self.grad_output)
        grad.reshape(-1)[pick.integer(0, grad.size - 1)] = pick.one_of((np.nan, np.inf, -np.inf))
        spoilt = self.but(grad_output=grad)
        found = run.values(spoilt)
        masked = np.isnan(found) & ~np.isfinite(grad) & (np.asarray(self.x, np.float64) <= 0)
        clear = ~is_subnormal(self.x)  # which may count as 0
        return np.where(masked, 0.0, found)[clear], spoilt.reference()[clear]

    @example("BWD-10, ACT-01")
    def closed_at_zero(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """x = -inf, -1, -0, 0, 2 and inf let 1 2 3 4 5 6 through as 0 0 0 0 5 6."""
        x = np.array([-np.inf, -1.0, -0.0, 0.0, 2.0, np.inf]).astype(dtype)
        return [(cls(x=x, grad_output=np.arange(1.0, 7).astype(dtype)), np.array([0.0, 0, 0, 0, 5, 6]))]
