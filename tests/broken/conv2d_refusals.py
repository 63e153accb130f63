"""Bugs of convolution that answers what it should have refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference.pad2d import padded

from .base import Repairs, broken


@broken(conv2d="a_window_fits")
class ClampsTheSize(Repairs):
    """Where no window fits, the image is extended until one does."""

    def repaired(self, problem: Any) -> Any:
        more = [(0, max(a.span - a.padded, 0)) for a in problem.axes]
        return problem.but(x=np.pad(problem.x, ((0, 0), (0, 0), *more)))


@broken(conv2d="groups_divide_channels")
class DropsChannelsBeyondTheGroups(Repairs):
    """Channels beyond a multiple of the groups are dropped."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(x=problem.x[:, : problem.weight.shape[1] * problem.groups])


@broken(conv2d="groups_divide_filters")
class DropsFiltersBeyondTheGroups(Repairs):
    """Filters beyond a multiple of the groups are dropped."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(weight=problem.weight[: problem.weight.shape[0] // problem.groups * problem.groups])


@broken(conv2d="filters_span_their_group")
class ReadsAsManyChannelsAsFit(Repairs):
    """Channels of a filter that the image does not have are left out."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(weight=problem.weight[:, : problem.x.shape[1] // problem.groups])


@broken(conv2d="bias_is_one_per_filter")
class ResizesTheBias(Repairs):
    """A bias of another length is repeated or cut."""

    def repaired(self, problem: Any) -> Any:
        bias = problem.bias if problem.bias.size else np.zeros(1, problem.dtype)
        return problem.but(bias=np.resize(bias, problem.weight.shape[0]))


@broken(conv2d="stride_is_positive dilation_is_positive groups_is_positive")
class TakesNothingAsOne(Repairs):
    """A stride, dilation or number of groups below one is taken as one."""

    def repaired(self, problem: Any) -> Any:
        stride, dilation = (tuple(max(v, 1) for v in p) for p in (problem.stride, problem.dilation))
        weight = problem.weight
        if problem.groups < 1:
            weight = np.resize(weight, (weight.shape[0], problem.x.shape[1], *weight.shape[2:]))
        return problem.but(stride=stride, dilation=dilation, groups=max(problem.groups, 1), weight=weight)


@broken(conv2d="parameters_are_whole")
class TruncatesParameters(Repairs):
    """Strides and dilations are converted by int()."""

    def repaired(self, problem: Any) -> Any:
        def whole(value: Any) -> Any:
            return tuple(map(whole, value)) if isinstance(value, tuple) else int(value)

        return problem.but(**{name: whole(getattr(problem, name)) for name in ("stride", "padding", "dilation")})


@broken(conv2d="parameters_are_pairs")
class CutsParametersToPairs(Repairs):
    """Of a list that is too long the first two are taken."""

    def repaired(self, problem: Any) -> Any:
        names = ("stride", "padding", "dilation")
        return problem.but(**{name: getattr(problem, name)[:2] for name in names})


@broken(conv2d="padding_is_not_negative")
class CropsForNegativePadding(Repairs):
    """A negative padding crops the image."""

    def repaired(self, problem: Any) -> Any:
        sides = [(max(-before, 0), max(-after, 0)) for before, after in problem.padding]
        (top, bottom), (left, right) = sides
        h, w = problem.x.shape[2:]
        padding = tuple((max(before, 0), max(after, 0)) for before, after in problem.padding)
        x = problem.x[:, :, top : h - bottom, left : w - right]
        return problem.but(x=np.ascontiguousarray(x), padding=padding)


@broken(conv2d="padding_mode_is_known")
class TakesUnknownModesAsZeros(Repairs):
    """An unknown padding mode means zeros."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(padding_mode="zeros")


@broken(conv2d="reflection_stays_inside wrapping_goes_round_once")
class PadsOnAndOn(Repairs):
    """Reflection and wrapping go on and on, as in NumPy's pad."""

    def repaired(self, problem: Any) -> Any:
        border = padded(problem.x, problem.padding, problem.padding_mode)
        return problem.but(x=border, padding=((0, 0), (0, 0)), padding_mode="zeros")
