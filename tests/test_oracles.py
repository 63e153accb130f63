"""The reference against SciPy and NumPy's own padding, each where it has the operation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from convspec.reference import (
    AvgPool2d,
    Conv2d,
    Convolve2d,
    MaxPool2d,
    Pad2d,
)

from .oracles import (
    NDIMAGE_MODES,
    NUMPY_MODES,
    around,
    drawn,
    over_dtypes,
    same,
    size_of,
    wide,
)


@over_dtypes
def test_convolve2d_is_scipys(dtype: str) -> None:
    signal = pytest.importorskip("scipy.signal")
    ndimage = pytest.importorskip("scipy.ndimage")
    for p in drawn(Convolve2d, dtype):
        x, kernel = wide(p.x), wide(p.kernel)
        # `same` of SciPy centres on the first argument, in whatever order of size they come.
        same(p, signal.convolve2d(x, kernel, mode="same", boundary="fill"), size_of(p))
        same(p, ndimage.convolve(x, kernel, mode="constant"), size_of(p))


@over_dtypes
def test_conv2d_is_scipys_correlation_group_by_group(dtype: str) -> None:
    signal = pytest.importorskip("scipy.signal")
    for p in drawn(Conv2d, dtype):
        x = np.pad(wide(p.x), ((0, 0), (0, 0), *p.padding), NUMPY_MODES[p.padding_mode])
        (n, _, h, w), (k, c, r, s) = x.shape, p.weight.shape
        holes = np.zeros((k, c, (r - 1) * p.dilation[0] + 1, (s - 1) * p.dilation[1] + 1))
        holes[:, :, :: p.dilation[0], :: p.dilation[1]] = wide(p.weight)
        y = np.zeros((n, k, h - holes.shape[2] + 1, w - holes.shape[3] + 1))
        for image, filter_, channel in itertools.product(range(n), range(k), range(c)):
            seen = x[image, filter_ // (k // p.groups) * c + channel]
            y[image, filter_] += signal.correlate2d(seen, holes[filter_, channel], mode="valid")
        y = y[:, :, :: p.stride[0], :: p.stride[1]]
        same(p, y if p.bias is None else y + wide(p.bias)[None, :, None, None], size_of(p))


@pytest.mark.parametrize("mode", NDIMAGE_MODES)
def test_conv2d_of_one_channel_is_ndimages_in_every_padding_mode(mode: str) -> None:
    """ndimage has four border modes of its own, and centres an odd filter: padding of half of it on every side."""
    ndimage = pytest.importorskip("scipy.ndimage")
    random = np.random.default_rng(3)
    for a, b in itertools.product(range(3), repeat=2):
        x, weight = random.standard_normal((6, 5)), random.standard_normal((2 * a + 1, 2 * b + 1))
        p = Conv2d(x=x[None, None], weight=weight[None, None], padding=((a, a), (b, b)), padding_mode=mode)
        same(p, ndimage.correlate(x, weight, mode=NDIMAGE_MODES[mode])[None, None], np.abs(p.expected()) + 50)


@over_dtypes
def test_pad2d_is_numpys_and_ndimages(dtype: str) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    for p in drawn(Pad2d, dtype):
        x = wide(p.x)
        same(p, np.pad(x, ((0, 0), (0, 0), *p.padding), NUMPY_MODES[p.mode]))
        (top, bottom), (left, right) = p.padding
        h, w = x.shape[2:]
        at = np.meshgrid(np.arange(-top, h + bottom), np.arange(-left, w + right), indexing="ij")
        mode = "grid-constant" if p.mode == "zeros" else NDIMAGE_MODES[p.mode]
        sampled = [ndimage.map_coordinates(image, at, order=0, mode=mode) for image in x.reshape(-1, h, w)]
        same(p, np.reshape(sampled, (*x.shape[:2], *at[0].shape)))


@over_dtypes
def test_max_pool2d_is_a_maximum_filter(dtype: str) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    for p in drawn(MaxPool2d, dtype):
        holes = np.zeros([(k - 1) * d + 1 for k, d in zip(p.kernel_size, p.dilation, strict=True)], bool)
        holes[:: p.dilation[0], :: p.dilation[1]] = True
        # The filter's origin moved from its centre to its first tap; no border of its own comes into view.
        origin = [-(side // 2) for side in holes.shape]
        x = around(p, -np.inf)
        every = np.stack([
            ndimage.maximum_filter(image, footprint=holes, mode="constant", cval=-np.inf, origin=origin)
            for image in x.reshape(-1, *x.shape[2:])
        ])  # fmt: skip
        _, _, i, j = p.shape()
        y = every[:, : i * p.stride[0] : p.stride[0], : j * p.stride[1] : p.stride[1]]
        same(p, y.reshape(p.shape()))


@over_dtypes
def test_avg_pool2d_is_a_correlation_with_ones(dtype: str) -> None:
    signal = pytest.importorskip("scipy.signal")
    for p in drawn(AvgPool2d, dtype):
        ones, (_, _, i, j) = np.ones(p.kernel_size), p.shape()
        rows, columns = (slice(0, size * stride, stride) for size, stride in zip((i, j), p.stride, strict=True))
        x = around(p, 0.0)
        total = np.stack([signal.correlate2d(image, ones, mode="valid") for image in x.reshape(-1, *x.shape[2:])])
        counted = np.zeros(x.shape[2:])
        (top, bottom), (left, right) = p.padding
        h, w = p.x.shape[2:]
        if p.count_include_pad:
            counted[: top + h + bottom, : left + w + right] = 1
        else:
            counted[top : top + h, left : left + w] = 1
        divisor = signal.correlate2d(counted, ones, mode="valid")
        y = (total / np.where(divisor > 0, divisor, 1))[:, rows, columns]
        same(p, y.reshape(p.shape()), size_of(p))
