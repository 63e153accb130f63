"""Bugs of convolution where a loop over blocks of channels or filters leaves some over."""

from __future__ import annotations

import numpy as np

from convspec.reference import Conv2d

from .base import Array, broken, wide
from .conv2d import RightConv2d


class ForgetsTheTail(RightConv2d):
    """Some filters, or the last channels, are lost where a loop over blocks of them leaves some over."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        several = seen.shape[4] * seen.shape[5] > 1
        return self.cut(problem, seen) if problem.groups == 1 and several else super().sums(problem, seen)

    def cut(self, problem: Conv2d, seen: Array) -> Array:
        return super().sums(problem, seen)

    def without(self, problem: Conv2d, seen: Array, channels: int) -> Array:
        """The sums without the last so many channels."""
        y = np.zeros(problem.output_shape())
        whole = seen.shape[1] - channels
        for k, filter in enumerate(wide(problem.weight)):
            y[:, k] = np.tensordot(seen[:, :whole], filter[:whole], ((1, 4, 5), (0, 1, 2)))
        return y


@broken(elements=300, conv2d="exact_on_integers within_the_bound")
class ForgetsSevenChannelsOfNineTaps(ForgetsTheTail):
    """3x3 filters of one group with stride 1: channels go by eight, and of seven left over the last one is lost."""

    def cut(self, problem: Conv2d, seen: Array) -> Array:
        plain = seen.shape[4:] == (3, 3) and problem.stride == problem.dilation == (1, 1)
        return self.without(problem, seen, int(plain and seen.shape[1] % 8 == 7))


@broken(elements=300, conv2d="exact_on_integers within_the_bound")
class ForgetsAChannelOfStridedWindows(ForgetsTheTail):
    """Filters of one group, several taps and a stride: channels go by eight, and a single one left over is lost."""

    def cut(self, problem: Conv2d, seen: Array) -> Array:
        return self.without(problem, seen, int(max(problem.stride) > 1 and seen.shape[1] % 8 == 1 < seen.shape[1]))


@broken(elements=700, examples=100, conv2d="exact_on_integers within_the_bound")
class ForgetsThreeChannelsOfStridedNineTaps(ForgetsTheTail):
    """3x3 filters of one group, with a stride: channels go by eight, and of seven left over the last three are lost."""

    def cut(self, problem: Conv2d, seen: Array) -> Array:
        strided = seen.shape[4:] == (3, 3) and max(problem.stride) > 1
        return self.without(problem, seen, 3 * (strided and seen.shape[1] % 8 == 7))


@broken(elements=400, conv2d="exact_on_integers within_the_bound")
class ForgetsAFilterOfStridedWindows(ForgetsTheTail):
    """Filters of one group, several taps and a stride: filters go by 16, a single one left over is not written."""

    def cut(self, problem: Conv2d, seen: Array) -> Array:
        y = self.without(problem, seen, 0)
        if max(problem.stride) > 1 and y.shape[1] % 16 == 1 < y.shape[1]:
            y[:, -1] = 0
        return y


@broken(elements=400, conv2d="exact_on_integers within_the_bound")
class RepeatsAFilterOfNineTaps(ForgetsTheTail):
    """3x3 filters of one group with stride 1: filters go by four, and of three left over the last is the one before."""

    def cut(self, problem: Conv2d, seen: Array) -> Array:
        y = self.without(problem, seen, 0)
        if seen.shape[4:] == (3, 3) and problem.stride == problem.dilation == (1, 1) and y.shape[1] % 4 == 3:
            y[:, -1] = y[:, -2]
        return y
