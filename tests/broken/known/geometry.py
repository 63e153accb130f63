"""Known bugs of geometry: dilation, strides, remainders and output sizes of convolution; even windows of channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import AvgPool2d, Conv2d, LocalResponseNorm, MaxPool2d
from convspec.reference.window import Window

from ..base import Array, Right
from ..conv2d import RightConv2d
from ..local_response_norm import RightLRN
from ..pool import RightPool
from .entry import filled, known
from .geometry_parts import axes_of, pooled_taps, resized


@known(
    "B001",
    "AlexeyAB/darknet#4836",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 1, 3)), weight=filled((1, 1, 1, 3)), dilation=2, padding=((0, 0), (2, 2))),
    spared=lambda: Conv2d(x=filled((1, 1, 5, 5)), weight=filled((1, 1, 3, 3)), padding=1),
)
class LowersWithTheUndilatedPadding(RightConv2d):
    """With dilation the image is lowered with the padding of a dense filter: every tap is read displaced."""

    def positions(self, problem: Any) -> Any:
        at = super().positions(problem)
        return tuple(
            p + before - before // d for p, (before, _), d in zip(at, problem.padding, problem.dilation, strict=True)
        )


@known(
    "B015",
    "onnx/onnx#7721",
    "conv2d",
    clause="size_follows_the_formula",
    at=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), padding=((1, 1), (0, 0))),
    spared=lambda: Conv2d(x=filled((1, 1, 7, 5)), weight=filled((1, 1, 3, 3)), stride=2, padding=1),
    setting="an output of the size that is inferred stands for the inference of shapes",
)
class AddsTheBeginsOfBothAxes(Right):
    """Four paddings in the order of begins and ends are read as pairs: top and left are added up for either size."""

    def conv2d(self, problem: Any) -> Any:
        (top, _), (left, _) = problem.padding
        y = self.answer(problem)
        return resized(y, *((a.length + top + left - a.span) // a.stride + 1 for a in problem.axes))


@known(
    "B019",
    "uxlfoundation/oneDNN#924",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 3, 4)), weight=filled((1, 1, 1, 1)), stride=(1, 2)),
    spared=lambda: Conv2d(x=filled((1, 1, 3, 5)), weight=filled((1, 1, 1, 1)), stride=(1, 2)),
    analog="the last row or column of outputs is not written where the original padded by a huge number",
)
class CastsNegativePadding(RightConv2d):
    """Where strides leave pixels over, the padding that is in effect at the end is negative, and is taken as unsigned:
    the last outputs on that axis are lost."""

    def sums(self, problem: Any, seen: Array) -> Array:
        y = super().sums(problem, seen)
        rows, columns = problem.axes
        if rows.slack > rows.after:
            y[:, :, -1] = 0
        if columns.slack > columns.after:
            y[:, :, :, -1] = 0
        return y


def _recovered(axis: Window) -> Any:
    between = axis.count - 1
    stride = (axis.padded - axis.span) // between if between else axis.stride
    return axis.positions + np.arange(axis.count)[:, None] * (stride - axis.stride)


class _RecoversTheStride(RightConv2d):
    def positions(self, problem: Any) -> Any:
        return tuple(_recovered(a) for a in problem.axes)


@known(
    "B111",
    "GPUOpen-ProfessionalCompute-Libraries/amdovx-modules#71",
    "conv2d",
    "max_pool2d",
    "avg_pool2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 1, 6)), weight=filled((1, 1, 1, 1)), stride=(1, 3)),
    also={
        "max_pool2d": lambda: MaxPool2d(x=filled((1, 1, 1, 6)), kernel_size=1, stride=(1, 3)),
        "avg_pool2d": lambda: AvgPool2d(x=filled((1, 1, 1, 6)), kernel_size=1, stride=(1, 3)),
    },
    spared=lambda: Conv2d(x=filled((1, 1, 1, 7)), weight=filled((1, 1, 1, 1)), stride=(1, 3)),
)
class RecoversTheStrideFromTheSizes(RightPool):
    """The stride is computed back from the sizes of input and output, which is another one where pixels are left over
    or the output size was rounded up."""

    def conv2d(self, problem: Any) -> Any:
        return _RecoversTheStride().conv2d(problem)

    def positions(self, axis: Window) -> Any:
        return _recovered(axis)

    def divisor(self, problem: Any) -> Array:
        return pooled_taps(problem, self.along(problem))


@known(
    "B203",
    "nanoporetech/bonito#53",
    "conv2d",
    clause="size_follows_the_formula",
    at=lambda: Conv2d(x=filled((1, 2, 1, 5)), weight=filled((2, 1, 1, 1)), stride=(1, 2), groups=2),
    spared=lambda: Conv2d(x=filled((1, 2, 1, 5)), weight=filled((2, 1, 1, 1)), groups=2),
    setting="a depthwise call stands for the module of a depthwise and a pointwise convolution",
)
class StridesInBothStages(Right):
    """A depthwise convolution moves by its stride, and so does the pointwise stage behind it: the output is shorter by
    the square of the stride."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        depthwise = problem.groups > 1 and problem.groups == problem.x.shape[1]
        return np.array(y[:, :, :: problem.stride[0], :: problem.stride[1]], order="C") if depthwise else y


@known(
    "B219",
    "ddbourgin/numpy-ml#32",
    "conv2d",
    clause="within_the_bound",
    at=lambda: Conv2d(x=filled((1, 1, 1, 5)), weight=filled((1, 1, 1, 2)), dilation=(1, 2)),
    spared=lambda: Conv2d(x=filled((1, 1, 1, 5)), weight=filled((1, 1, 1, 2))),
)
class DilatesTheSliceAgain(RightConv2d):
    """The slice of a window is as long as the dilated filter dilated once more: it holds more elements than there are
    taps, which do not multiply."""

    def positions(self, problem: Any) -> Any:
        for a in problem.axes:
            ends = np.minimum(np.arange(a.count) * a.stride + a.span * a.dilation - a.dilation + 1, a.padded)
            held = -(-(ends - np.arange(a.count) * a.stride) // a.dilation)
            if (held != a.taps).any():
                raise ValueError(f"operands could not be broadcast together: {held.max()} elements, {a.taps} taps")
        return super().positions(problem)


@known(
    "B263",
    "tenstorrent/tt-metal#13170",
    "conv2d",
    clause="size_follows_the_formula",
    at=lambda: Conv2d(x=filled((1, 1, 3, 3)), weight=filled((1, 1, 2, 2)), dilation=2),
    spared=lambda: Conv2d(x=filled((1, 1, 5, 5)), weight=filled((1, 1, 2, 2))),
    analog="zeros where the buffer held what was there before",
)
class ReportsTheUndilatedSize(Right):
    """With dilation the values are right, but come in a buffer that is as large as a dense filter would need."""

    def conv2d(self, problem: Any) -> Any:
        return resized(self.answer(problem), *((a.padded - a.taps) // a.stride + 1 for a in axes_of(problem)))


@known(
    "B223",
    "apache/mxnet#11281",
    "local_response_norm",
    clause="within_the_bound",
    at=lambda: LocalResponseNorm(x=filled((1, 2, 1, 1)), size=2, alpha=1.0),
    spared=lambda: LocalResponseNorm(x=filled((1, 2, 1, 1)), size=3, alpha=1.0),
)
class PutsEvenWindowsOffCentre(RightLRN):
    """An even number of channels is split about the centre the other way round: one more before instead of behind."""

    def window(self, problem: Any, c: int) -> tuple[int, int]:
        return c - problem.size // 2, c + (problem.size - 1) // 2
