"""What is told of a convolution: the classes of its parameters of which every pair is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .features import (
    REST,
    Feature,
    along,
    axes_of,
    excluded,
    given,
    how_many,
    left_over,
    not_along,
    not_padded,
    not_rounded_down,
    one_or_more,
    padded_as_same,
    sizes,
    stratum,
)
from .pad2d import MODES
from .window import STRETCHED


def _groups(problem: Any) -> str:
    """One; some; or a group for each channel, with one filter or several of them."""
    groups, c, k = problem.groups, problem.x.shape[1], problem.weight.shape[0]
    return "1" if groups == 1 else "some" if groups < c else "depthwise" if k == c else "multiplier"


def _taps(problem: Any) -> tuple[int, int]:
    return problem.weight.shape[2:]  # type: ignore[no-any-return]


def _is_dense(problem: Any) -> bool:
    return bool(problem.dilation == (1, 1))


def _is_plain(problem: Any) -> bool:
    """Stride 1, dense, and one group."""
    return problem.stride == (1, 1) and _is_dense(problem) and problem.groups == 1


def _are_few(problem: Any) -> bool:
    """Two to seven channels, and fewer than eight filters."""
    return bool(1 < problem.x.shape[1] < 8 and problem.weight.shape[0] < 8)


def _tile(axis: int) -> Feature:
    """Of 3x3 filters with stride 1, which are computed in tiles of four outputs: how many are left over."""

    def left(problem: Any) -> str | None:
        plain = _taps(problem) == (3, 3) and _is_plain(problem)
        return str(axes_of(problem)[axis].count % 4) if plain else None

    return Feature(f"3x3.{('rows', 'columns')[axis]}", ("0", "1", "2", "3"), left, alone=True)


def _all_taps(problem: Any) -> bool:
    """Is there, on both axes, a window with all of its taps on the image?"""
    return all(bool(axis.inside.all(axis=1).any()) for axis in axes_of(problem))


def _is_met(problem: Any) -> bool:
    """One group, several taps, and all of them on the image at once: a channel lost would show."""
    return problem.groups == 1 and problem.weight[0, 0].size > 1 and _all_taps(problem)


def _is_dilated_depthwise(problem: Any) -> bool:
    """Depthwise 3x3 with holes along both axes and all taps on the image: not the path of dense depthwise filters."""
    holes = _groups(problem) == "depthwise" and _taps(problem) == (3, 3) and min(problem.dilation) > 1
    return holes and _all_taps(problem)


def _is_pointwise(problem: Any) -> bool:
    """A matrix product on every pixel, of which there are several."""
    alone = _taps(problem) == (1, 1) and _is_plain(problem) and problem.padding == NONE
    return alone and problem.x[0, 0].size > 1


def _is_strided(problem: Any) -> bool:
    """Does a stride decide where the second window of several taps lies?"""
    return any(axis.stride > 1 and axis.taps > 1 and axis.count > 1 for axis in axes_of(problem))


def _is_met_strided(problem: Any) -> bool:
    return _is_met(problem) and _is_strided(problem)


def _is_met_plain(problem: Any) -> bool:
    return _taps(problem) == (3, 3) and _is_plain(problem) and _is_met(problem)


def _is_met_3x3_strided(problem: Any) -> bool:
    return _taps(problem) == (3, 3) and _is_met_strided(problem)


def _left_over(sort: str, asked: Callable[[Any], bool], lines: tuple[tuple[int, ...], ...]) -> tuple[Feature, Feature]:
    """Of channels, and of filters, in problems of a sort. Kernels for filters of one group vectorize along them, and do
    so by taps and stride."""

    def feature(of: str, axis: int) -> Feature:
        return left_over(f"{sort}.{of}", lambda p: p.weight.shape[axis] if asked(p) else None, lines)

    return feature("channels", 1), feature("filters", 0)


NONE, ONE = ((0, 0), (0, 0)), ((1, 1), (1, 1))
WINDOWS = tuple(feature for axis in (0, 1) for feature in along(axis, dilated=True))

FEATURES = (
    one_or_more("images", lambda p: p.x.shape[0]),
    how_many("channels", lambda p: p.x.shape[1]),
    how_many("filters", lambda p: p.weight.shape[0]),
    Feature("groups", ("1", "some", "depthwise", "multiplier"), _groups),
    given("bias", lambda p: p.bias),
    Feature("padding_mode", MODES, lambda p: p.padding_mode),
    *WINDOWS,
    sizes("channels", lambda p: p.weight.shape[1]),  # of a group
    sizes("filters", lambda p: p.weight.shape[0] // p.groups),
    sizes("groups", lambda p: p.groups),
    _tile(0),
    _tile(1),
    *_left_over("strided", _is_met_strided, tuple((size,) for size in STRETCHED)),
    *_left_over("3x3", _is_met_plain, REST),
    *_left_over("3x3.strided", _is_met_3x3_strided, REST),
    stratum("one_of_each", lambda p: p.x.shape[:2] == (1, 1) and p.weight.shape[0] == 1 and _is_plain(p)),
    stratum("pointwise", lambda p: _taps(p) == (1, 1) and _is_plain(p) and p.padding == NONE),
    stratum("pointwise_of_few", lambda p: _is_pointwise(p) and _are_few(p)),  # many kernels have products of their own
    stratum("pointwise_of_many", lambda p: _is_pointwise(p) and min(p.weight.shape[:2]) >= 16),  # for few and for many
    stratum("pointwise_strided", lambda p: _taps(p) == (1, 1) and min(p.stride) > 1 and _is_dense(p)),
    stratum("patchify", lambda p: p.stride == _taps(p) and min(p.stride) > 1 and p.padding == NONE),
    stratum("3x3_strided", lambda p: _taps(p) == (3, 3) and p.stride == (2, 2) and p.padding == ONE),
    stratum("depthwise_3x3", lambda p: _groups(p) == "depthwise" and _taps(p) == (3, 3) and p.padding == ONE),
    stratum("depthwise_3x3_dilated", _is_dilated_depthwise),
    stratum("depthwise_many", lambda p: _groups(p) == "depthwise" and p.groups >= 32 and min(_taps(p)) > 1),
    stratum("multiples_of_32", lambda p: p.weight.shape[0] % 32 == 0 and p.weight.shape[1] % 32 == 0),
    stratum("3x3_of_many", lambda p: _taps(p) == (3, 3) and _is_plain(p) and min(p.weight.shape[:2]) >= 16),
    stratum(
        "3x3_multiples_of_32",
        lambda p: _taps(p) == (3, 3) and _is_plain(p) and p.weight.shape[0] % 32 == 0 and p.weight.shape[1] % 32 == 0,
    ),
    *padded_as_same(grouped=True, dilated=True),
    stratum("square", lambda p: p.weight.shape[0] == p.weight.shape[1] > 1 and _taps(p)[0] == _taps(p)[1] > 1),
    stratum("a_column_for_each_filter", lambda p: p.bias is not None and axes_of(p)[1].count == len(p.bias) > 1),
    stratum("whole_image", lambda p: p.x.shape[2:] == _taps(p) != (1, 1) and p.padding == NONE),
)

EXCLUDED = (
    *not_along(0),
    *not_along(1),
    *not_rounded_down(0),
    *not_rounded_down(1),
    *not_padded(0),
    *not_padded(1),
    *excluded(
        ("channels=1 groups=some|depthwise|multiplier", "groups share the channels out"),
        ("filters=1 groups=some|depthwise|multiplier", "every group has a filter"),
        ("groups=depthwise channels=few filters=many", "there are as many filters as channels"),
        ("groups=depthwise channels=many filters=few", "there are as many filters as channels"),
        ("groups=multiplier channels=many filters=few", "there are more filters than channels"),
    ),
)
