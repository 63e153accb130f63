"""Group normalization."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import channel_clauses, group_clauses, normalize, normalize_clauses, normalize_features
from .instance_norm2d import InstanceNorm2d
from .layer_norm import LayerNorm
from .normalization import NormalizationOp
from .op import STRICT, Run, Sides, Tensor, edge, example, law, operation
from .parameters import EPS
from .pick import Pick
from .sets import Sets, channel_groups

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]


@operation
class GroupNorm(NormalizationOp):
    """Normalize the channels of each image in groups.

        y[n,c,h,w] = (x[n,c,h,w] - mu) / sqrt(v + eps) * weight[c] + bias[c]

    mu is the mean and v the biased variance (divided by the number of elements, not by one less) of the group of c in
    image n: C/groups consecutive channels (c // (C/groups) is the same), all rows and all columns. eps is added inside
    the root. weight and bias have one value for each channel, not for each group. Nothing is remembered from one call
    to the next. A group of one element, or of equal elements, gives the bias.

    Source: the lecture's group normalization (Wu and He 2018); PyTorch group_norm, ONNX GroupNormalization 21.
    """

    x: Tensor  # (N, C, H, W) images
    groups: int  # blocks of consecutive channels
    weight: Tensor | None = None  # (C) ones where absent
    bias: Tensor | None = None  # (C) zeros where absent
    eps: float = 1e-5  # added to the variance, inside the root

    features = normalize_features.GROUPED
    excluded = normalize_features.NOT_GROUPED
    chapters = (channel_clauses, group_clauses, normalize_clauses)

    @property
    def sets(self) -> Sets:
        """The channels of a group, their rows and columns."""
        return channel_groups(self, self.groups)

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls(**normalize.drawn_images(cls, pick, grouped=True))

    @law("LAW-N14")
    def a_group_is_a_layer(self, run: Run, pick: Pick) -> Sides | None:
        """Without weight and bias, it is layer normalization of x seen as (N*groups, all elements of a group)."""
        layers = LayerNorm(x=np.array(self.sets.rows(self.x), order="C"), axes=1, eps=self.eps)
        return run(layers).rearranged(lambda a: self.sets.whole(a, self.x.shape)), run(normalize_clauses.bare(self))

    @law("LAW-N15, GN-05")
    def one_group_is_layer_norm(self, run: Run, pick: Pick) -> Sides | None:
        """One group gives what layer normalization over c, h and w gives, with each channel's weight and bias at all of
        its pixels."""
        parameters: dict[str, Any] = {
            name: None if a is None else np.array(np.broadcast_to(a[:, None, None], self.x.shape[1:]), order="C")
            for name, a in (("weight", self.weight), ("bias", self.bias))
        }
        return run(self.but(groups=1)), run(LayerNorm(x=self.x, eps=self.eps, **parameters))

    @law("LAW-N14, GN-06")
    def groups_of_one_channel_are_instance_norm(self, run: Run, pick: Pick) -> Sides | None:
        """As many groups as channels give what instance normalization gives."""
        single = self.but(groups=self.x.shape[1])
        if np.prod(self.x.shape[2:]) == 1 or single.broken_rules():
            return None
        return run(single), run(InstanceNorm2d(x=self.x, weight=self.weight, bias=self.bias, eps=self.eps))

    @example("GN-01, GN-03")
    def two_groups(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """Channels (1, 2), (3, 6), (-10, 0), (10, 20), two groups, eps = 0.5: -1 -0.5 0 1.5 in the first, whose mean is
        3 and variance 3.5; the second has mean 5 and variance 125."""
        x = np.array([[1.0, 2], [3, 6], [-10, 0], [10, 20]]).reshape(1, 4, 1, 2)
        y = np.array([[-1.0, -0.5], [0, 1.5], [-15 / np.sqrt(125.5), -5 / np.sqrt(125.5)], [0, 0]]).reshape(x.shape)
        y[0, 3, 0] = 5 / np.sqrt(125.5), 15 / np.sqrt(125.5)
        weight, bias = np.array([1.0, 2, 3, 4]), np.array([10.0, 20, 30, 40])
        plain = cls(x=x.astype(dtype), groups=2, eps=0.5)
        scaled = y * weight[:, None, None] + bias[:, None, None]
        return [(plain, y), (plain.but(weight=weight.astype(dtype), bias=bias.astype(dtype)), scaled)]

    @edge("GN-06")
    def as_many_groups_as_channels(cls: Any, pick: Pick) -> GroupNorm:
        """Every channel is a group."""
        problem: GroupNorm = cls.draw(pick)
        x = np.concatenate([problem.x, problem.x + np.asarray(1, problem.dtype)], axis=3)
        return problem.but(x=x, groups=problem.x.shape[1], eps=problem.eps or EPS)

    @edge("GN-07", STRICT)
    def one_value_per_group(cls: Any, pick: Pick) -> GroupNorm:
        """A group of one element is its own mean: the output is the bias."""
        problem: GroupNorm = cls.draw(pick)
        x = np.array(problem.x[:, :, :1, :1], order="C")
        return problem.but(x=x, groups=x.shape[1], eps=problem.eps or EPS)
