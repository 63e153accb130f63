"""What is told of a pooling: the classes of its parameters of which every pair is drawn."""

from __future__ import annotations

from typing import Any

from .features import (
    Feature,
    along,
    axes_of,
    flag,
    how_many,
    not_along,
    one_or_more,
    padded_as_same,
    sizes,
    stratum,
)

NONE = ((0, 0), (0, 0))


def _is_global(problem: Any) -> bool:
    return bool(problem.kernel_size == problem.x.shape[2:] and problem.padding == NONE)


def _is_side_by_side(problem: Any) -> bool:
    return bool(problem.stride == problem.kernel_size and min(problem.stride) > 1 and problem.padding == NONE)


def _is_three_by_three(problem: Any) -> bool:
    return bool(problem.kernel_size == (3, 3) and problem.stride == (2, 2))


def features(*, dilated: bool) -> tuple[Feature, ...]:
    """Of both poolings; whether there may be holes between the taps."""
    return (
        one_or_more("images", lambda p: p.x.shape[0]),
        how_many("channels", lambda p: p.x.shape[1]),
        flag("ceil", lambda p: p.ceil_mode),
        *along(0, dilated=dilated),
        *along(1, dilated=dilated),
        sizes("channels", lambda p: p.x.shape[1]),
        stratum("global", _is_global),
        stratum("side_by_side", _is_side_by_side),
        stratum("three_by_three", _is_three_by_three),
        stratum("hanging_over", lambda p: any(w.ceil and w.count > _down(w) for w in axes_of(p))),
        *padded_as_same(dilated=dilated),
        stratum("one_of_each", lambda p: p.x.shape[:2] == (1, 1)),
    )


def _down(window: Any) -> int:
    """How many windows there are, rounded down."""
    return int((window.padded - window.span) // window.stride + 1)


EXCLUDED = (*not_along(0), *not_along(1))
