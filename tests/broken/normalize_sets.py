"""Bugs of layer, group and instance normalization: which elements are one set, and whose parameters they get."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Op

from .base import Array, Right, Tensor, broken, rounded, wide
from .normalize import RightNorm

# Layer normalization.


class RightLayerNorm(RightNorm):
    """Layer normalization with axes of one's own choice."""

    def standardized(self, x: Array, axes: tuple[int, ...], eps: float) -> Array:
        centred = x - x.mean(axis=axes, keepdims=True)
        return np.asarray(centred / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + eps))

    def over(self, problem: Any) -> tuple[int, ...]:
        return tuple(range(-problem.axes, 0))

    def layer_norm(self, problem: Any) -> Any:
        problem.validate()
        with np.errstate(all="ignore"):
            y = self.standardized(wide(problem.x), self.over(problem), problem.eps)
            return rounded(self.scaled(y, *self.affine(problem)), problem)


@broken(60, layer_norm="earlier_axes_are_images one_axis_or_all the_last_axis_alone within_the_bound")
class NormalizesWholeImages(RightLayerNorm):
    """All axes but the first are normalized, whatever `axes` says."""

    def over(self, problem: Any) -> tuple[int, ...]:
        return tuple(range(1, problem.x.ndim))


@broken(60, layer_norm="normalized_axes_are_one four_numbers one_axis_or_all within_the_bound")
class NormalizesRows(RightLayerNorm):
    """The last axis alone is normalized."""

    def over(self, problem: Any) -> tuple[int, ...]:
        return (-1,)


@broken(60, layer_norm="elements_move_with_their_parameters")
class TakesOneParameterPerRow(RightLayerNorm):
    """The first weight and bias of a row are used for the whole row."""

    def affine(self, problem: Any) -> tuple[Array, Array]:
        weight, bias = super().affine(problem)
        return np.broadcast_to(weight[..., :1], weight.shape), np.broadcast_to(bias[..., :1], bias.shape)


@broken(layer_norm="one_value")
class GivesZeroForOneValue(Right):
    """A set of one element gives zero, without the bias."""

    def layer_norm(self, problem: Any) -> Tensor:
        y: Tensor = self.answer(problem)
        return y * (problem.sets.count > 1) if isinstance(problem, Op) else y


# Groups.


class RightGroups(RightNorm):
    """The channels in groups of one's own choice."""

    def grouped(self, problem: Any, x: Array) -> Array:
        """x (N, C, H, W) as (N, groups, channels of a group, H, W)."""
        n, c, h, w = x.shape
        return x.reshape(n, problem.groups, c // problem.groups, h, w)

    def back(self, problem: Any, y: Array) -> Array:
        return y.reshape(problem.x.shape)

    def standardized(self, x: Array, axes: tuple[int, ...], eps: float) -> Array:
        centred = x - x.mean(axis=axes, keepdims=True)
        return np.asarray(centred / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + eps))

    def whole(self, problem: Any) -> Array:
        y = self.standardized(self.grouped(problem, wide(problem.x)), problem.sets.axes, problem.eps)
        return self.scaled(self.back(problem, y), *self.affine(problem))


GROUPED = "a_group_is_the_same_alone within_the_bound"


@broken(60, group_norm=f"{GROUPED} two_groups a_group_is_a_layer", pixel_group_norm=f"{GROUPED} two_pixels")
class DealsTheChannelsOut(RightGroups):
    """Channel c belongs to group c modulo groups."""

    def grouped(self, problem: Any, x: Array) -> Array:
        n, c, h, w = x.shape
        return x.reshape(n, c // problem.groups, problem.groups, h, w).swapaxes(1, 2)

    def back(self, problem: Any, y: Array) -> Array:
        return y.swapaxes(1, 2).reshape(problem.x.shape)


@broken(60, group_norm="whole_groups_may_be_permuted sets_are_separate within_the_bound a_group_is_a_layer",
        pixel_group_norm="whole_groups_may_be_permuted sets_are_separate within_the_bound")  # fmt: skip
class TakesTheFirstGroupsStatistics(RightGroups):
    """Every group is normalized with the mean and variance of the first."""

    def standardized(self, x: Array, axes: tuple[int, ...], eps: float) -> Array:
        first = x[:, :1]
        mean = first.mean(axis=axes, keepdims=True)
        return np.asarray((x - mean) / np.sqrt(((first - mean) ** 2).mean(axis=axes, keepdims=True) + eps))


@broken(
    60,
    group_norm="a_group_is_the_same_alone two_groups one_group_is_layer_norm within_the_bound",
    pixel_group_norm="a_group_is_the_same_alone two_pixels one_group_is_layer_norm_of_channels within_the_bound",
)
class TakesParametersByGroup(RightGroups):
    """Each group has one weight and one bias, those of its number."""

    def affine(self, problem: Any) -> tuple[Array, Array]:
        weight, bias = super().affine(problem)
        c = problem.x.shape[1]
        numbers = np.arange(c) // (c // problem.groups)
        return weight[:, numbers], bias[:, numbers]


@broken(60, group_norm="one_group one_pixel one_group_is_layer_norm", pixel_group_norm="one_group one_pixel")
class TakesOneGroupAsNone(RightGroups):
    """One group is read as a default: every channel is a group."""

    def grouped(self, problem: Any, x: Array) -> Array:
        return super().grouped(problem if problem.groups > 1 else problem.but(groups=x.shape[1]), x)


@broken(
    60,
    group_norm="as_many_groups_as_channels groups_of_one_channel_are_instance_norm",
)
class TakesManyGroupsAsOne(RightGroups):
    """As many groups as channels are read as no groups at all."""

    def grouped(self, problem: Any, x: Array) -> Array:
        return super().grouped(problem if problem.groups < x.shape[1] else problem.but(groups=1), x)


@broken(60, group_norm="one_value_per_group", instance_norm2d="one_pixel", pixel_group_norm="groups_of_one_channel")
class LeavesOneValueAsItIs(RightNorm):
    """A set of one element is not normalized."""

    def rows(self, x: Array, eps: float) -> Array:
        return super().rows(x, eps) if x.shape[1] > 1 else x


@broken(
    60,
    group_norm="a_group_is_a_layer one_group_is_layer_norm two_groups within_the_bound",
    pixel_group_norm="a_pixel_is_group_norm",
)
class TradesPixelsForImages(RightGroups):
    """Group normalization takes every pixel alone, and that of pixels the whole image."""

    def standardized(self, x: Array, axes: tuple[int, ...], eps: float) -> Array:
        return super().standardized(x, (2, 3, 4) if len(axes) == 1 else (2,), eps)


# Instance normalization.


class RightInstanceNorm(RightNorm):
    """Instance normalization with its statistics over axes of one's own choice."""

    axes: tuple[int, ...] = (2, 3)

    def whole(self, problem: Any) -> Array:
        if problem.name != "instance_norm2d":
            return super().whole(problem)
        x = wide(problem.x)
        centred = x - x.mean(axis=self.axes, keepdims=True)
        y = centred / np.sqrt((centred**2).mean(axis=self.axes, keepdims=True) + problem.eps)
        return self.scaled(np.asarray(y), *self.affine(problem))


@broken(60, instance_norm2d="channels_may_be_images a_channel_is_the_same_alone two_channels within_the_bound")
class NormalizesImages(RightInstanceNorm):
    """The statistics are those of the image, over all channels."""

    axes = (1, 2, 3)


@broken(60, instance_norm2d="channels_may_be_images images_are_independent within_the_bound")
class NormalizesTheBatch(RightInstanceNorm):
    """The statistics are those of the channel over the batch."""

    axes = (0, 2, 3)


@broken(60, instance_norm2d="channels_may_be_permuted a_channel_is_the_same_alone weight_and_bias_act_last")
class TakesTheFirstChannelsParameters(RightInstanceNorm):
    """Every channel gets the weight and bias of the first."""

    def affine(self, problem: Any) -> tuple[Array, Array]:
        weight, bias = super().affine(problem)
        return np.broadcast_to(weight[:, :1], weight.shape), np.broadcast_to(bias[:, :1], bias.shape)
