"""What oneDNN, by which PyTorch convolves on the CPU, is known to get wrong: calls that the adapter does not make."""

from __future__ import annotations

from typing import Any

import torch

# Does oneDNN multiply bfloat16 on this processor? Where PyTorch does not say, it is taken to.
PAIRS_OF_BFLOAT16 = bool(getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)())


def may_end_the_process(x: Any, weight: Any) -> bool:
    """Are these what oneDNN reads beside, where columns are padded and strided? Bfloat16 images of a single column that
    lie channels last, or whose filters do (seen with PyTorch 2.13; see deviations-torch.toml)."""
    return (
        PAIRS_OF_BFLOAT16
        and x.dtype is torch.bfloat16
        and x.shape[3] == 1
        and not (x.is_contiguous() and weight.is_contiguous())
    )


def is_wrong(x: Any, weight: Any, stride: int, padding: int, dilation: int) -> bool:
    """Is this a convolution of bfloat16 images that oneDNN's kernels for matrix units (AMX) get wrong, with zeros, or
    with what lies in memory, in outputs and in the gradients of filters? Seen with PyTorch 2.13, of integers, where

    - columns are strided, of several taps, and there is one column of outputs: torch.nn.functional.conv2d of
      ones(1, 1, 17, 2) and ones(16, 1, 1, 2) with stride (1, 2), not 2 everywhere;
    - fewer than sixteen channels times the taps of a row are whole blocks of 32, two and more: of ones(1, 8, 5, 8) and
      ones(1, 8, 1, 8), not 64.
    """
    taps, channels = weight.shape[3], weight.shape[1]
    outputs = (x.shape[3] + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
    reduced = channels < 16 and channels * taps >= 64 and channels * taps % 32 == 0
    return PAIRS_OF_BFLOAT16 and x.dtype is torch.bfloat16 and ((stride > 1 < taps and outputs == 1) or reduced)
