"""Batch normalization."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import (
    batch_clauses,
    batch_norm2d_compositions,
    batch_norm2d_evaluation,
    channel_clauses,
    normalize,
    normalize_clauses,
    normalize_features,
    running,
    running_clauses,
)
from .dot import as_float
from .normalization import Errors, RunningNormalization
from .op import Tensor, example, operation
from .parameters import EPS
from .pick import Pick
from .rounding import Arithmetic
from .sets import Sets, errors, found_in

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, tuple[Array | None, ...]]]


@operation
class BatchNorm2d(RunningNormalization):
    """Normalize each channel over the whole batch, and keep running statistics for when there is no batch.

        y[n,c,h,w] = (x[n,c,h,w] - mu[c]) / sqrt(v[c] + eps) * weight[c] + bias[c]

    In training mu is the mean and v the biased variance (divided by m, not by m - 1) of channel c over all m = N*H*W
    elements of all images, and the running statistics come back updated:

        running_mean[c] <- (1 - momentum) * running_mean[c] + momentum * mu[c]
        running_var[c]  <- (1 - momentum) * running_var[c]  + momentum * v[c] * m / (m - 1)

    momentum is the weight of the new value. The variance is stored unbiased; a backend may declare `stored_variance:
    biased` and store v. In evaluation mu and v are running_mean and running_var, which come back as they are: every
    element is treated alone. eps is added inside the root. What is given is never written to. Without running
    statistics a training step has none to return (None), and there is no evaluation. A training step on one value per
    channel is invalid; on no images it returns none and updates nothing.

    Source: the lecture's batch normalization (Ioffe and Szegedy 2015); PyTorch batch_norm, whose momentum and stored
    variance these are.
    """

    x: Tensor  # (N, C, H, W) images
    weight: Tensor | None = None  # (C) the scale of each channel
    bias: Tensor | None = None  # (C) the shift of each channel
    running_mean: Tensor | None = None  # (C) the running mean of each channel
    running_var: Tensor | None = None  # (C) the running variance of each channel
    training: bool = True  # whether the statistics are those of x and are remembered
    momentum: float = 0.1  # the weight of the new value in the running statistics
    eps: float = 1e-5  # added to the variance

    features = normalize_features.BATCH
    excluded = normalize_features.NOT_BATCH
    chapters = (
        channel_clauses,
        running_clauses,
        batch_norm2d_evaluation,
        normalize_clauses,
        batch_clauses,
        batch_norm2d_compositions,
    )

    @property
    def sets(self) -> Sets:
        """A channel of all images."""
        return running.channels(self)

    @property
    def held(self) -> tuple[Array, Array] | None:
        """The statistics of evaluation, (1, C, 1, 1) each; None in training."""
        if self.training or self.running_mean is None or self.running_var is None:
            return None
        shape = self.sets.affine
        return as_float(self.running_mean).reshape(shape), as_float(self.running_var).reshape(shape)

    def errors(self, arithmetic: Arithmetic) -> Errors | None:
        learns = self.held is None and self.x.size > 0
        return errors(found_in(self), self.sets.count, arithmetic) if learns else None

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        training = pick.one_of((True, False), (65, 35))
        fields = normalize.drawn_images(cls, pick, grouped=False)
        return cls(**fields, training=training, **running.drawn(pick, fields["x"], needed=not training))

    @example("BN-02, BN-03, BN-06, BN-07, BN-08, L085")
    def four_numbers(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """1, 2, 3, 6 have mean 3 and variance 3.5, unbiased 14/3: from mean 0 and variance 1 one step with momentum 1/4
        leads to 0.75 and 1.9166667. With eps = 0.5 the root is 2: -1, -0.5, 0, 1.5."""
        x = np.array([1.0, 2, 3, 6]).reshape(1, 1, 2, 2).astype(dtype)
        y = np.array([-2.0, -1, 0, 3]).reshape(x.shape)
        first = cls(x=x, eps=EPS, momentum=0.25, running_mean=np.zeros(1, dtype), running_var=np.ones(1, dtype))
        after = (np.array([0.75]), np.array([1.9166666666666667]))
        weight, bias = np.array([2.0], dtype), np.array([10.0], dtype)
        return [
            (first, (y / np.sqrt(3.5 + EPS), *after)),
            (first.but(weight=weight, bias=bias, eps=0.5, momentum=1.0), (y + 10, np.array([3.0]), np.array([14 / 3]))),
            (cls(x=x, eps=0.5), (y / 2, None, None)),
        ]

    @example("BN-01")
    def two_images_of_two_channels(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """The first channel has 1, 2 in one image and 3, 6 in the other; the second 0, 2 and 4, 10, with mean 4 and
        variance 14, unbiased 56/3."""
        x = np.array([[[[1.0, 2]], [[0, 2]]], [[[3, 6]], [[4, 10]]]]).astype(dtype)
        y = np.array([[[[-1.0, -0.5]], [[-4, -2]]], [[[0, 1.5]], [[0, 6]]]])
        y[:, 1] /= np.sqrt(14.5)
        mean, var = np.array([1.0, -4], dtype), np.array([4.0, 2], dtype)
        after = (np.array([2.0, 0]), np.array([2 + 7 / 3, 1 + 28 / 3]))
        return [(cls(x=x, running_mean=mean, running_var=var, momentum=0.5, eps=0.5), (y, *after))]
