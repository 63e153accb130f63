"""The four layers that the convolution benchmarks share, and how they time a call."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from convspec.reference import Conv2d


def layer(n: int, c: int, k: int, taps: int, size: int, padding: int, dtype: str = "float32") -> Conv2d:
    random = np.random.default_rng(1)
    return Conv2d(
        x=random.standard_normal((n, c, size, size)).astype(dtype),
        weight=random.standard_normal((k, c, taps, taps)).astype(dtype),
        bias=random.standard_normal(k).astype(dtype),
        padding=((padding, padding), (padding, padding)),
    )


LAYERS = {  # name -> images, channels, filters, taps, size, padding
    "LeNet conv1: 32 images, 1->6, 5x5 on 32x32": (32, 1, 6, 5, 32, 0),
    "LeNet conv2: 32 images, 6->16, 5x5 on 14x14": (32, 6, 16, 5, 14, 0),
    "64->64, 3x3 pad 1 on 56x56": (1, 64, 64, 3, 56, 1),
    "256->256, 3x3 pad 1 on 14x14": (1, 256, 256, 3, 14, 1),
}


def seconds(call: Callable[[], object]) -> float:
    """One timed call, after one that brings its arrays back into the caches from what ran in between."""
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
