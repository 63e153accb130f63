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


def is_wrong(x: Any, weight: Any, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]) -> bool:
    """Is this a convolution in which oneDNN's kernels for 16 bits read wrong memory? Seen with PyTorch 2.13.

    In bfloat16, by those for matrix units (AMX), where

    - columns are strided, of several taps, and there is one column of outputs: torch.nn.functional.conv2d of
      ones(1, 1, 17, 2) and ones(16, 1, 1, 2) with stride (1, 2), not 2 everywhere;
    - fewer than sixteen channels times the taps of a row are whole blocks of 32, two and more: of ones(1, 8, 5, 8) and
      ones(1, 8, 1, 8), not 64;
    - the stride divides columns and taps, neither padded nor dilated nor in groups, of 16 to 31 channels, which times
      the stride are whole blocks of 32, two and more: of ones(1, 16, 5, 12) and ones(1, 16, 1, 4) with stride (1, 4),
      not 64;
    - a gradient of filters is asked for, the image has fewer columns than the stride, and the filter several, not
      dilated: of ones(1, 1, 1, 1) and ones(1, 1, 1, 4) with stride (1, 2) and padding (0, 3), now and then not 0 and 1;
    - the image lies between two rows of a window, which has none on it: of ones(1, 3, 2, 5) and ones(1, 3, 2, 3) with
      padding (1, 3) and dilation (3, 3), which ends the process within some hundred calls.

    In float16, by those for AVX512-FP16, which end the process within some thousand calls, where

    - the image has fewer columns than the stride, columns are dilated, and a window lies beside the image: of
      zeros(1, 1, 1, 1) and zeros(1, 1, 1, 1) with stride (1, 2), padding (0, 1) and dilation (1, 2);
    - columns are padded by three and more, less than half a stride, there are several outputs, and without padding
      windows would leave no column: of ones(3, 6, 3, 16) and ones(9, 2, 1, 7) with stride (1, 9), padding (0, 3) and
      three groups.
    """
    (rows, columns), (height, taps), channels = x.shape[2:], weight.shape[2:], weight.shape[1]
    window = dilation[1] * (taps - 1) + 1
    outputs = (columns + 2 * padding[1] - window) // stride[1] + 1
    narrow = columns < stride[1]
    if x.dtype is torch.float16:
        beside = narrow and dilation[1] > 1 and padding[1] >= window
        leaves_none = 2 < padding[1] < stride[1] / 2 and outputs > 1 and (columns - window) % stride[1] == 0
        return _takes_float16() and (beside or leaves_none)
    if x.dtype is torch.bfloat16:
        one_column = stride[1] > 1 < taps and outputs == 1
        whole_blocks = channels < 16 and channels * taps >= 64 and channels * taps % 32 == 0
        as_channels = channels * stride[1]
        folded = (
            (16 <= channels < 32 and as_channels >= 64 and as_channels % 32 == 0 and channels == x.shape[1])
            and columns % stride[1] == taps % stride[1] == padding[1] == 0
            and dilation[1] == 1
        )
        gradient = weight.requires_grad and narrow and taps > 1 and dilation[1] == 1
        between = _lies_between(rows, height, stride[0], padding[0], dilation[0])
        return PAIRS_OF_BFLOAT16 and (one_column or whole_blocks or folded or gradient or between)
    return False


def _lies_between(size: int, taps: int, stride: int, padding: int, dilation: int) -> bool:
    """Has a window taps before the image and behind it, along an axis of this size, and none on it?"""
    reach = dilation * (taps - 1)
    # Of a window that begins before the image, the first tap from 0 on is its beginning modulo the dilation.
    return any(
        start < 0 and start + reach >= size and start % dilation >= size
        for start in range(-padding, size + padding - reach, stride)
    )


def _takes_float16() -> bool:
    """Does oneDNN multiply float16 on this processor? Where PyTorch does not say, it is taken to."""
    return bool(getattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: True)())
