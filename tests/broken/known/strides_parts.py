"""How an array lies in memory: what kernels ask before they choose a path by memory format."""

from __future__ import annotations

from ..base import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Do images (N, C, H, W) lie in memory as N, H, W, C without gaps, and not as N, C, H, W?"""
    return x.ndim == 4 and not x.flags.c_contiguous and bool(x.transpose(0, 2, 3, 1).flags.c_contiguous)


def looks_channels_last(x: Tensor) -> bool:
    """Do the strides of images (N, C, H, W) come in the order of N, H, W, C, with or without gaps?

    True for part of the channels, rows or columns of what lies channels last, which is how PyTorch guesses a format.
    """
    if x.ndim != 4 or not x.size or x.strides[1] <= 0:
        return False
    least = 0
    for axis in (1, 3, 2, 0):
        if x.strides[axis] < least:
            return False
        least = x.strides[axis] * x.shape[axis]
    return True


def has_gaps(x: Tensor) -> bool:
    """Does it look as if it lay channels last, with gaps between its elements?"""
    return looks_channels_last(x) and not x.transpose(0, 2, 3, 1).flags.c_contiguous
