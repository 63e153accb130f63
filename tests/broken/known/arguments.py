"""Known bugs of checks: arguments that should have been refused and were not."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Conv2d, Conv2dBackward, Pad2d
from convspec.reference.pad2d import MODES

from ..base import Right, rounded
from .channels import BEYOND, found, is_depthwise
from .entry import filled, known


class Accepts(Right):
    """Does not look at one rule: a problem that breaks it alone gets what the code happens to do."""

    rules: tuple[str, ...] = ()

    def answer(self, problem: Any) -> Any:
        broken = problem.broken_rules()
        if broken and set(broken) <= set(self.rules) and self.slips(problem):
            return self.happens(problem)
        return super().answer(problem)

    def slips(self, problem: Any) -> bool:
        """Is it a problem that the check lets through?"""
        return True

    def happens(self, problem: Any) -> Any:
        raise NotImplementedError


@known(
    "B035",
    "tinygrad/tinygrad#14115",
    "conv2d",
    "conv2d_backward",
    clause="dilation_is_positive",
    at=lambda: Conv2d(x=filled((1, 1, 2, 2)), weight=filled((1, 1, 2, 2))),
    also={
        "conv2d_backward": lambda: Conv2dBackward(
            x=filled((1, 1, 2, 2)), weight=filled((1, 1, 2, 2)), grad_output=filled((1, 1, 1, 1))
        )
    },
)
class LaysAllTapsOnOnePixel(Accepts):
    """A dilation of zero is not refused: all taps of a window lie on its first pixel."""

    rules = ("dilation_is_positive", "grad_output_has_the_shape_of_the_output")

    def slips(self, problem: Any) -> bool:
        return problem.name.startswith("conv2d") and min(problem.dilation) == 0

    def happens(self, problem: Any) -> Any:
        axes = tuple(2 + axis for axis, d in enumerate(problem.dilation) if d == 0)
        heap = problem.weight.sum(axis=axes, keepdims=True, dtype=problem.dtype)
        answer = self.answer(problem.but(weight=heap, dilation=tuple(max(d, 1) for d in problem.dilation)))
        if not isinstance(answer, tuple):
            return answer
        return answer[0], np.array(np.broadcast_to(answer[1], problem.weight.shape), order="C"), answer[2]


@known(
    "B115",
    "google/XNNPACK#10453",
    "conv2d",
    clause="a_window_fits",
    at=lambda: Conv2d(x=filled((1, 1, 2, 2)), weight=filled((1, 1, 2, 2))),
)
class FindsWindowsWhereNoneFit(Accepts):
    """The size is computed without going below zero: a filter too long for the padded image gets one window, which
    reads on behind the image."""

    rules = ("a_window_fits",)

    def slips(self, problem: Any) -> bool:
        return bool(problem.name == "conv2d")

    def happens(self, problem: Any) -> Any:
        more = [(0, max(axis.span - axis.padded, 0)) for axis in problem.axes]
        image = np.pad(problem.x, ((0, 0), (0, 0), *more), constant_values=BEYOND)
        return super().answer(problem.but(x=image))


@known(
    "B117",
    "google/XNNPACK#11118",
    "conv2d",
    clause="filters_span_their_group",
    at=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1))),
)
class PacksTheWeightsUnseen(Accepts):
    """Filters are packed as if they had the channels of the image, whatever their shape: the numbers of another filter
    are taken, or those behind the last."""

    rules = ("filters_span_their_group",)

    def slips(self, problem: Any) -> bool:
        return bool(problem.name == "conv2d")

    def happens(self, problem: Any) -> Any:
        k, _, r, s = problem.weight.shape
        shape = (k, problem.x.shape[1] // problem.groups, r, s)
        packed = found(problem.weight, np.arange(int(np.prod(shape)))).reshape(shape)
        return super().answer(problem.but(weight=rounded(packed, problem)))


@known(
    "B129",
    "tensorflow/tfjs#5902",
    "conv2d",
    clause="a_window_fits",
    at=lambda: Conv2d(x=filled((1, 1, 3, 3)), weight=filled((1, 1, 2, 2)), dilation=2),
    spared=lambda: Conv2d(x=filled((1, 1, 2, 2)), weight=filled((1, 1, 2, 2))),
    analog="an empty result, as no array has a negative size",
)
class GivesNegativeSizes(Accepts):
    """A dilated filter longer than the padded image is not refused: the size formula is followed below zero."""

    rules = ("a_window_fits",)

    def slips(self, problem: Any) -> bool:
        return problem.name == "conv2d" and any(a.dilation > 1 and not a.fits for a in problem.axes)

    def happens(self, problem: Any) -> Any:
        return np.zeros(tuple(max(size, 0) for size in problem.output_shape()), problem.dtype)


@known(
    "B189",
    "jax-ml/jax#11517",
    "conv2d",
    clause="padding_is_not_negative",
    at=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1))),
    spared=lambda: Conv2d(x=filled((1, 1, 2, 2)), weight=filled((1, 1, 1, 1))),
    analog="an empty result instead of the end of the process",
)
class CropsMoreThanThereIs(Accepts):
    """Negative padding that crops more rows or columns than there are is not refused."""

    rules = ("padding_is_not_negative", "a_window_fits")

    def slips(self, problem: Any) -> bool:
        return problem.name == "conv2d" and min(a.padded for a in problem.axes) < 0

    def happens(self, problem: Any) -> Any:
        return np.zeros(tuple(max(size, 0) for size in problem.output_shape()), problem.dtype)


@known(
    "B195",
    "scipy/scipy#8817",
    "pad2d",
    clause="reflection_stays_inside",
    at=lambda: Pad2d(x=filled((1, 1, 2, 2)), padding=0),
    setting="the limit of reflection instead of that of a kernel's origin",
)
class AllowsOneTooMany(Accepts):
    """The limit is checked with <= for <: reflection may be as long as the image, and reads one element outside it."""

    rules = ("reflection_stays_inside",)

    def slips(self, problem: Any) -> bool:
        return problem.name == "pad2d" and all(
            max(pair) <= n for n, pair in zip(problem.x.shape[2:], problem.padding, strict=True)
        )

    def happens(self, problem: Any) -> Any:
        n, c, h, w = problem.x.shape
        rows, columns = (
            np.where(at < 0, -at, np.where(at < size, at, 2 * (size - 1) - at))  # -1 and `size` are outside
            for size, at in (
                (size, np.arange(-before, size + after))
                for size, (before, after) in zip((h, w), problem.padding, strict=True)
            )
        )
        images = np.arange(n * c)[:, None, None] * h * w
        y = found(problem.x, images + rows[:, None] * w + columns)
        return rounded(y.reshape(n, c, rows.size, columns.size), problem)


@known(
    "B255",
    "keras-team/keras#18535",
    "conv2d",
    clause="padding_mode_is_known",
    at=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((2, 1, 1, 1)), padding=1, groups=2),
    choices=(3,),
    spared=lambda: Conv2d(x=filled((1, 2, 1, 1)), weight=filled((2, 2, 1, 1)), padding=1),
    analog="the mode of padding in capitals instead of a word for how much to pad",
)
class DoesNotKnowCapitals(Accepts):
    """Depthwise: the word for the padding, written in capitals, is neither known nor refused: columns go unpadded."""

    rules = ("padding_mode_is_known",)

    def slips(self, problem: Any) -> bool:
        word = problem.padding_mode
        return problem.name == "conv2d" and is_depthwise(problem) and word not in MODES and word.lower() in MODES

    def happens(self, problem: Any) -> Any:
        mode = problem.padding_mode.lower()
        return super().answer(problem.but(padding_mode=mode, padding=(problem.padding[0], (0, 0))))


@known(
    "B261",
    "pytorch/pytorch#189463",
    "conv2d_backward",
    clause="grad_output_has_the_shape_of_the_output",
    at=lambda: Conv2dBackward(
        x=filled((1, 1, 1, 1)),
        weight=filled((1, 1, 1, 1)),
        padding=1,
        padding_mode="replicate",
        grad_output=filled((1, 1, 3, 3)),
    ),
    choices=(1,),
    spared=lambda: Conv2dBackward(
        x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), padding=1, grad_output=filled((1, 1, 3, 3))
    ),
    setting="the gradient of a convolution that replicates instead of that of the padding alone",
)
class TrustsTheChannelsOfTheGradient(Accepts):
    """With replicated borders a gradient of another number of channels is not refused: it is read as if it had the
    right one."""

    rules = ("grad_output_has_the_shape_of_the_output",)

    def slips(self, problem: Any) -> bool:
        if problem.name != "conv2d_backward" or problem.padding_mode != "replicate" or problem.grad_output.ndim != 4:
            return False
        others = (0, 2, 3)
        shape, due = problem.grad_output.shape, problem.forward.output_shape()
        return any(map(any, problem.padding)) and all(shape[axis] == due[axis] for axis in others)

    def happens(self, problem: Any) -> Any:
        shape = problem.forward.output_shape()
        grad = found(problem.grad_output, np.arange(int(np.prod(shape)))).reshape(shape)
        return super().answer(problem.but(grad_output=rounded(grad, problem)))
