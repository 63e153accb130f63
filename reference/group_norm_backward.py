"""The gradients of group normalization."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import backward, backward_clauses, backward_parameters, normalize_backward_clauses
from .backward import joined
from .features import of_forward
from .group_norm import GroupNorm
from .layer_norm_backward import LayerNormBackward
from .normalize_backward import NormalizationBackward
from .normalize_clauses import bare
from .op import Run, Sides, Tensor, example, law, operation
from .pick import Pick

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, tuple[Array | None, ...]]]


@operation
class GroupNormBackward(NormalizationBackward):
    """The gradients of group normalization, from the gradient of its output.

        grad_x         = (h - mean(h) - x_hat * mean(h * x_hat)) / sqrt(v + eps)
        grad_weight[c] = sum over n, h, w of grad_output[n,c,h,w] * x_hat[n,c,h,w]
        grad_bias[c]   = sum over n, h, w of grad_output[n,c,h,w]

    x_hat = (x - mu) / sqrt(v + eps) is the forward result without weight and bias, h = grad_output * weight, and the
    means are those of a group of an image, as mu and v are: mean and variance depend on x, and what they pass on is
    subtracted. Channels of a group have weights of their own inside these means. The grad_x of a group add up to zero;
    those of a group of one element are zero. Gradients of weight and bias are sums over images and pixels, not means,
    and None where there is no weight or bias; the values of the bias do not matter.

    Source: the chain rule on the lecture's group normalization; PyTorch native_group_norm_backward.
    """

    x: Tensor  # (N, C, H, W) images
    groups: int  # blocks of consecutive channels
    weight: Tensor | None = None  # (C) ones where absent
    bias: Tensor | None = None  # (C) zeros where absent
    eps: float = 1e-5  # added to the variance, inside the root
    grad_output: Tensor  # (N, C, H, W) the gradient of the output

    shared = (0, 2, 3)
    features = of_forward(GroupNorm.features)
    excluded = GroupNorm.excluded
    chapters = (backward.of_forward(GroupNorm), backward_clauses, backward_parameters, normalize_backward_clauses)

    @property
    def forward(self) -> GroupNorm:
        return backward.forward_of(self, GroupNorm)

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls.drawn(GroupNorm.draw(pick), pick)

    @law("LAW-N14, GN-01, BWD-14")
    def a_group_is_a_layer(self, run: Run, pick: Pick) -> Sides | None:
        """Without weight and bias, grad_x is that of layer normalization of x seen as (N*groups, all elements of a
        group)."""
        x, grad = (np.array(self.sets.rows(a), order="C") for a in (self.x, self.grad_output))
        layers = run(LayerNormBackward(x=x, axes=1, eps=self.eps, grad_output=grad))
        return layers.rearranged(lambda a: self.sets.whole(a, self.x.shape)), run(bare(self))

    @law("LAW-N15, GN-05, BWD-05")
    def one_group_is_layer_norm(self, run: Run, pick: Pick) -> Sides | None:
        """One group gives the gradients of layer normalization over c, h and w, with each channel's weight and bias at
        all of its pixels, those of weight and bias added up over the pixels."""
        parameters: dict[str, Any] = {
            name: None if a is None else np.array(np.broadcast_to(a[:, None, None], self.x.shape[1:]), order="C")
            for name, a in (("weight", self.weight), ("bias", self.bias))
        }
        layers = run.outputs(LayerNormBackward(x=self.x, eps=self.eps, grad_output=self.grad_output, **parameters))
        added = {name: one if name == "grad_x" else one.sum((1, 2)) for name, one in layers.items()}
        return joined(run.outputs(self.but(groups=1))), joined(added)

    @example("BWD-14, GN-01, GN-03")
    def two_groups(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """Channels (1, 2), (3, 6), (-10, 0), (10, 20), two groups, eps = 0.5: x_hat is -1 -0.5 0 1.5 in the first,
        whose root is 2; the second has mean 5 and variance 125. The gradient 1 2, 0 0, 1 1, 1 1 under weights 4, 5, 2,
        2 is 4 8 0 0 in the first group, with mean 3, and times x_hat -2; in the second it is the same everywhere, which
        moves nothing."""
        x = np.array([[1.0, 2], [3, 6], [-10, 0], [10, 20]]).reshape(1, 4, 1, 2)
        grad = np.array([[1.0, 2], [0, 0], [1, 1], [1, 1]]).reshape(x.shape)
        weight, root = np.array([4.0, 5, 2, 2]), np.sqrt(125.5)
        plain = cls(x=x.astype(dtype), groups=2, eps=0.5, grad_output=grad.astype(dtype))
        grad_x = np.array([[-0.5, 2], [-1.5, 0], [0, 0], [0, 0]]).reshape(x.shape)
        given = plain.but(weight=weight.astype(dtype), bias=np.zeros(4, dtype))
        return [(given, (grad_x, np.array([-2.0, 0, -20 / root, 20 / root]), np.array([3.0, 0, 2, 2])))]
