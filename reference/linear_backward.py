"""The gradients of the fully connected layer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import backward, backward_clauses, backward_laws, backward_parameters
from .backward import Backward, HiLo, Products
from .dot import exact_dot
from .features import of_forward
from .linear import Linear
from .op import Tensor, example, operation
from .pick import Pick
from .rounding import Arithmetic, Bound

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, tuple[Array | None, ...]]]


@operation
class LinearBackward(Backward):
    """The gradients of a fully connected layer, from the gradient of its output.

        grad_x[n,f]      = sum over o of grad_output[n,o] * weight[o,f]
        grad_weight[o,f] = sum over n of grad_output[n,o] * x[n,f]
        grad_bias[o]     = sum over n of grad_output[n,o]

    Gradients of weights and bias are sums over the rows, not means. grad_bias is None where there is no bias. With no
    rows the gradients of the parameters are zero, with no outputs that of x.

    Source: the chain rule on the lecture's fully connected layer; PyTorch linear under autograd.
    """

    x: Tensor  # (N, F) rows of inputs
    weight: Tensor  # (O, F) a row for each output
    bias: Tensor | None = None  # (O) added to every row of outputs
    grad_output: Tensor  # (N, O) the gradient of the output

    spreads = "adds"
    outputs = backward.PARAMETERS
    shared = (0,)
    features = of_forward(Linear.features)
    excluded = Linear.excluded
    chapters = (backward.of_forward(Linear), backward_clauses, backward_parameters)
    the_gradient_is_the_adjoint = backward_laws.the_gradient_is_the_adjoint
    the_gradient_of_the_weights_is_the_adjoint = backward_laws.the_gradient_of_the_weights_is_the_adjoint

    @property
    def forward(self) -> Linear:
        return backward.forward_of(self, Linear)

    @property
    def gradients(self) -> dict[str, Products]:
        """Each with the two arrays of which it is a matrix product."""
        g = self.grad_output
        found = {
            "grad_x": Products(g, self.weight, np.matmul, lambda g, w: exact_dot(g[:, None], w.T[None], None)),
            "grad_weight": Products(
                g, self.x, lambda g, x: np.matmul(g.T, x), lambda g, x: exact_dot(g.T[:, None], x.T[None], None)
            ),
        }
        if self.bias is not None:
            ones = np.ones(self.x.shape[0])
            found["grad_bias"] = Products(
                g, ones, lambda g, one: np.matmul(g.T, one), lambda g, one: exact_dot(g.T, one, None), summed=True
            )
        return found

    def references(self) -> dict[str, Array]:
        return backward.values(self.gradients)

    def truths(self) -> dict[str, HiLo]:
        return backward.exact(self.gradients, self.dtype)

    def judgements(self, arithmetic: Arithmetic) -> dict[str, Bound]:
        """Sums of products, and of the bias a sum: backward.bounds."""
        return backward.bounds(self.gradients, arithmetic, self.dtype)

    def likely_errors(self, arithmetic: Arithmetic) -> dict[str, Array]:
        return backward.likely_errors(self.gradients, arithmetic)

    @staticmethod
    def terms(forward: Linear) -> int:
        return max(forward.output_shape())

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls.drawn(Linear.draw(pick), pick)

    @example("BWD-01, BWD-05, BWD-06")
    def two_rows(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """Rows (1, 2) and (3, 4), weights (5, 6), (7, 8) and (9, 10), gradients (1, 0, -1) and (2, 1, 0)."""
        x, weight = np.array([[1.0, 2], [3, 4]], dtype), np.array([[5.0, 6], [7, 8], [9, 10]], dtype)
        grad = np.array([[1.0, 0, -1], [2, 1, 0]], dtype)
        grad_x, grad_weight = np.array([[-4.0, -4], [17, 20]]), np.array([[7.0, 10], [3, 4], [-1, -2]])
        plain = cls(x=x, weight=weight, grad_output=grad)
        return [
            (plain, (grad_x, grad_weight, None)),
            (plain.but(bias=np.zeros(3, dtype)), (grad_x, grad_weight, np.array([3.0, 1, -1]))),
        ]
