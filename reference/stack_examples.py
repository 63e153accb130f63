"""Worked stacks: receptive fields as printed in tables, and what does not commute with shifts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .op import example

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]

ROW = {"op": "conv2d"}  # of one row of taps
HALVED: dict[str, Any] = {"op": "max_pool2d", "kernel_size": (1, 2), "stride": (1, 2)}


def _pixels(length: int, dtype: np.dtype[Any]) -> Any:
    """A batch of rows (length, 1, 1, length), each with a one at another place."""
    return np.eye(length).reshape(length, 1, 1, length).astype(dtype)


def _taps(*values: float, dtype: np.dtype[Any]) -> Any:
    return np.array(values).reshape(1, 1, 1, len(values)).astype(dtype)


def _answers(*outputs: Any) -> Array:
    """Rows as outputs (N, 1, 1, J)."""
    return np.array(outputs, np.float64)[:, None, None]


@example("RF-04, RF-02, L043")
def three_threes_see_seven(cls: Any, dtype: np.dtype[Any]) -> Worked:
    """Three layers of three taps of one: an output sees seven pixels, the middle one along seven paths."""
    three = dict.fromkeys(("weight1", "weight2", "weight3"), _taps(1, 1, 1, dtype=dtype))
    paths = [[1, 0, 0], [3, 1, 0], [6, 3, 1], [7, 6, 3], [6, 7, 6], [3, 6, 7], [1, 3, 6], [0, 1, 3], [0, 0, 1]]
    return [(cls(x=_pixels(9, dtype), plan=(ROW, ROW, ROW), **three), _answers(*paths))]


@example("RF-04, RF-05, L039, E13")
def strides_and_dilations_make_it_fifteen(cls: Any, dtype: np.dtype[Any]) -> Worked:
    """With stride 2 in each of the three, or with dilations 1, 2 and 4, an output sees fifteen; the stride of the last
    layer plays no part in that."""
    three = dict.fromkeys(("weight1", "weight2", "weight3"), _taps(1, 1, 1, dtype=dtype))
    paths = [[k] for k in (1, 1, 2, 1, 3, 2, 3, 1, 3, 2, 3, 1, 2, 1, 1)]
    strided = ({**ROW, "stride": (1, 2)},) * 3
    slow = (*strided[:2], ROW)
    holes = tuple({**ROW, "dilation": (1, d)} for d in (1, 2, 4))
    x = _pixels(15, dtype)
    return [
        (cls(x=x, plan=strided, **three), _answers(*paths)),
        (cls(x=x, plan=slow, **three), _answers(*paths)),
        (cls(x=x, plan=holes, **three), _answers(*paths)),
    ]


@example("RF-06, L054")
def a_dilated_field_has_holes(cls: Any, dtype: np.dtype[Any]) -> Worked:
    """Three taps two apart see three of five pixels, with the three weights that they have."""
    plan = ({**ROW, "dilation": (1, 2)}, {"op": "relu"})
    problem = cls(x=_pixels(5, dtype), plan=plan, weight1=_taps(2, 3, 5, dtype=dtype))
    return [(problem, _answers([2], [0], [3], [0], [5]))]


@example("RF-04, NET-05")
def lenets_field_is_16_and_then_32(cls: Any, dtype: np.dtype[Any]) -> Worked:
    """Five taps, pairs, five taps, pairs: 5, 6, 14, 16 of 32 pixels, four apart from output to output; five taps more
    see them all."""
    five = dict.fromkeys(("weight1", "weight2"), _taps(1, 1, 1, 1, 1, dtype=dtype))
    plan = (ROW, HALVED, ROW, HALVED)
    paths = [1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 1, 1]  # what the first output sees of pixels 0 to 15
    after = [[paths[h - 4 * i] if 0 <= h - 4 * i < 16 else 0 for i in range(5)] for h in range(32)]
    whole = [1, 1, 2, 2, 4, 4, 5, 5, 7, 7, 8, 8, 9, 9, 9, 9]
    last = [[k] for k in (*whole, *reversed(whole))]
    four = cls(x=_pixels(32, dtype), plan=plan, **five)
    return [
        (four, _answers(*after)),
        (four.but(plan=(*plan, ROW), weight3=five["weight1"]), _answers(*last)),
    ]


@example("EQV-06, E10")
def a_shift_by_less_than_the_strides(cls: Any, dtype: np.dtype[Any]) -> Worked:
    """Differences with stride 2, rectified, pairs: rolled by one pixel the row 0 0 1 1 0 0 1 1 gives 1 1 and not 0 0;
    rolled by the four of both strides it gives 0 0 again."""
    row = np.array([0.0, 0, 1, 1, 0, 0, 1, 1])
    plan = ({**ROW, "stride": (1, 2)}, {"op": "relu"}, HALVED)
    rolled = np.stack([np.roll(row, k) for k in (0, 1, 4)])[:, None, None].astype(dtype)
    problem = cls(x=rolled, plan=plan, weight1=_taps(1, -1, dtype=dtype))
    return [(problem, _answers([0, 0], [1, 1], [0, 0]))]


@example("EQV-07, E10")
def zeros_around_break_what_wrapping_keeps(cls: Any, dtype: np.dtype[Any]) -> Worked:
    """1 0 0 0 and its roll by one, twice under three taps of one: wrapped round, 3 2 2 2 rolls to 2 3 2 2; with zeros
    around, 2 2 1 0 becomes 2 3 2 1, no roll of it."""
    x = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0]])[:, None, None].astype(dtype)
    two = dict.fromkeys(("weight1", "weight2"), _taps(1, 1, 1, dtype=dtype))
    zeros = {**ROW, "padding": ((0, 0), (1, 1))}
    wrapped = {**zeros, "padding_mode": "circular"}
    return [
        (cls(x=x, plan=(wrapped, wrapped), **two), _answers([3, 2, 2, 2], [2, 3, 2, 2])),
        (cls(x=x, plan=(zeros, zeros), **two), _answers([2, 2, 1, 0], [2, 3, 2, 1])),
    ]


@example("EQV-08, EQV-10, L074, E09")
def a_fully_connected_end_is_not_invariant(cls: Any, dtype: np.dtype[Any]) -> Worked:
    """1 0 0 0 and its roll by one: their maximum is the same, but weights 1 2 3 4 on the flattened rows give 1 and 2:
    a network is no more invariant to shifts than its last layers are."""
    x = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0]])[:, None, None].astype(dtype)
    kept: dict[str, Any] = {"weight1": _taps(1, dtype=dtype)}
    everywhere = {"op": "max_pool2d", "kernel_size": (1, 4), "stride": (1, 1)}
    weights = np.array([[1.0, 2, 3, 4]]).astype(dtype)
    return [
        (cls(x=x, plan=(ROW, everywhere), **kept), _answers([1], [1])),
        (cls(x=x, plan=(ROW, {"op": "linear"}), weight2=weights, **kept), np.array([[1.0], [2.0]])),
    ]


@example("FC-01, NET-03")
def flattening_goes_by_channel_row_column(cls: Any, dtype: np.dtype[Any]) -> Worked:
    """1 to 8 as two channels of 2x2, rectified and flattened: the first four with the weights 1, 10, 100, 1000 give
    4321, the others with 1 to 4 give 5 + 12 + 21 + 32 = 70."""
    x = np.arange(1.0, 9.0).reshape(1, 2, 2, 2).astype(dtype)
    weights = np.array([[1.0, 10, 100, 1000, 0, 0, 0, 0], [0, 0, 0, 0, 1, 2, 3, 4]]).astype(dtype)
    problem = cls(x=x, plan=({"op": "relu"}, {"op": "linear"}), weight1=weights)
    return [(problem, np.array([[4321.0, 70.0]]))]
