"""What is told of a normalization: the classes of its sizes and parameters of which every pair is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from .features import Feature, batches, excluded, flag, given, how_many, left_out, one_or_more, sizes, stratum
from .sets import found_in, held
from .window import WIDE

ONE = "sets of one value: edges have them"
REAL = ("float32", "float64")  # of fewer digits, means far from zero leave no deviation


def _eps(problem: Any) -> str:
    """None; one that is seen in outputs of any size only if it is misplaced; or one that they all show."""
    eps = problem.eps
    return "0" if eps == 0 else "small" if eps < 0.1 else "large"


def _count(problem: Any) -> str:
    m = problem.sets.count
    return "2" if m == 2 else "few" if m < 8 else "many"


def _ratio(problem: Any) -> float:
    """How many deviations the mean of a set is from zero, at most."""
    if held(problem) is not None:
        return 0.0
    found = found_in(problem)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.abs(found.mean) / np.sqrt(found.variance)
    return float(np.max(ratio, where=np.isfinite(ratio), initial=0))


def _is_near_eps(problem: Any) -> bool:
    """Is a variance about as large as eps, so that it matters where eps is added?"""
    if held(problem) is not None or not problem.eps:
        return False
    variance = found_in(problem).variance
    return bool(((variance > problem.eps / 16) & (variance < 16 * problem.eps)).any())


OF_SETS = (
    given("weight", lambda p: p.weight),
    given("bias", lambda p: p.bias),
    Feature("eps", ("0", "small", "large"), _eps),
    Feature("elements", ("2", "few", "many"), _count),
    sizes("elements", lambda p: p.sets.count, WIDE),
    Feature("sort.mean_of_30_deviations", ("yes",), lambda p: "yes" if _ratio(p) >= 30 else None, True, REAL),
    Feature("sort.mean_of_3000_deviations", ("yes",), lambda p: "yes" if _ratio(p) >= 3000 else None, True, REAL),
    Feature("sort.variance_near_eps", ("yes",), lambda p: "yes" if _is_near_eps(p) else None, True, REAL),
)

OF_IMAGES = (
    one_or_more("images", lambda p: p.x.shape[0]),
    how_many("channels", lambda p: p.x.shape[1]),
    one_or_more("rows", lambda p: p.x.shape[2]),
    how_many("columns", lambda p: p.x.shape[3]),
    *OF_SETS,
    sizes("channels", lambda p: p.x.shape[1]),
    sizes("columns", lambda p: p.x.shape[3], WIDE),
)


def _groups(problem: Any) -> str:
    """One; some; or one for each channel."""
    g, c = problem.groups, problem.x.shape[1]
    return "1" if g == 1 else "each" if g == c else "some"


GROUPED = (*OF_IMAGES, Feature("groups", ("1", "some", "each"), _groups), sizes("groups", lambda p: p.groups))
GROUPED_BY_PIXELS = (
    *(feature for feature in OF_IMAGES if feature.name != "tile.elements"),
    sizes("elements", lambda p: p.sets.count),
    Feature("groups", ("1", "some"), lambda p: "1" if p.groups == 1 else "some"),
    sizes("groups", lambda p: p.groups),
)

LAYERS = (
    *OF_SETS,
    one_or_more("images", lambda p: p.x.shape[0]),
    Feature("axes", ("1", "2", "3"), lambda p: str(p.axes)),
    Feature("leading", ("1", "2"), lambda p: str(p.x.ndim - p.axes)),
    how_many("last", lambda p: p.x.shape[-1]),
    sizes("last", lambda p: p.x.shape[-1], WIDE),
)


def _statistics(problem: Any) -> str:
    """None, those before the first step, or others."""
    mean, variance = problem.running_mean, problem.running_var
    if mean is None or variance is None:
        return "none"
    return "fresh" if not mean.any() and (variance == 1).all() else "given"


def _are_far(problem: Any) -> bool:
    mean, variance = problem.running_mean, problem.running_var
    if mean is None or variance is None:
        return False
    return bool((np.abs(mean) >= 32).any() and ((variance >= 32) | (variance <= 1 / 32)).any())


def _is_near(problem: Any) -> str | None:
    """Which end the momentum of a step that updates statistics is near, without being there: what is nearly kept or
    nearly forgotten, or taken for it."""
    a = problem.momentum
    if problem.running_mean is None or not getattr(problem, "training", True) or not 0 < a < 1:
        return None
    return "0" if a < 0.01 else "1" if a > 0.99 else None


RUNNING = (
    Feature("momentum", ("0", "part", "1"), lambda p: str(int(p.momentum)) if p.momentum in (0, 1) else "part"),
    Feature("momentum.near", ("0", "1"), _is_near, alone=True),
    Feature("statistics", ("none", "fresh", "given"), _statistics),
    stratum("statistics_far_away", _are_far),
)


BATCH = (
    *OF_IMAGES,
    *RUNNING,
    flag("training", lambda p: p.training),
    batches("training", lambda p: p.training),
    batches("evaluation", lambda p: not p.training),
)


def _evenness(problem: Any) -> str:
    sizes_ = set(problem.shards)
    return "empty" if 0 in sizes_ else "equal" if len(sizes_) == 1 else "unequal"


SHARDED = (
    *OF_IMAGES,
    *RUNNING,
    batches("training", lambda p: True),
    Feature("devices", ("1", "2", "more"), lambda p: str(len(p.shards)) if len(p.shards) < 3 else "more"),
    Feature("shares", ("equal", "unequal", "empty"), _evenness),
)

_IN_A_SET = (
    ("columns=many elements=2|few", "a row is part of a set"),
    ("rows=more columns=few elements=2", "an image is part of a set"),
)
NOT_IMAGES = (
    *excluded(*_IN_A_SET, ("rows=1 columns=few elements=many", "a row is a set")),
    *left_out(("rows=1 columns=1", ONE)),
)
NOT_GROUPED = (
    *excluded(
        *_IN_A_SET,
        ("channels=1 groups=some|each", "groups share the channels out"),
        ("groups=some elements=2 rows=more", "two channels make a set of two"),
        ("groups=some elements=2 columns=few", "two channels make a set of two"),
        ("groups=1 channels=many elements=2|few", "all channels make a set"),
    ),
    *left_out(("channels=1 rows=1 columns=1", ONE), ("groups=each rows=1 columns=1", ONE)),
)
NOT_GROUPED_BY_PIXELS = (
    *excluded(
        ("channels=1 groups=some", "groups share the channels out"),
        ("channels=few elements=many", "channels make a set"),
        ("groups=1 channels=many elements=2|few", "all channels make a set"),
        ("groups=some channels=few elements=many", "some channels make a set"),
    ),
    *left_out(("channels=1", ONE)),
)
NOT_LAYERS = (
    *excluded(
        ("last=many elements=2|few", "the last axis is part of a set"),
        ("axes=1 last=few elements=many", "the last axis is a set"),
    ),
    *left_out(("axes=1 last=1", ONE)),
)
_IN_A_BATCH = (
    *excluded(
        *_IN_A_SET,
        ("images=more rows=more elements=2", "all images make a set"),
        ("images=more columns=few elements=2", "all images make a set"),
        ("images=1 rows=1 columns=few elements=many", "a row is a set"),
    ),
    *left_out(("images=1 rows=1 columns=1", ONE)),
)
NOT_BATCH = (*_IN_A_BATCH, *excluded(("training=no statistics=none", "evaluation needs them")))
NOT_SHARDED = (
    *_IN_A_BATCH,
    *excluded(
        ("devices=1 shares=unequal|empty", "one device has all images"),
        ("elements=2 shares=unequal", "unequal shares are of three images at least"),
        ("images=1 shares=unequal", "one device has the image, the others none"),
        ("images=1 devices=2|more shares=equal", "one device has the image, the others none"),
    ),
)
