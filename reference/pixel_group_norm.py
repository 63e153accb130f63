"""Group normalization of every pixel alone."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import channel_clauses, group_clauses, normalize, normalize_clauses, normalize_features
from .group_norm import GroupNorm
from .layer_norm import LayerNorm
from .normalization import NormalizationOp
from .op import STRICT, Run, Sides, Tensor, edge, example, law, operation
from .parameters import EPS
from .pick import Pick
from .sets import Sets, channel_groups

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]


@operation
class PixelGroupNorm(NormalizationOp):
    """Normalize the channels of each pixel in groups.

        y[n,c,h,w] = (x[n,c,h,w] - mu) / sqrt(v + eps) * weight[c] + bias[c]

    mu is the mean and v the biased variance (divided by C/groups, not by one less) of the group of c at this pixel of
    this image: C/groups consecutive channels (c // (C/groups) is the same). eps is added inside the root. With one
    group it is layer normalization over the channels alone. A group of one channel, or of equal channels, gives the
    bias.

    Source: the lecture's words on local response normalization, which describe this; the published operation of that
    name is `LocalResponseNorm`.
    """

    x: Tensor  # (N, C, H, W) images
    groups: int  # blocks of consecutive channels
    weight: Tensor | None = None  # (C) ones where absent
    bias: Tensor | None = None  # (C) zeros where absent
    eps: float = 1e-5  # added to the variance, inside the root

    features = normalize_features.GROUPED_BY_PIXELS
    excluded = normalize_features.NOT_GROUPED_BY_PIXELS
    chapters = (channel_clauses, group_clauses, normalize_clauses)

    @property
    def sets(self) -> Sets:
        """The channels of a group, at one pixel."""
        return channel_groups(self, self.groups, pixels=True)

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls(**normalize.drawn_images(cls, pick, grouped=True))

    @law("PGN-02")
    def a_pixel_is_group_norm(self, run: Run, pick: Pick) -> Sides | None:
        """It is group normalization of every pixel as an image of its own."""
        n, c, h, w = self.x.shape
        pixels = np.array(self.x.transpose(0, 2, 3, 1).reshape(n * h * w, c, 1, 1), order="C")
        alone = GroupNorm(x=pixels, groups=self.groups, weight=self.weight, bias=self.bias, eps=self.eps)
        return run(alone).rearranged(lambda a: a.reshape(n, h, w, c).transpose(0, 3, 1, 2)), run(self)

    @law("PGN-03, LN-05")
    def one_group_is_layer_norm_of_channels(self, run: Run, pick: Pick) -> Sides | None:
        """One group gives what layer normalization of the channels gives, moved to the end."""
        last = np.array(self.x.transpose(0, 2, 3, 1), order="C")
        layers = LayerNorm(x=last, weight=self.weight, bias=self.bias, axes=1, eps=self.eps)
        return run(self.but(groups=1)), run(layers).rearranged(lambda a: a.transpose(0, 3, 1, 2))

    @example("PGN-01")
    def two_pixels(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """Channels 1 2 3 6 and 6 3 2 1 at two pixels, one group, eps = 0.5: the variance is 3.5 at both; -1 -0.5 0 1.5
        and backwards. In two groups, the pairs 1 2 and 3 6 have the variances 0.25 and 2.25."""
        x = np.array([[1.0, 6], [2, 3], [3, 2], [6, 1]]).reshape(1, 4, 1, 2)
        y = np.array([[-1.0, 1.5], [-0.5, 0], [0, -0.5], [1.5, -1]]).reshape(x.shape)
        near, far = 0.5 / np.sqrt(0.75), 1.5 / np.sqrt(2.75)
        pairs = np.array([[-near, far], [near, -far], [-far, near], [far, -near]]).reshape(x.shape)
        weight, bias = np.array([1.0, 2, 3, 4]), np.array([10.0, 20, 30, 40])
        plain = cls(x=x.astype(dtype), groups=1, eps=0.5)
        scaled = y * weight[:, None, None] + bias[:, None, None]
        return [
            (plain, y),
            (plain.but(weight=weight.astype(dtype), bias=bias.astype(dtype)), scaled),
            (plain.but(groups=2), pairs),
        ]

    @edge("PGN-01, GN-07", STRICT)
    def groups_of_one_channel(cls: Any, pick: Pick) -> PixelGroupNorm:
        """A group of one channel is its own mean: the output is the bias."""
        problem: PixelGroupNorm = cls.draw(pick)
        return problem.but(groups=problem.x.shape[1], eps=problem.eps or EPS)
