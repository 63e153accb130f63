"""Synchronized batch normalization."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import (
    batch_clauses,
    channel_clauses,
    normalize,
    normalize_clauses,
    normalize_features,
    running,
    running_clauses,
    shard_clauses,
)
from .batch_norm2d import BatchNorm2d
from .laws import order
from .normalization import Errors, RunningNormalization
from .op import STRICT, Run, Sides, Sizes, Tensor, edge, example, law, operation
from .parameters import EPS
from .pick import Pick
from .rounding import Arithmetic
from .running_clauses import remembering, stored
from .sets import Sets
from .shards import combined_errors, slices
from .window import STRETCHED, WIDE

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, tuple[Array | None, ...]]]


@operation
class SyncBatchNorm2d(RunningNormalization):
    """A training step of batch normalization on a batch that several devices hold in parts.

    The result is that of batch normalization of the whole batch: with mu and v the mean and the biased variance of a
    channel over all m elements of all devices,

        y[n,c,h,w] = (x[n,c,h,w] - mu[c]) / sqrt(v[c] + eps) * weight[c] + bias[c]

    and the running statistics, the same on every device, are updated as batch normalization updates them, with the m of
    all devices in m / (m - 1). `shards` says how many images each device holds, in their order in x; the numbers may
    differ, and a device may hold none. Statistics of parts are combined by their numbers of elements m_k: mu = sum of
    m_k*mu_k / m, v = sum of m_k*(v_k + (mu_k - mu)^2) / m. A batch with one value per channel in all is invalid; one
    with no images gives none and updates nothing.

    Source: the lecture's synchronous batch normalization; PyTorch SyncBatchNorm.
    """

    x: Tensor  # (N, C, H, W) images
    shards: Sizes  # how many images each device holds; they add up to N
    weight: Tensor | None = None  # (C) the scale of each channel
    bias: Tensor | None = None  # (C) the shift of each channel
    running_mean: Tensor | None = None  # (C) the running mean of each channel
    running_var: Tensor | None = None  # (C) the running variance of each channel
    momentum: float = 0.1  # the weight of the new value in the running statistics
    eps: float = 1e-5  # added to the variance

    features = normalize_features.SHARDED
    excluded = normalize_features.NOT_SHARDED
    chapters = (channel_clauses, shard_clauses, running_clauses, normalize_clauses, batch_clauses)

    @property
    def sets(self) -> Sets:
        """A channel of all images of all devices."""
        return running.channels(self)

    def errors(self, arithmetic: Arithmetic) -> Errors | None:
        return combined_errors(self, arithmetic) if self.x.size else None

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        sizes = [pick.integer(1, 3) for _ in range(pick.one_of((1, 2, 3, 4, 6), (8, 42, 25, 20, 5)))]
        if len(sizes) > 1 and pick.flag(0.1):
            sizes = [0 if pick.flag() else size for size in sizes]
            sizes[0] = sizes[0] or int(not any(sizes))
        large = pick.one_of(("", "columns", "channels", "channels, columns", "images"), (76, 10, 6, 2, 6))
        if large == "images":
            sizes[0] += max(pick.one_of(STRETCHED) - sum(sizes), 0)
        n = sum(sizes)
        c = pick.one_of(STRETCHED) if "channels" in large else pick.integer(1, 4, unlike=(n,))
        h = pick.integer(1, 3, unlike=(n, c))
        w = pick.one_of(WIDE) if "columns" in large else pick.integer(1, 3, unlike=(n, c, h))
        shape = (n, c, h, 2 if n * h * w == 1 else w)
        fields = normalize.drawn(pick, shape, cls(x=np.empty(shape), shards=tuple(sizes)).sets, (c,))
        return cls(**fields, shards=tuple(sizes), **running.drawn(pick, fields["x"], needed=False))

    @law("SBN-01, LAW-N12")
    def it_is_batch_norm_of_the_whole_batch(self, run: Run, pick: Pick) -> Sides | None:
        """However the batch is shared out, the outputs are those of batch normalization of all of it."""
        return run(self), run(self._united())

    @law("SBN-01, SBN-03, LAW-N12")
    def every_device_stores_what_the_whole_batch_does(self, run: Run, pick: Pick) -> Sides | None:
        """The running statistics are those of batch normalization of the whole batch: the variance is corrected with
        the number of all its elements."""
        here = remembering(self)
        return None if here is None else (stored(run, here), stored(run, here._united()))

    @law("SBN-04")
    def one_device_is_batch_norm(self, run: Run, pick: Pick) -> Sides | None:
        """One device that holds all images gives what batch normalization gives."""
        return run(self.but(shards=(len(self.x),))), run(self._united())

    @law("SBN-01, SBN-02, LAW-N12")
    def how_images_are_shared_out_does_not_matter(self, run: Run, pick: Pick) -> Sides | None:
        """The first device may as well hold one image, and a second one all others."""
        if len(self.x) < 2:
            return None
        here = remembering(self)
        if here is None:
            return None
        return stored(run, here.but(shards=(1, len(self.x) - 1))), stored(run, here)

    @law("SBN-01")
    def devices_may_change_places(self, run: Run, pick: Pick) -> Sides | None:
        """In another order of the devices, each with its images, every image gives what it gave."""
        turned = order(len(self.shards), pick)
        parts = slices(self)
        images = np.concatenate([np.arange(len(self.x))[parts[k]] for k in turned])
        mixed = self.but(x=np.array(self.x[images], order="C"), shards=tuple(self.shards[k] for k in turned))
        return run(mixed), run(self)[images]

    def _united(self) -> BatchNorm2d:
        fields = {name: getattr(self, name) for name in ("x", "weight", "bias", *running.NAMES, "momentum", "eps")}
        return BatchNorm2d(**fields)

    @example("SBN-02, SBN-03")
    def three_and_five(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """1, 2, 3 on one device and 4, 4, 6, 8, 8 on another have mean 4.5 and variance 6, unbiased 48/7; the means of
        their means, 2 and 6, and of their variances, 2/3 and 3.2, are 4 and 1.93. With eps = 0.25 the root is 2.5."""
        x = np.array([1.0, 2, 3, 4, 4, 6, 8, 8]).reshape(8, 1, 1, 1).astype(dtype)
        y = np.array([-1.4, -1, -0.6, -0.2, -0.2, 0.6, 1.4, 1.4]).reshape(x.shape)
        first = cls(x=x, shards=(3, 5), running_mean=np.zeros(1, dtype), running_var=np.ones(1, dtype), eps=0.25)
        weight, bias = np.array([2.0], dtype), np.array([10.0], dtype)
        return [
            (first.but(momentum=0.5), (y, np.array([2.25]), np.array([55 / 14]))),
            (first.but(weight=weight, bias=bias, momentum=1.0), (2 * y + 10, np.array([4.5]), np.array([48 / 7]))),
        ]

    @edge("SBN-02", STRICT)
    def a_device_without_images(cls: Any, pick: Pick) -> SyncBatchNorm2d:
        """A device that has no images left adds nothing."""
        problem: SyncBatchNorm2d = cls.draw(pick)
        at = pick.integer(0, len(problem.shards))
        return problem.but(shards=(*problem.shards[:at], 0, *problem.shards[at:]))

    @edge("SBN-02")
    def one_value_on_a_device(cls: Any, pick: Pick) -> SyncBatchNorm2d:
        """A device may hold one image of one pixel, which alone has no variance to be corrected."""
        problem: SyncBatchNorm2d = cls.draw(pick)
        image = problem.x[:1, :, :1, :1]
        x = np.concatenate([image, image + np.asarray(1, problem.dtype), image])
        return problem.but(x=x, shards=(1, 2), eps=problem.eps or EPS)
