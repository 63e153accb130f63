"""Bugs of batch normalization: in what it takes the statistics of, what it stores, and what it does in evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference.sets import held

from .base import Array, Right, Tensor, broken, rounded, wide

Outputs = tuple[Tensor | None, ...]


class RightBatchNorm(Right):
    """A training step and an evaluation, step by step: a bug overrides one of them. Everything else is right."""

    axes: tuple[int, ...] = (0, 2, 3)

    def batch_norm2d(self, problem: Any) -> Any:
        return self.computed(problem)

    def sync_batch_norm2d(self, problem: Any) -> Any:
        return self.computed(problem)

    def computed(self, problem: Any) -> Any:
        problem.validate()
        with np.errstate(all="ignore"):
            if not problem.x.size:
                return self.answer(problem)
            y, new = self.evaluated(problem) if held(problem) is not None else self.trained(problem)
            return (rounded(y, problem), *(None if a is None else rounded(a, problem) for a in new))

    def trained(self, problem: Any) -> Any:
        mean, variance = self.statistics(problem)
        return self.normalized(problem, mean, variance), self.stored(problem)

    def evaluated(self, problem: Any) -> Any:
        mean, variance = (wide(a)[:, None, None] for a in (problem.running_mean, problem.running_var))
        return self.normalized(problem, mean, variance), (problem.running_mean, problem.running_var)

    def statistics(self, problem: Any) -> tuple[Array, Array]:
        """Mean and biased variance, so that they broadcast against x."""
        x = wide(problem.x)
        mean = x.mean(axis=self.axes, keepdims=True)
        return mean, ((x - mean) ** 2).mean(axis=self.axes, keepdims=True)

    def normalized(self, problem: Any, mean: Array, variance: Array) -> Array:
        return self.scaled(problem, (wide(problem.x) - mean) / self.root(variance, problem.eps))

    def root(self, variance: Array, eps: float) -> Array:
        return np.sqrt(variance + eps)

    def scaled(self, problem: Any, y: Array) -> Array:
        c = problem.x.shape[1]
        weight, bias = (
            np.full(c, default) if given is None else wide(given)
            for given, default in ((problem.weight, 1.0), (problem.bias, 0.0))
        )
        return y * weight[:, None, None] + bias[:, None, None]

    def batch(self, problem: Any) -> tuple[Array, Array]:
        """The statistics that are stored, of each channel."""
        x, m = wide(problem.x), problem.sets.count
        return x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3)) * m / (m - 1)

    def stored(self, problem: Any) -> tuple[Array | None, ...]:
        olds = problem.running_mean, problem.running_var
        return tuple(
            None if old is None else self.updated(wide(old), new, problem.momentum)
            for old, new in zip(olds, self.batch(problem), strict=True)
        )

    def updated(self, old: Array, new: Array, momentum: float) -> Array:
        return (1 - momentum) * old + momentum * new


def steps(clauses: str, **more: str) -> dict[str, str]:
    """The same clauses for a training step on one device and on several, and more for each."""
    return {name: f"{clauses} {more.get(name, '')}" for name in ("batch_norm2d", "sync_batch_norm2d")}


# What is stored.


@broken(
    60,
    **steps(
        "a_doubled_batch_stores_a_smaller_variance within_the_bound",
        batch_norm2d="four_numbers",
        sync_batch_norm2d="three_and_five",
    ),
)
class StoresTheBiasedVariance(RightBatchNorm):
    """The variance is stored as it is used, and nothing says so."""

    def batch(self, problem: Any) -> tuple[Array, Array]:
        x = wide(problem.x)
        return x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))


@broken(
    60,
    **steps(
        "momentum_zero_keeps_the_statistics momentum_one_replaces_the_statistics an_update_is_a_weighted_mean"
        " steps_add_up within_the_bound",
        batch_norm2d="evaluation_follows_training four_numbers",
    ),
)
class TakesMomentumTheOtherWayRound(RightBatchNorm):
    """momentum is the weight of the old value."""

    def updated(self, old: Array, new: Array, momentum: float) -> Array:
        return super().updated(old, new, 1 - momentum)


@broken(60, **steps("steps_add_up momentum_one_replaces_the_statistics within_the_bound"))
class AddsUpWithoutForgetting(RightBatchNorm):
    """The share of the new value is added, and nothing is taken from the old one."""

    def updated(self, old: Array, new: Array, momentum: float) -> Array:
        return old + momentum * new


@broken(60, **steps("only_the_data_are_stored stored_statistics_follow_the_data within_the_bound"))
class StoresEps(RightBatchNorm):
    """The variance is stored with eps in it, as it is under the root."""

    def batch(self, problem: Any) -> tuple[Array, Array]:
        mean, variance = super().batch(problem)
        return mean, variance + problem.eps


@broken(60, **steps("a_channel_stores_its_own within_the_bound", batch_norm2d="two_images_of_two_channels"))
class StoresOneVarianceForAll(RightBatchNorm):
    """The mean of the channels' variances is stored for each of them."""

    def batch(self, problem: Any) -> tuple[Array, Array]:
        mean, variance = super().batch(problem)
        return mean, np.full_like(variance, variance.mean())


@broken(60, batch_norm2d="size_follows_the_formula")
class ReturnsTheOutputAlone(Right):
    """The running statistics are kept inside, and only y comes back."""

    def batch_norm2d(self, problem: Any) -> Any:
        return self.answer(problem)[0]


@broken(60, batch_norm2d="size_follows_the_formula")
class ReturnsStatisticsThatAreNotThere(Right):
    """Running statistics come back where none were given."""

    def batch_norm2d(self, problem: Any) -> Any:
        y, *stored = self.answer(problem)
        return (y, *(np.zeros(problem.x.shape[1], problem.dtype) if a is None else a for a in stored))


@broken(60, batch_norm2d="dtype_is_that_of_x")
class StoresFloat64(Right):
    """The running statistics come back in float64."""

    def batch_norm2d(self, problem: Any) -> Any:
        y, *stored = self.answer(problem)
        return (y, *(None if a is None else a.astype(np.float64) for a in stored))


@broken(60, batch_norm2d="arguments_are_not_modified")
class UpdatesInPlace(Right):
    """The running statistics are updated where they are.

    Only for the clause that hands out copies: all others share their problems with the backends that follow.
    """

    def batch_norm2d(self, problem: Any) -> Any:
        y, *stored = self.answer(problem)
        for name, new in zip(("running_mean", "running_var"), stored, strict=True):
            old = getattr(problem, name)
            if old is not None and old.flags.writeable:
                old[...] = new
        return (y, *stored)


# What is normalized with.


@broken(
    60,
    **steps(
        "the_whole_batch_counts within_the_bound",
        batch_norm2d="it_is_instance_norm_of_the_batch_as_one_image two_images_of_two_channels",
    ),
)
class NormalizesEachImageAlone(RightBatchNorm):
    """The statistics are those of the channel in its own image."""

    axes = (2, 3)


@broken(60, **steps("one_image within_the_bound", batch_norm2d="images_as_channels_are_instance_norm"))
class NormalizesEveryPixelAlone(RightBatchNorm):
    """The statistics are those of the channel at one pixel, over the images."""

    axes = (0,)


@broken(60, **steps("a_channel_is_the_same_alone within_the_bound", batch_norm2d="two_images_of_two_channels"))
class NormalizesAllChannels(RightBatchNorm):
    """The statistics are those of the whole batch, over all channels."""

    axes = (0, 1, 2, 3)


@broken(60, **steps("channels_may_be_permuted a_channel_is_the_same_alone weight_and_bias_act_last"))
class ScalesAsTheFirstChannel(RightBatchNorm):
    """Every channel gets the weight and bias of the first."""

    def scaled(self, problem: Any, y: Array) -> Array:
        c = problem.x.shape[1]
        weight, bias = (None if a is None else np.repeat(a[:1], c) for a in (problem.weight, problem.bias))
        return super().scaled(problem.but(weight=weight, bias=bias), y)


@broken(60, **steps("training_does_not_use_what_is_stored the_whole_batch_counts within_the_bound"))
class TrainsWithWhatIsStored(RightBatchNorm):
    """A training step normalizes with the running statistics, where there are any."""

    def statistics(self, problem: Any) -> tuple[Array, Array]:
        if problem.running_mean is None:
            return super().statistics(problem)
        return wide(problem.running_mean)[:, None, None], wide(problem.running_var)[:, None, None]


@broken(60, **steps("training_does_not_use_what_is_stored within_the_bound", batch_norm2d="four_numbers"))
class TrainsWithWhatItStores(RightBatchNorm):
    """A training step normalizes with the running statistics as they are after it."""

    def statistics(self, problem: Any) -> tuple[Array, Array]:
        if problem.running_mean is None:
            return super().statistics(problem)
        mean, variance = (a[:, None, None] for a in self.stored(problem) if a is not None)
        return mean, variance


@broken(60, batch_norm2d="a_bias_before_it_does_not_matter within_the_bound")
class SubtractsHalfTheMean(RightBatchNorm):
    """Half the mean is subtracted."""

    def trained(self, problem: Any) -> Any:
        mean, variance = self.statistics(problem)
        return self.normalized(problem, mean / 2, variance), self.stored(problem)


# Evaluation.


@broken(60, batch_norm2d="evaluation_changes_nothing evaluation_by_hand within_the_bound")
class LearnsInEvaluation(RightBatchNorm):
    """The running statistics are updated in evaluation too."""

    def evaluated(self, problem: Any) -> Any:
        y, kept = super().evaluated(problem)
        return y, self.stored(problem) if problem.sets.count > 1 else kept


@broken(
    60,
    batch_norm2d="evaluation_treats_every_element_alone evaluation_does_not_see_the_batch evaluation_is_a_line"
    " nan_stays_where_it_is_in_evaluation one_value_in_evaluation evaluation_by_hand"
    " evaluation_folds_into_the_convolution_before evaluation_folds_into_the_convolution_after within_the_bound",
)
class EvaluatesTheBatch(RightBatchNorm):
    """Evaluation normalizes with the statistics of the batch."""

    def evaluated(self, problem: Any) -> Any:
        _, kept = super().evaluated(problem)
        return self.normalized(problem, *self.statistics(problem)), kept


@broken(60, batch_norm2d="evaluation_uses_what_is_stored evaluation_by_hand within_the_bound")
class TakesTheVarianceForTheDeviation(RightBatchNorm):
    """Evaluation divides by the running variance: no root is taken."""

    def evaluated(self, problem: Any) -> Any:
        _, kept = super().evaluated(problem)
        mean, variance = (wide(a)[:, None, None] for a in (problem.running_mean, problem.running_var))
        return self.normalized(problem, mean, variance**2), kept


@broken(
    60,
    batch_norm2d="a_running_variance_of_zero evaluation_by_hand evaluation_folds_into_the_convolution_before",
)
class ForgetsEpsInEvaluation(RightBatchNorm):
    """Evaluation leaves eps out."""

    def evaluated(self, problem: Any) -> Any:
        return super().evaluated(problem.but(eps=0.0)) if problem.eps else super().evaluated(problem)
