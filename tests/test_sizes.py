"""Sizes of outputs against counting windows, and against vectors that are published."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from convspec.reference import AvgPool2d, Conv2d, MaxPool2d
from convspec.reference.window import Window

from . import loops


def grid() -> Any:
    """(n, k, s, d, before, after), all small values that give a window."""
    for n, k, s, d, before, after in itertools.product(range(9), range(1, 5), range(1, 4), (1, 2), range(3), range(3)):
        if n + before + after >= d * (k - 1) + 1:
            yield n, k, s, d, before, after


@pytest.mark.parametrize("ceil", [False, True])
def test_size_is_the_number_of_windows(ceil: bool) -> None:
    for n, k, s, d, before, after in grid():
        window = Window(n, k, s, d, before, after, ceil)
        assert window.fits
        assert window.count == loops.count(n, k, s, d, before, after, ceil), window
        assert window.positions.shape == window.inside.shape == (window.count, k)
        assert window.positions.tolist() == [[i * s + r * d - before for r in range(k)] for i in range(window.count)]


def test_a_window_holds_input_if_one_of_its_taps_lies_on_it() -> None:
    sizes = map(range, (1, 1, 1, 1, 0, 0), (5, 4, 5, 4, 5, 4))
    for length, taps, stride, dilation, before, after in itertools.product(*sizes):
        for ceil in (False, True):
            axis = Window(length, taps, stride, dilation, before, after, ceil)
            if axis.fits:
                assert axis.holds_input() == bool(axis.inside.any(axis=1).all()), axis


def test_size_rounded_up_is_the_specified_formula() -> None:
    """SHP-05: ceil((n + P - e) / s) + 1, less one if the last window starts at n + before or later."""
    for n, k, s, d, before, after in grid():
        size = -(-(n + before + after - d * (k - 1) - 1) // s) + 1
        if (size - 1) * s >= n + before:
            size -= 1
        window = Window(n, k, s, d, before, after, ceil=True)
        assert window.count == size, window


def test_a_window_longer_than_the_padded_axis_does_not_fit() -> None:
    for n, k, d, before, after in itertools.product(range(9), range(1, 5), (1, 2), range(3), range(3)):
        assert Window(n, k, 1, d, before, after).fits == (loops.count(n, k, 1, d, before, after) > 0)


@pytest.mark.parametrize(
    ("n", "p", "f", "stride", "m"),
    [(5, 0, 3, 1, 3), (5, 1, 3, 1, 5), (5, 1, 3, 2, 3), (7, 0, 3, 3, 2), (6, 0, 3, 2, 2), (32, 0, 5, 1, 28),
     (28, 0, 2, 2, 14), (227, 0, 11, 4, 55), (224, 3, 7, 2, 112)],
)  # fmt: skip
def test_size_vectors_of_convolution(n: int, p: int, f: int, stride: int, m: int) -> None:
    """SHP-02, and the lecture's m = floor((n + 2p - f)/S) + 1."""
    problem = Conv2d(x=np.zeros((1, 1, n, n)), weight=np.zeros((1, 1, f, f)), stride=stride, padding=p)
    assert problem.shape() == (1, 1, m, m)


@pytest.mark.parametrize("op", [MaxPool2d, AvgPool2d], ids=lambda op: op.name)
@pytest.mark.parametrize(("n", "k", "s", "p", "o"), [(4, 2, 3, 1, 2), (6, 1, 4, 0, 2), (5, 2, 2, 0, 3)])
def test_size_vectors_of_pooling_rounded_up(op: Any, n: int, k: int, s: int, p: int, o: int) -> None:
    """SHP-05."""
    problem = op(x=np.zeros((1, 1, n, n)), kernel_size=k, stride=s, padding=p, ceil_mode=True)
    assert problem.shape() == (1, 1, o, o)


@pytest.mark.parametrize("ceil", [False, True])
def test_size_grows_with_the_image_and_shrinks_with_the_window(ceil: bool) -> None:
    """SHP-07: never smaller for a larger n or padding, never larger for a larger k, d or s."""
    for n, k, s, d, before, after in grid():
        size = Window(n, k, s, d, before, after, ceil).count
        assert size <= Window(n + 1, k, s, d, before, after, ceil).count
        assert size <= Window(n, k, s, d, before + 1, after, ceil).count
        assert size <= Window(n, k, s, d, before, after + 1, ceil).count
        smaller = [Window(n, k, s + 1, d, before, after, ceil)]
        smaller += [Window(n, k + 1, s, d, before, after, ceil), Window(n, k, s, d + 1, before, after, ceil)]
        assert all(not window.fits or window.count <= size for window in smaller)
