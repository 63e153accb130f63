"""What oneDNN, by which PyTorch convolves on the CPU, is known to get wrong: calls that the adapter does not make."""

from __future__ import annotations

from dataclasses import dataclass
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
    """Is this a convolution in which oneDNN's kernels for 16 bits read or write wrong memory? Seen with PyTorch 2.13.

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
      padding (1, 3) and dilation (3, 3), which ends the process within some hundred calls;
    - the stride of rows is more than there are, of several outputs, and an axis is padded by as much as it has taps or
      more: oneDNN books its copy of the image as if the stride were no more than the taps (get_inp_size in
      jit_brgemm_conv_utils.cpp) and writes behind it where that is larger than whole pages: of ones(1, 32, 31, 13) and
      ones(1, 32, 1, 6) with stride (5, 1), padding (0, 8) and dilation (1, 2).

    In float16, by those for AVX512-FP16, which end the process within some thousand calls, where

    - the image has fewer columns than the stride, columns are dilated, and a window lies beside the image: of
      zeros(1, 1, 1, 1) and zeros(1, 1, 1, 1) with stride (1, 2), padding (0, 1) and dilation (1, 2); in bfloat16 too,
      where images or filters lie channels last;
    - columns are padded by three and more, less than half a stride, there are several outputs, and without padding
      windows would leave no column: of ones(3, 6, 3, 16) and ones(9, 2, 1, 7) with stride (1, 9), padding (0, 3) and
      three groups.
    """
    if x.dtype is torch.float16:
        _, columns = _axes(x, weight, stride, padding, dilation)
        return _takes_float16() and (_lies_beside(columns) or _leaves_none(columns))
    if x.dtype is torch.bfloat16:
        rows, columns = _axes(x, weight, stride, padding, dilation)
        channels, plain = weight.shape[1], x.is_contiguous() and weight.is_contiguous()
        gradient = weight.requires_grad and columns.narrow and columns.taps > 1 and columns.dilation == 1
        return PAIRS_OF_BFLOAT16 and (
            (columns.stride > 1 < columns.taps and columns.outputs == 1)
            or (channels < 16 and _are_blocks(channels * columns.taps))
            or (channels == x.shape[1] and _is_folded(channels, columns))
            or gradient
            or _lies_between(rows)
            or _is_booked_short(rows, columns)
            or (not plain and _lies_beside(columns))
        )
    return False


@dataclass(frozen=True)
class _Axis:
    """An image and a filter along one axis."""

    size: int
    taps: int
    stride: int
    padding: int
    dilation: int

    @property
    def window(self) -> int:
        return self.dilation * (self.taps - 1) + 1

    @property
    def outputs(self) -> int:
        return (self.size + 2 * self.padding - self.window) // self.stride + 1

    @property
    def narrow(self) -> bool:
        return self.size < self.stride


def _axes(x: Any, weight: Any, *others: tuple[int, int]) -> list[_Axis]:
    return [_Axis(*along) for along in zip(x.shape[2:], weight.shape[2:], *others, strict=True)]


def _are_blocks(products: int) -> bool:
    """Are these whole blocks of 32, two and more?"""
    return products >= 64 and products % 32 == 0


def _is_folded(channels: int, columns: _Axis) -> bool:
    """Does oneDNN take the stride of columns as channels, of which it then gets the number of blocks wrong?"""
    c = columns
    divided = c.size % c.stride == c.taps % c.stride == c.padding == 0 and c.dilation == 1
    return divided and 16 <= channels < 32 and _are_blocks(channels * c.stride)


def _lies_between(a: _Axis) -> bool:
    """Has a window taps before the image and behind it, and none on it?"""
    # Of a window that begins before the image, the first tap from 0 on is its beginning modulo the dilation.
    return any(
        start < 0 and start + a.window > a.size and start % a.dilation >= a.size
        for start in range(-a.padding, a.size + a.padding - a.window + 1, a.stride)
    )


def _is_booked_short(rows: _Axis, columns: _Axis) -> bool:
    """May the copy of the image be larger than what oneDNN books for it?"""
    return rows.stride > rows.taps > 0 and rows.outputs > 1 and any(a.padding >= a.taps for a in (rows, columns))


def _lies_beside(columns: _Axis) -> bool:
    """Does a window of dilated columns lie beside a narrow image?"""
    return columns.narrow and columns.dilation > 1 and columns.padding >= columns.window


def _leaves_none(c: _Axis) -> bool:
    """Is padding between two columns and half a stride, and would windows leave no column without it?"""
    return 2 < c.padding < c.stride / 2 and c.outputs > 1 and (c.size - c.window) % c.stride == 0


def _takes_float16() -> bool:
    """Does oneDNN multiply float16 on this processor? Where PyTorch does not say, it is taken to."""
    return bool(getattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: True)())
