"""Instance normalization."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import channel_clauses, normalize, normalize_clauses, normalize_features
from .laws import order
from .normalization import NormalizationOp
from .op import STRICT, Run, Sides, Tensor, edge, example, law, operation
from .parameters import EPS
from .pick import Pick
from .sets import Sets, channel_groups

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]


@operation
class InstanceNorm2d(NormalizationOp):
    """Normalize each channel of each image.

        y[n,c,h,w] = (x[n,c,h,w] - mu[n,c]) / sqrt(v[n,c] + eps) * weight[c] + bias[c]

    mu is the mean and v the biased variance (divided by the number of pixels, not by one less) over the rows and
    columns of channel c of image n. eps is added inside the root. Nothing is remembered from one call to the next. An
    image of one pixel, or of equal pixels, gives the bias.

    Source: group normalization with a group for each channel (Ulyanov et al. 2016); PyTorch instance_norm, ONNX
    InstanceNormalization.
    """

    x: Tensor  # (N, C, H, W) images
    weight: Tensor | None = None  # (C) ones where absent
    bias: Tensor | None = None  # (C) zeros where absent
    eps: float = 1e-5  # added to the variance, inside the root

    features = normalize_features.OF_IMAGES
    excluded = normalize_features.NOT_IMAGES
    chapters = (channel_clauses, normalize_clauses)

    @property
    def sets(self) -> Sets:
        """The rows and columns of a channel."""
        return channel_groups(self, self.x.shape[1])

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls(**normalize.drawn_images(cls, pick, grouped=False))

    @law("LAW-N13, LAW-N14")
    def a_channel_is_the_same_alone(self, run: Run, pick: Pick) -> Sides | None:
        """A channel alone gives its part of the result."""
        c = pick.integer(0, self.x.shape[1] - 1)
        own = slice(c, c + 1)
        alone = self.but(x=np.array(self.x[:, own], order="C"), **channel_clauses.per_channel(self, own))
        return run(alone), run(self)[:, own]

    @law("LAW-N13")
    def channels_may_be_images(self, run: Run, pick: Pick) -> Sides | None:
        """Without weight and bias, x seen as (1, N*C, H, W), or as (N*C, 1, H, W), gives the same."""
        n, c, h, w = self.x.shape
        plain = normalize_clauses.bare(self)
        shape = (1, n * c, h, w) if pick.flag() else (n * c, 1, h, w)
        return run(plain.but(x=self.x.reshape(shape))).rearranged(lambda a: a.reshape(self.x.shape)), run(plain)

    @law("LAW-N18")
    def channels_may_be_permuted(self, run: Run, pick: Pick) -> Sides | None:
        """Reordering the channels, with their weights and biases, reorders the result."""
        channels = order(self.x.shape[1], pick)
        mixed = self.but(x=np.array(self.x[:, channels], order="C"), **channel_clauses.per_channel(self, channels))
        return run(mixed), run(self)[:, channels]

    @example("LAW-N13, BN-03")
    def two_channels(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """Channels (1 2 / 3 6) and (0 2 / 4 10) with eps = 0.5: -1 -0.5 / 0 1.5, as the variance is 3.5; the second has
        mean 4 and variance 14."""
        x = np.array([[[[1.0, 2], [3, 6]], [[0, 2], [4, 10]]]])
        second = np.array([[-4.0, -2], [0, 6]]) / np.sqrt(14.5)
        y = np.stack([[[-1.0, -0.5], [0, 1.5]], second])[None]
        weight, bias = np.array([2.0, -3]), np.array([10.0, 20])
        plain = cls(x=x.astype(dtype), eps=0.5)
        scaled = y * weight[:, None, None] + bias[:, None, None]
        return [(plain, y), (plain.but(weight=weight.astype(dtype), bias=bias.astype(dtype)), scaled)]

    @edge("GN-07, LN-06", STRICT)
    def one_pixel(cls: Any, pick: Pick) -> InstanceNorm2d:
        """One pixel is its own mean: the output is the bias."""
        problem: InstanceNorm2d = cls.draw(pick)
        return problem.but(x=np.array(problem.x[:, :, :1, :1], order="C"), eps=problem.eps or EPS)
