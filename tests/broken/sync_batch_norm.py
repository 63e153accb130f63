"""Bugs of synchronized batch normalization: in how the statistics of the devices are put together."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference.shards import slices

from .base import Array, broken, wide
from .batch_norm import RightBatchNorm

UNION = "it_is_batch_norm_of_the_whole_batch within_the_bound"
STORED = "every_device_stores_what_the_whole_batch_does"


class RightSync(RightBatchNorm):
    """Means, variances and counts of every device, combined: a bug overrides one step."""

    def devices(self, problem: Any) -> tuple[Array, Array, Array]:
        """Of each device with images, and each channel: count (K, 1), mean and variance (K, C)."""
        held = [wide(problem.x[part]) for part in slices(problem) if part.stop > part.start]
        axes = (0, 2, 3)
        counts = np.array([[x.size / x.shape[1]] for x in held])
        return counts, np.array([x.mean(axis=axes) for x in held]), np.array([x.var(axis=axes) for x in held])

    def combined(self, problem: Any) -> tuple[Array, Array]:
        """Mean and biased variance of each channel."""
        counts, means, variances = self.devices(problem)
        shares = counts / counts.sum()
        mean = (shares * means).sum(axis=0)
        return mean, (shares * (variances + (means - mean) ** 2)).sum(axis=0)

    def statistics(self, problem: Any) -> tuple[Array, Array]:
        if problem.name != "sync_batch_norm2d":
            return super().statistics(problem)
        mean, variance = self.combined(problem)
        return mean[:, None, None], variance[:, None, None]

    def batch(self, problem: Any) -> tuple[Array, Array]:
        if problem.name != "sync_batch_norm2d":
            return super().batch(problem)
        mean, variance = self.combined(problem)
        m = problem.sets.count
        return mean, variance * m / (m - 1)


@broken(60, sync_batch_norm2d=f"{UNION} {STORED} how_images_are_shared_out_does_not_matter three_and_five")
class AveragesVariances(RightSync):
    """The variance is the mean of the devices' variances: what their means differ is left out."""

    def combined(self, problem: Any) -> tuple[Array, Array]:
        counts, _, variances = self.devices(problem)
        return super().combined(problem)[0], (counts / counts.sum() * variances).sum(axis=0)


@broken(60, sync_batch_norm2d=f"{UNION} {STORED} how_images_are_shared_out_does_not_matter three_and_five")
class WeighsDevicesAlike(RightSync):
    """Every device counts the same, however many images it holds."""

    def devices(self, problem: Any) -> tuple[Array, Array, Array]:
        counts, means, variances = super().devices(problem)
        return np.ones_like(counts), means, variances


@broken(60, sync_batch_norm2d=f"{STORED} how_images_are_shared_out_does_not_matter three_and_five")
class CorrectsWithTheFirstDevicesCount(RightSync):
    """The variance is stored times m / (m - 1) with the m of the first device."""

    def batch(self, problem: Any) -> tuple[Array, Array]:
        if problem.name != "sync_batch_norm2d":
            return super().batch(problem)
        mean, variance = self.combined(problem)
        m = self.devices(problem)[0][0, 0]
        return mean, variance * m / max(m - 1, 1)


@broken(60, sync_batch_norm2d=f"{UNION} devices_may_change_places three_and_five")
class TakesTheFirstDevicesStatistics(RightSync):
    """Every device is normalized with the statistics of the first: they were sent, and not combined."""

    def combined(self, problem: Any) -> tuple[Array, Array]:
        _, means, variances = self.devices(problem)
        return means[0], variances[0]


@broken(60, sync_batch_norm2d=f"{UNION} one_device_is_batch_norm three_and_five")
class AddsEpsOnEveryDevice(RightSync):
    """The devices send their variances with eps in them, and eps is added again."""

    def devices(self, problem: Any) -> tuple[Array, Array, Array]:
        counts, means, variances = super().devices(problem)
        return counts, means, variances + problem.eps


@broken(60, sync_batch_norm2d="a_device_without_images")
class DividesByNoImages(RightSync):
    """A device without images sends the mean of nothing: NaN."""

    def combined(self, problem: Any) -> tuple[Array, Array]:
        mean, variance = super().combined(problem)
        return mean / (0 not in problem.shards), variance


@broken(60, sync_batch_norm2d="one_value_on_a_device")
class CorrectsOnEveryDevice(RightSync):
    """The devices send unbiased variances, and one value has none."""

    def devices(self, problem: Any) -> tuple[Array, Array, Array]:
        counts, means, variances = super().devices(problem)
        return counts, means, variances * counts / (counts - 1)
