"""Clauses of a training step of batch normalization, on one device or several."""

from __future__ import annotations

from typing import Any

import numpy as np

from .channel_clauses import per_channel
from .laws import order, small
from .measured import Measured
from .normalize_clauses import bare, on_its_own, with_images
from .op import STRICT, Run, Sides, edge, law, rule
from .parameters import EPS
from .pick import Pick
from .running import BatchNorm
from .sets import held, statistics


def _of_one_value(problem: BatchNorm, pick: Pick) -> BatchNorm:
    """A training step on one image of one pixel."""
    training = {"training": True} if held(problem) is not None else {}
    one = with_images(problem, np.array(problem.x[:1, :, :1, :1]))
    return one.but(eps=problem.eps or EPS, **training)


@rule(_of_one_value, STRICT, "BN-12")
def more_than_one_value(problem: BatchNorm) -> bool:
    """A training step needs more than one value in each channel, or no images at all."""
    return held(problem) is not None or problem.sets.count != 1


@law("BN-14, RF-07, LAW-N17")
def the_whole_batch_counts(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """An image's outputs depend on the other images: where a second one lies 100 above it, its own outputs average to
    -50 / sqrt(v + 2500 + eps), v being its variance, and not to 0."""
    plain = on_its_own(bare(problem))
    if plain is None:
        return None
    image = small(plain.x[:1])
    pixels = image.shape[2] * image.shape[3]
    both = with_images(plain, np.concatenate([image, image + np.asarray(100, plain.dtype)])).but(eps=plain.eps or EPS)
    v = statistics(np.asarray(image, np.float64), (0, 2, 3)).variance[:, :, 0, 0]
    due = -50 * pixels / np.sqrt(v + 2500 + both.eps)
    return run(both)[:1].sum((2, 3)), Measured(due, np.abs(due) * 2.0**-50)


@law("BN-01, BN-04")
def a_channel_is_the_same_alone(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """A channel alone, with what belongs to it, gives its part of the result."""
    c = pick.integer(0, problem.x.shape[1] - 1)
    own = slice(c, c + 1)
    alone = problem.but(x=np.array(problem.x[:, own], order="C"), **per_channel(problem, own))
    return run(alone), run(problem)[:, own]


@law("LAW-N6, LAW-N18")
def channels_may_be_permuted(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """Reordering the channels, with all that belongs to them, reorders the result."""
    channels = order(problem.x.shape[1], pick)
    mixed = problem.but(x=np.array(problem.x[:, channels], order="C"), **per_channel(problem, channels))
    return run(mixed), run(problem)[:, channels]


@law("BN-05, L087")
def training_does_not_use_what_is_stored(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """In a training step the outputs are the same, whatever the running statistics are, and without any."""
    here = on_its_own(problem)
    if here is None or here.running_mean is None:
        return None
    c = np.arange(problem.x.shape[1])
    others = here.but(running_mean=(c + 7).astype(here.dtype), running_var=(c + 2).astype(here.dtype))
    return run(others if pick.flag() else here.but(running_mean=None, running_var=None)), run(here)


@law("LAW-N5")
def a_doubled_batch_gives_the_same_twice(problem: BatchNorm, run: Run, pick: Pick) -> Sides | None:
    """A batch that holds every image twice gives every output twice."""
    here = on_its_own(problem)
    if here is None:
        return None
    twice = with_images(here, np.concatenate([here.x, here.x]))
    return run(twice), run(here).rearranged(lambda a: np.concatenate([a, a]))


@edge("BN-01")
def one_pixel(cls: Any, pick: Pick) -> BatchNorm:
    """Images of one pixel: the statistics are those of the images."""
    problem = cls.draw(pick)
    images = np.concatenate([problem.x[:, :, :1, :1], problem.x[:, :, -1:, -1:] + np.asarray(1, problem.dtype)])
    return with_images(problem, images).but(eps=problem.eps or EPS)


@edge("BN-01")
def one_image(cls: Any, pick: Pick) -> BatchNorm:
    """A batch of one image: the statistics are those of its pixels."""
    problem = cls.draw(pick)
    image = np.concatenate([problem.x[:1], problem.x[:1] + np.asarray(1, problem.dtype)], axis=3)
    return with_images(problem, image).but(eps=problem.eps or EPS)
