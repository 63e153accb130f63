"""Bugs of the gradients of one normalization: which elements are one set, and whose statistics they get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from convspec.reference.sets import Sets

from .backward_norm import RightGradients
from .base import Array, broken

# Layer normalization.


@broken(60, layer_norm_backward="earlier_axes_are_images the_last_axis_alone within_the_bound")
class NormalizesWholeImages(RightGradients):
    """All axes but the first are normalized, whatever `axes` says."""

    def sets(self, problem: Any) -> Sets:
        found = super().sets(problem)
        layers = problem.name == "layer_norm_backward"
        return replace(found, axes=tuple(range(1, len(found.shape)))) if layers else found


@broken(60, layer_norm_backward="normalized_axes_are_one four_numbers within_the_bound")
class NormalizesRows(RightGradients):
    """The last axis alone is normalized."""

    def sets(self, problem: Any) -> Sets:
        found = super().sets(problem)
        return replace(found, axes=(len(found.shape) - 1,)) if problem.name == "layer_norm_backward" else found


# Group normalization.


class Regroups(RightGradients):
    """As many groups as one likes."""

    def gradients(self, problem: Any) -> tuple[Any, ...]:
        if problem.name != "group_norm_backward":
            return super().gradients(problem)
        return super().gradients(problem.but(groups=self.number(problem.groups, problem.x.shape[1])))

    def number(self, groups: int, channels: int) -> int:
        raise NotImplementedError


@broken(60, group_norm_backward="one_group one_pixel one_group_is_layer_norm")
class TakesOneGroupAsNone(Regroups):
    """One group is read as a default: every channel is a group."""

    def number(self, groups: int, channels: int) -> int:
        return groups if groups > 1 else channels


@broken(60, group_norm_backward="as_many_groups_as_channels")
class TakesManyGroupsAsOne(Regroups):
    """As many groups as channels are read as no groups at all."""

    def number(self, groups: int, channels: int) -> int:
        return groups if groups < channels else 1


@broken(60, group_norm_backward="a_group_is_a_layer two_groups within_the_bound")
class DealsTheChannelsOut(RightGradients):
    """Channel c belongs to group c modulo groups."""

    def gradients(self, problem: Any) -> tuple[Any, ...]:
        if problem.name != "group_norm_backward":
            return super().gradients(problem)
        order = np.arange(problem.x.shape[1]).reshape(-1, problem.groups).T.ravel()
        dealt = {n: a[order] if a.ndim == 1 else a[:, order] for n, a in problem.arrays().items()}
        found = super().gradients(problem.but(**dealt))
        back = np.argsort(order)
        return found[0][:, back], *(None if one is None else one[back] for one in found[1:])


# Batch normalization.


@broken(
    60,
    batch_norm2d_backward="evaluation_treats_every_element_alone evaluation_does_not_see_the_image four_numbers"
    " one_value_in_evaluation",
)
class EvaluatesAsItTrains(RightGradients):
    """In evaluation, too, mean and variance are taken to depend on x."""

    def held(self, problem: Any, h: Array, hat: Array) -> Array:
        return self.inner(h, np.ones_like(h), hat)


@broken(60, batch_norm2d_backward="a_running_variance_of_zero")
class ForgetsEpsInEvaluation(RightGradients):
    """In evaluation eps is left out."""

    def gradients(self, problem: Any) -> tuple[Any, ...]:
        return super().gradients(problem if problem.held is None else problem.but(eps=0.0))


@broken(60, batch_norm2d_backward="training_does_not_use_what_is_stored within_the_bound")
class TrainsWithWhatIsStored(RightGradients):
    """In training the running statistics are used, where there are such."""

    def gradients(self, problem: Any) -> tuple[Any, ...]:
        stored = problem.name == "batch_norm2d_backward" and problem.running_mean is not None
        return super().gradients(problem.but(training=False) if stored else problem)


@broken(60, batch_norm2d_backward="one_image_is_group_norm one_image within_the_bound")
class NormalizesTheFirstChannelsBatch(RightGradients):
    """Mean and variance of the first channel serve all."""

    def standing(self, problem: Any, x: Array) -> tuple[Array, Array]:
        centred, r = super().standing(problem, x)
        if problem.name != "batch_norm2d_backward":
            return centred, r
        return x - (x - centred)[:1], r[:1]
