"""Rules about how the images of a batch are shared out among devices."""

from __future__ import annotations

from . import rules
from .op import STRICT, rule
from .pick import Pick
from .shards import SyncBatchNorm


def _with_a_size(problem: SyncBatchNorm, pick: Pick, size: float) -> SyncBatchNorm:
    """The problem with another number of images on one device."""
    sizes = list(problem.shards)
    sizes[pick.integer(0, len(sizes) - 1)] = size
    return problem.but(shards=tuple(sizes))


@rule(lambda problem, pick: _with_a_size(problem, pick, pick.one_of((1.5, 2.5))), STRICT, "SBN-01")
def shards_are_whole(problem: SyncBatchNorm) -> bool:
    """Every device holds a whole number of images."""
    return rules.are_whole(problem, "shards")


@rule(lambda problem, pick: _with_a_size(problem, pick, -1), STRICT, "SBN-01")
def shards_are_not_negative(problem: SyncBatchNorm) -> bool:
    """No device holds fewer than no images."""
    return all(size >= 0 for size in problem.shards)


@rule(lambda problem, pick: problem.but(shards=(*problem.shards, pick.integer(1, 2))), STRICT, "SBN-01")
def shards_add_up_to_the_batch(problem: SyncBatchNorm) -> bool:
    """There is a device, and the devices hold all images between them."""
    return len(problem.shards) > 0 and sum(problem.shards) == len(problem.x)
