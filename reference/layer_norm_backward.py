"""The gradients of layer normalization."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import backward, backward_clauses, backward_parameters, normalize_backward_clauses
from .backward import joined
from .features import of_forward
from .layer_norm import LayerNorm
from .normalize_backward import NormalizationBackward
from .op import Run, Sides, Tensor, example, law, operation
from .pick import Pick

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, tuple[Array | None, ...]]]


@operation
class LayerNormBackward(NormalizationBackward):
    """The gradients of layer normalization, from the gradient of its output.

        grad_x      = (h - mean(h) - x_hat * mean(h * x_hat)) / sqrt(v + eps)
        grad_weight = sum of grad_output * x_hat over the axes before the normalized ones
        grad_bias   = sum of grad_output over the same axes

    x_hat = (x - mu) / sqrt(v + eps) is the forward result without weight and bias, h = grad_output * weight, and the
    means are those of a set, as mu and v are: mean and variance depend on x, and what they pass on is subtracted. The
    grad_x of a set add up to zero; those of a set of one element are zero. Gradients of weight and bias are sums over
    the images, not means, and None where there is no weight or bias; the values of the bias do not matter.

    Source: the chain rule on the lecture's layer normalization; PyTorch native_layer_norm_backward.
    """

    x: Tensor  # (N, ..., the normalized axes): (N, C, H, W)
    weight: Tensor | None = None  # x.shape[-axes:], ones where absent
    bias: Tensor | None = None  # x.shape[-axes:], zeros where absent
    axes: int = 3  # how many of the last axes are normalized together
    eps: float = 1e-5  # added to the variance, inside the root
    grad_output: Tensor  # that of x, the gradient of the output

    features = of_forward(LayerNorm.features)
    excluded = LayerNorm.excluded
    chapters = (backward.of_forward(LayerNorm), backward_clauses, backward_parameters, normalize_backward_clauses)

    @property
    def forward(self) -> LayerNorm:
        return backward.forward_of(self, LayerNorm)

    @property
    def shared(self) -> tuple[int, ...]:
        """The axes along which elements share a weight and a bias: those before the normalized ones."""
        return tuple(range(self.x.ndim - self.axes))

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls.drawn(LayerNorm.draw(pick), pick)

    @law("LN-01, BWD-14")
    def earlier_axes_are_images(self, run: Run, pick: Pick) -> Sides | None:
        """The axes before the normalized ones, taken as one, give the same gradients."""
        shape = (-1, *self.x.shape[-self.axes :])
        flat = self.but(x=self.x.reshape(shape), grad_output=self.grad_output.reshape(shape))
        return joined(run.outputs(flat)), joined(run.outputs(self))

    @law("LN-01, BWD-14")
    def normalized_axes_are_one(self, run: Run, pick: Pick) -> Sides | None:
        """The normalized axes, taken as one, give the same gradients."""
        lead = self.x.shape[: self.x.ndim - self.axes]
        parameters = {
            n: None if a is None else a.reshape(-1) for n, a in (("weight", self.weight), ("bias", self.bias))
        }
        x, grad = self.x.reshape(*lead, -1), self.grad_output.reshape(*lead, -1)
        flat = self.but(x=x, grad_output=grad, axes=1, **parameters)
        return joined(run.outputs(flat)), joined(run.outputs(self))

    @example("BWD-14, LN-01")
    def four_numbers(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """1, 2, 3, 6 have mean 3 and variance 3.5; with eps = 0.5 the root is 2 and x_hat = -1, -0.5, 0, 1.5. The
        gradient 4 0 0 0 has mean 1, and times x_hat -1: (4 - 1 - 1, -1 - 0.5, -1, -1 + 1.5) / 2. The gradient 1 2 0 0
        under weights 4 2 1 3 is 4 4 0 0, with mean 2, and times x_hat -1.5."""
        x = np.array([1.0, 2, 3, 6]).reshape(1, 2, 1, 2).astype(dtype)
        plain = cls(x=x, eps=0.5, grad_output=np.array([4.0, 0, 0, 0]).reshape(x.shape).astype(dtype))
        weight = np.array([4.0, 2, 1, 3]).reshape(2, 1, 2).astype(dtype)
        grad = np.array([1.0, 2, 0, 0]).reshape(x.shape)
        whole = plain.but(weight=weight, bias=np.zeros_like(weight), grad_output=grad.astype(dtype))
        grad_x = np.array([0.25, 0.625, -1, 0.125]).reshape(x.shape)
        grad_weight = np.array([-1.0, -1, 0, 0]).reshape(weight.shape)
        return [
            (plain, (np.array([1.0, -0.75, -0.5, 0.25]).reshape(x.shape), None, None)),
            (whole, (grad_x, grad_weight, grad[0])),
        ]
