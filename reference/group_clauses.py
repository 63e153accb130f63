"""Clauses of the normalizations of channels in groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import rules
from .channel_clauses import per_channel
from .laws import order
from .op import STRICT, Run, Sides, edge, law, rule
from .parameters import EPS
from .pick import Pick
from .sets import Normalization


@rule(lambda problem, pick: rules.fractional(problem, pick, "groups"), STRICT, "GN-04")
def groups_is_whole(problem: Normalization) -> bool:
    """groups is a whole number."""
    return rules.are_whole(problem, "groups")


@rule(lambda problem, pick: problem.but(groups=pick.one_of((0, -1))), source="GN-04")
def groups_is_positive(problem: Normalization) -> bool:
    """There is at least one group."""
    return bool(problem.groups >= 1)


@rule(lambda problem, pick: problem.but(groups=problem.x.shape[1] + pick.one_of((1, 2))), source="GN-04")
def groups_divide_the_channels(problem: Normalization) -> bool:
    """Every group has the same whole number of channels."""
    return bool(problem.x.shape[1] % problem.groups == 0)


@law("GN-01, PGN-01")
def a_group_is_the_same_alone(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """Groups are blocks of consecutive channels: such a block alone, as one group, gives its part of the result."""
    size = problem.x.shape[1] // problem.groups
    first = pick.integer(0, problem.groups - 1) * size
    block = slice(first, first + size)
    alone = problem.but(x=np.array(problem.x[:, block], order="C"), groups=1, **per_channel(problem, block))
    return run(alone), run(problem)[:, block]


@law("LAW-N18")
def whole_groups_may_be_permuted(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """Reordering the groups, with their weights and biases, reorders the result."""
    channels = np.arange(problem.x.shape[1]).reshape(problem.groups, -1)[order(problem.groups, pick)].ravel()
    mixed = problem.but(x=np.array(problem.x[:, channels], order="C"), **per_channel(problem, channels))
    return run(mixed), run(problem)[:, channels]


@edge("GN-05, PGN-03")
def one_group(cls: Any, pick: Pick) -> Normalization:
    """All channels in one group."""
    return cls.draw(pick).but(groups=1)


@edge("GN-01, PGN-02")
def one_pixel(cls: Any, pick: Pick) -> Normalization:
    """Images of one pixel and two or more channels in one group."""
    problem = cls.draw(pick)
    x = np.concatenate([problem.x[:, :, :1, :1]] * 2, axis=1)
    x[:, 0] += 1
    return problem.but(
        x=x, groups=1, eps=problem.eps or EPS, **per_channel(problem, np.arange(x.shape[1]) % problem.x.shape[1])
    )
