"""The gradients of batch normalization."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import backward, backward_clauses, backward_parameters, normalize_backward_clauses
from .backward import joined
from .batch_norm2d import BatchNorm2d
from .batch_norm2d_evaluation import evaluated
from .features import of_forward
from .group_norm_backward import GroupNormBackward
from .normalize_backward import NormalizationBackward
from .normalize_clauses import on_its_own
from .op import Run, Sides, Tensor, example, law, operation
from .pick import Pick

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, tuple[Array | None, ...]]]


@operation
class BatchNorm2dBackward(NormalizationBackward):
    """The gradients of batch normalization, from the gradient of its output.

        grad_x         = (h - mean(h) - x_hat * mean(h * x_hat)) / sqrt(v + eps)     in training
        grad_x         = h / sqrt(v + eps)                                           in evaluation
        grad_weight[c] = sum over n, h, w of grad_output[n,c,h,w] * x_hat[n,c,h,w]
        grad_bias[c]   = sum over n, h, w of grad_output[n,c,h,w]

    x_hat = (x - mu) / sqrt(v + eps) is the forward result without weight and bias and h = grad_output * weight. In
    training the means are those of channel c over the whole batch, as mu and v are: mean and variance depend on x, and
    what they pass on is subtracted; the running statistics have no part. In evaluation mu and v are the running
    statistics, which do not depend on x and get no gradients. Gradients of weight and bias are sums over images and
    pixels, not means, and None where there is no weight or bias; the values of the bias and the momentum do not matter.

    Source: the chain rule on the lecture's batch normalization (Ioffe and Szegedy 2015, section 3); PyTorch
    native_batch_norm_backward.
    """

    x: Tensor  # (N, C, H, W) images
    weight: Tensor | None = None  # (C) the scale of each channel
    bias: Tensor | None = None  # (C) the shift of each channel
    running_mean: Tensor | None = None  # (C) the mean of each channel in evaluation
    running_var: Tensor | None = None  # (C) the variance of each channel in evaluation
    training: bool = True  # whether the statistics are those of x
    momentum: float = 0.1  # the weight of the new value in the running statistics
    eps: float = 1e-5  # added to the variance
    grad_output: Tensor  # (N, C, H, W) the gradient of the output

    has_batch = False  # in training every image depends on all
    shared = (0, 2, 3)
    features = of_forward(BatchNorm2d.features)
    excluded = BatchNorm2d.excluded
    chapters = (
        backward.of_forward(BatchNorm2d),
        backward_clauses,
        SimpleNamespace(
            the_bias_collects_its_outputs=backward_parameters.the_bias_collects_its_outputs,
            values_of_the_bias_do_not_matter=backward_parameters.values_of_the_bias_do_not_matter,
        ),
        normalize_backward_clauses,
    )

    @property
    def forward(self) -> BatchNorm2d:
        return backward.forward_of(self, BatchNorm2d)

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls.drawn(BatchNorm2d.draw(pick), pick)

    @law("BN-01, BWD-14")
    def one_image_is_group_norm(self, run: Run, pick: Pick) -> Sides | None:
        """In training a batch of one image has the gradients of group normalization with a group for each channel."""
        here = on_its_own(self.image(pick.integer(0, self.x.shape[0] - 1)))
        if here is None or here.broken_rules():
            return None
        fields: dict[str, Any] = {name: getattr(here, name) for name in ("x", "weight", "bias", "eps", "grad_output")}
        return joined(run.outputs(here)), joined(run.outputs(GroupNormBackward(groups=here.x.shape[1], **fields)))

    @law("BN-05, L087, BWD-15")
    def training_does_not_use_what_is_stored(self, run: Run, pick: Pick) -> Sides | None:
        """In training the gradients are the same, whatever the running statistics are, and without any."""
        here = on_its_own(self)
        if here is None or here.running_mean is None:
            return None
        c = np.arange(self.x.shape[1])
        others = here.but(running_mean=(c + 7).astype(here.dtype), running_var=(c + 2).astype(here.dtype))
        there = others if pick.flag() else here.but(running_mean=None, running_var=None)
        return joined(run.outputs(there)), joined(run.outputs(here))

    @law("BN-05, BWD-15")
    def evaluation_treats_every_element_alone(self, run: Run, pick: Pick) -> Sides | None:
        """In evaluation any pixels of any images, each an image of its own, get the grad_x that they get where they
        are."""
        here = evaluated(self)
        n, c, h, w = here.x.shape
        order = np.random.default_rng(pick.integer(0, 255)).permutation(n * h * w)[: (n * h * w + 1) // 2]

        def scattered(array: Any) -> Any:
            return np.array(array.transpose(0, 2, 3, 1).reshape(-1, c)[order][:, :, None, None], order="C")

        there = here.but(x=scattered(here.x), grad_output=scattered(here.grad_output))
        return run(there), run(here).rearranged(scattered)

    @law("BN-05, BWD-15")
    def evaluation_does_not_see_the_image(self, run: Run, pick: Pick) -> Sides | None:
        """In evaluation the grad_x of other images, and under another running mean, is the same."""
        here = evaluated(self)
        other = np.array(here.x.reshape(-1)[::-1].reshape(here.x.shape), order="C")
        there = here.but(x=other, running_mean=(np.arange(here.x.shape[1]) - 1).astype(here.dtype))
        return run(there), run(here)

    @example("BWD-14, BWD-15, BN-01, BN-05")
    def four_numbers(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """1, 2, 3, 6 have mean 3 and variance 3.5; with eps = 0.5 the root is 2 and x_hat = -1, -0.5, 0, 1.5. The
        gradient 4 0 0 0 has mean 1, and times x_hat -1: (4 - 1 - 1, -1 - 0.5, -1, -1 + 1.5) / 2; under a weight of 2
        twice that. In evaluation with a running mean of 1 and a running variance of 3.5 it is 4 0 0 0 over 2, and x_hat
        is 0, 0.5, 1, 2.5."""
        x, grad = np.array([1.0, 2, 3, 6]).reshape(2, 1, 1, 2), np.array([4.0, 0, 0, 3]).reshape(2, 1, 1, 2)
        one = np.array([4.0, 0, 0, 0]).reshape(x.shape)
        moved = np.array([1.0, -0.75, -0.5, 0.25]).reshape(x.shape)
        plain = cls(x=x.astype(dtype), eps=0.5, grad_output=one.astype(dtype))
        scaled = plain.but(weight=np.array([2.0], dtype), bias=np.zeros(1, dtype))
        held = {"running_mean": np.ones(1, dtype), "running_var": np.array([3.5], dtype), "training": False}
        evaluated = scaled.but(**held, grad_output=grad.astype(dtype))
        return [
            (plain, (moved, None, None)),
            (scaled, (2 * moved, np.array([-4.0]), np.array([4.0]))),
            (evaluated, (grad, np.array([7.5]), np.array([7.0]))),
        ]
