"""Known bugs of groups and of blocks of channels: which channel, which filter, which bias belongs to an output."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Conv2d

from ..base import Array, Right, wide
from ..conv2d import RightConv2d
from .entry import filled, known

BEYOND = -77.0  # what lies in memory behind an array


def is_depthwise(problem: Any) -> bool:
    """Has every channel a group of its own?"""
    return bool(problem.groups == problem.x.shape[1] > 1)


def found(memory: Any, at: Any) -> Array:
    """What a kernel reads at these places of an array's memory, which may lie behind or before it."""
    flat = wide(memory).ravel()
    inside = (at >= 0) & (at < flat.size)
    return np.where(inside, flat[np.clip(at, 0, max(flat.size - 1, 0))] if flat.size else BEYOND, BEYOND)


# Which channels a filter sees.


@known(
    "B007",
    "modular/modular#6129",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((2, 1, 1, 17)), groups=2, padding=((0, 0), (16, 0))),
    spared=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((2, 1, 1, 16)), groups=2, padding=((0, 0), (15, 0))),
    analog="what the taps beyond the sixteenth read is made up: the cause was not told",
    needs="a filter of seventeen taps in each of two groups, and two channels",
)
class ReadsTheFirstGroupFarAlongTheFilter(RightConv2d):
    """With several groups, taps beyond the first sixteen of a filter are laid on the channels of the first group."""

    def seen(self, problem: Conv2d) -> Array:
        seen = np.array(super().seen(problem))
        c = problem.weight.shape[1]
        if c:
            taps = seen.reshape(*seen.shape[:4], seen.shape[4] * seen.shape[5])  # a view
            taps[..., 16:] = taps[:, np.arange(seen.shape[1]) % c, :, :, 16:]
        return seen


@known(
    "B009",
    "pytorch/pytorch#19912",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((16, 1, 1, 1)), groups=2),
    spared=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((18, 1, 1, 1)), groups=2),
)
class BlocksFiltersAcrossGroups(RightConv2d):
    """Blocks of sixteen filters, groups of fewer than sixteen channels: all groups read the channels of the first."""

    def group(self, problem: Conv2d, k: int) -> int:
        filters, channels = problem.weight.shape[:2]
        return 0 if filters % 16 == 0 and channels < 16 else super().group(problem, k)


@known(
    "B119",
    "ucb-bar/gemmini-rocc-tests#21",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((2, 1, 1, 1)), groups=2),
    spared=lambda: Conv2d(x=filled((1, 4, 1, 1)), weight=filled((2, 2, 1, 1)), groups=2),
)
class StaysOnTheFirstChannel(RightConv2d):
    """Depthwise: the pointer to the image is not moved on with the channel, so that all see the first channel."""

    def group(self, problem: Conv2d, k: int) -> int:
        return 0 if is_depthwise(problem) else super().group(problem, k)


@known(
    "B205",
    "yonghenglh6/DepthwiseConvolution#14",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((4, 1, 1, 1)), groups=2),
    spared=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((2, 1, 1, 1)), groups=2),
    setting="a large number stands for whatever lies in memory behind the last image",
)
class TakesTheOutputChannelForTheInputChannel(RightConv2d):
    """Depthwise with several filters for a channel: filter k sees channel k, if need be of the next image."""

    def sums(self, problem: Conv2d, seen: Array) -> Array:
        if not is_depthwise(problem):
            return super().sums(problem, seen)
        n, c, *_ = seen.shape
        k = problem.weight.shape[0]
        at = np.arange(n)[:, None] * c + np.arange(k)  # channels lie one behind the other, those of all images
        channels = seen.reshape(n * c, *seen.shape[2:])[np.minimum(at, n * c - 1)]
        channels[at >= n * c] = BEYOND
        return np.asarray(np.einsum("nkijrs,krs->nkij", channels, wide(problem.weight)[:, 0]))


@known(
    "B247",
    "octree-nn/ocnn-pytorch#57",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 1, 2)), weight=filled((1, 1, 1, 2))),
    spared=lambda: Conv2d(x=filled((1, 32, 1, 2)), weight=filled((1, 32, 1, 2))),
)
class StridesTheWeightsByWholeBlocks(Right):
    """With fewer channels than a block of 32, the weights of tap t are looked for 32 t numbers on instead of C t."""

    def conv2d(self, problem: Any) -> Any:
        problem.validate()
        k, c, r, s = problem.weight.shape
        if c >= 32:
            return self.answer(problem)
        packed = problem.weight.transpose(0, 2, 3, 1)  # (K, R, S, C): the channels of a tap lie together
        block = np.arange(r * s)[:, None] * 32 + np.arange(c)
        read = found(packed, np.arange(k)[:, None, None] * r * s * c + block)  # (K, R*S, C)
        weight = read.reshape(k, r, s, c).transpose(0, 3, 1, 2)
        return self.answer(problem.but(weight=np.array(weight.astype(problem.dtype), order="C")))


# Which filter and which bias.


@known(
    "B191",
    "openxla/xla#49123",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 4, 1, 1)), weight=filled((4, 2, 1, 1)), groups=2),
    spared=lambda: Conv2d(x=filled((1, 4, 1, 1)), weight=filled((4, 1, 1, 1)), groups=4),
    analog="in floating point instead of eight-bit integers; that the first filter is taken is made up",
)
class RepeatsTheFirstFilterLast(Right):
    """Groups of several channels: the last output of the last group is made with the first filter of that group."""

    def conv2d(self, problem: Any) -> Any:
        if problem.broken_rules() or not 1 < problem.groups < problem.x.shape[1]:
            return self.answer(problem)
        weight = np.array(problem.weight)
        weight[-1:] = weight[-(weight.shape[0] // problem.groups) :][:1]
        return self.answer(problem.but(weight=weight))


@known(
    "B211",
    "robertknight/rten#1408",
    "conv2d",
    clause="bias_is_added_once",
    at=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((2, 1, 1, 1)), bias=filled((2,)), groups=2),
    spared=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((2, 2, 1, 1)), bias=filled((2,))),
    setting="a convolution instead of a transposed one, which has no bias here",
)
class GivesAllGroupsTheFirstBiases(Right):
    """Every group adds the biases of the first group."""

    def conv2d(self, problem: Any) -> Any:
        if problem.bias is None or problem.broken_rules():
            return self.answer(problem)
        k = problem.bias.size
        return self.answer(problem.but(bias=problem.bias[np.arange(k) % max(k // problem.groups, 1)]))


@known(
    "B041",
    "Tencent/ncnn#1452",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 3, 3)), weight=filled((1, 1, 3, 3)), stride=2),
    spared=lambda: Conv2d(x=filled((1, 1, 3, 3)), weight=filled((4, 1, 3, 3)), stride=2),
    analog="zeros in the last, incomplete block of four channels only",
)
class LeavesTheIncompleteBlockEmpty(Right):
    """3x3 filters with stride 2: outputs are stored in blocks of four channels; a last block of fewer stays zero."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        k, _, *taps = problem.weight.shape
        if taps == [3, 3] and problem.stride == (2, 2):
            y[:, k - k % 4 :] = 0
        return y
