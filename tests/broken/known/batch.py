"""Known bugs of batches: what becomes of an image depends on how many there are."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Conv2d, InstanceNorm2d

from ..base import Array, Right, significant, wide
from ..conv2d import RightConv2d
from .entry import filled, known


@known(
    "B067",
    "LeelaChessZero/lc0#957",
    "conv2d",
    clause="images_are_independent",
    at=lambda: Conv2d(x=filled((4, 1, 1, 1), start=2049), weight=filled((1, 1, 1, 1))),
    spared=lambda: Conv2d(x=filled((3, 1, 1, 1), start=2049), weight=filled((1, 1, 1, 1))),
    analog="eleven bits in a backend that promises more, where the original was one of float16 throughout",
)
class AddsSmallBatchesUpInHalf(RightConv2d):
    """Fewer than four images are computed by another algorithm, whose sums are rounded to the bits of float16."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        if problem.x.shape[0] >= 4:
            return super().sums(problem, seen)
        n, _, i, j, *_ = seen.shape
        k, c, g = *problem.weight.shape[:2], problem.groups
        images = seen.reshape(n, g, c, *seen.shape[2:])
        filters = wide(problem.weight).reshape(g, k // g, c, *seen.shape[4:])
        total = np.zeros((n, g, k // g, i, j))
        for r, s in np.ndindex(seen.shape[4:]):
            products = np.einsum("ngcij,gkc->ngkij", images[..., r, s], filters[..., r, s])
            total = significant(total + products, 11)
        return total.reshape(n, k, i, j)


@known(
    "B089",
    "pytorch/pytorch#45687",
    "instance_norm2d",
    clause="images_are_independent",
    at=lambda: InstanceNorm2d(x=filled((2, 1, 1, 1))),
    spared=lambda: InstanceNorm2d(x=filled((2, 1, 1, 2))),
)
class RefusesOnePixelOfOneImage(Right):
    """Images of one pixel are normalized to zero in a batch of several, and one alone is refused."""

    def instance_norm2d(self, problem: Any) -> Any:
        if problem.x.shape[0] == 1 and problem.x.shape[2:] == (1, 1):
            raise ValueError("expected more than 1 spatial element")
        return self.answer(problem)


@known(
    "B235",
    "sonos/tract#2863",
    "instance_norm2d",
    clause="within_the_bound",
    at=lambda: InstanceNorm2d(x=filled((2, 1, 1, 2))),
    spared=lambda: InstanceNorm2d(x=filled((1, 1, 1, 2))),
)
class TakesTheStatisticsOfTheBatch(Right):
    """Mean and variance of a channel are those over all images of the batch."""

    def instance_norm2d(self, problem: Any) -> Any:
        if problem.broken_rules() or not problem.x.size:
            return self.answer(problem)
        n, c, h, w = problem.x.shape
        one = np.array(problem.x.swapaxes(0, 1), order="C").reshape(1, c, n * h, w)
        y = self.answer(problem.but(x=one))
        return np.array(y.reshape(c, n, h, w).swapaxes(0, 1), order="C")
