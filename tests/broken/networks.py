"""Bugs that show when operations follow one another, and those that the clauses of networks are about."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Op

from .base import Right, Tensor, broken, rounded, wide
from .conv2d import Positions, RightConv2d
from .pool import RightPool

LARGE = 1300  # an image of LeNet and the weights of a narrow one


@broken(
    LARGE,
    stack="answers_stay_as_they_were_given",
    conv_block="answers_stay_as_they_were_given",
    lenet5="answers_stay_as_they_were_given",
)
class WritesIntoOneBuffer(Right):
    """One output buffer serves every call: a layer writes over the answers of those before it."""

    def __init__(self) -> None:
        self.buffer = np.zeros(100_000)

    def answer(self, problem: Op) -> Any:
        y = super().answer(problem)
        if self.buffer.dtype != y.dtype:
            self.buffer = self.buffer.astype(y.dtype)
        held = self.buffer[: y.size].reshape(y.shape)
        held[...] = y
        return held


@broken(
    LARGE,
    100,
    stack="every_layer_is_within_its_bound",
    conv_block="every_layer_is_within_its_bound",
    lenet5="every_layer_is_within_its_bound repeating_a_call_repeats_the_bits",
)
class PoolsOntoTheLastResult(Right):
    """The buffer of the maximum is not cleared: what the last pooling of this size left there still counts."""

    def __init__(self) -> None:
        self.left: dict[tuple[int, ...], Tensor] = {}

    def max_pool2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        y = np.maximum(y, self.left.get(y.shape, y))
        self.left[y.shape] = y / 2 + 1
        return y


class FollowsUp(Right):
    """Remembers the answer of the last call, to see whether the next layer goes on with it."""

    last: Tensor | None = None
    name = ""

    def answer(self, problem: Op) -> Any:
        y = super().answer(problem)
        self.last, self.name = y, problem.name
        return y

    def goes_on(self, problem: Any) -> bool:
        """Is this layer's input what came out last?"""
        x = problem.arrays()["x"]
        return self.last is not None and self.last.size == x.size > 0 and bool((self.last.ravel() == x.ravel()).all())


@broken(
    LARGE,
    stack="every_layer_is_within_its_bound",
    conv_block="every_layer_is_within_its_bound rectifier_and_average_pooling_do_not_commute exact_on_integers",
    lenet5="every_layer_is_within_its_bound",
)
class SkipsTheRectifierOfAConvolution(FollowsUp):
    """A rectifier right after a convolution of the same size is taken for fused with it, and skipped."""

    def relu(self, problem: Any) -> Any:
        fused = self.name == "conv2d" and self.goes_on(problem)
        y = self.answer(problem)
        return problem.x.copy() if fused else y


@broken(LARGE, stack="size_follows_the_formula the_field_is_the_exact_set lenets_field_is_16_and_then_32")
class SwapsTheStridesOfLaterLayers(FollowsUp):
    """A layer that goes on with the answer before it moves by (columns, rows) instead of (rows, columns)."""

    def swapped(self, problem: Any) -> Any:
        later = problem.but(stride=problem.stride[::-1]) if self.goes_on(problem) else problem
        return self.answer(later)

    def conv2d(self, problem: Any) -> Any:
        return self.swapped(problem)

    def max_pool2d(self, problem: Any) -> Any:
        return self.swapped(problem)

    def avg_pool2d(self, problem: Any) -> Any:
        return self.swapped(problem)


@broken(
    LARGE,
    stack="flattening_goes_by_channel_row_column",
    lenet5="every_layer_is_within_its_bound the_published_sizes an_image_of_28_by_28",
)
class FlattensByRowColumnChannel(FollowsUp):
    """What comes from an image is flattened with the channel last before it meets the weights."""

    def linear(self, problem: Any) -> Any:
        image = self.last
        if image is not None and image.ndim == 4 and self.goes_on(problem):
            x = image.transpose(0, 2, 3, 1).reshape(problem.x.shape)
            problem = problem.but(x=np.array(x, order="C"))
        return self.answer(problem)


@broken(
    LARGE,
    lenet5="every_layer_is_within_its_bound the_published_sizes an_image_of_28_by_28 the_form_of_1998"
    " ones_through_the_modern_network",
)
class IsRightForSmallImages(Right):
    """Images of more than 200 outputs are made in tiles, and the last row of the last tile is left out."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        if y.size > 200:
            y[-1, -1, -1] = 0
        return y


# Where it looks.


@broken(
    LARGE,
    100,
    stack="the_field_is_the_exact_set the_field_spans_its_hull a_dilated_field_has_holes"
    " strides_and_dilations_make_it_fifteen",
)
class FillsTheHoles(RightConv2d):
    """The size follows the dilation; the taps lie side by side."""

    def positions(self, problem: Any) -> tuple[Positions, Positions]:
        rows, columns = (w.positions[:, :1] + np.arange(w.taps) for w in problem.axes)
        return rows, columns


@broken(
    LARGE,
    stack="a_stride_enlarges_no_field_of_its_own_layer the_field_is_the_exact_set"
    " strides_and_dilations_make_it_fifteen",
)
class SpreadsItsTapsByTheStride(RightConv2d):
    """The step from window to window is taken from tap to tap as well, as far as the image goes."""

    def positions(self, problem: Any) -> tuple[Positions, Positions]:
        rows, columns = (
            np.minimum(w.positions[:, :1] + np.arange(w.taps) * w.dilation * w.stride, w.length - 1)
            for w in problem.axes
        )
        return rows, columns


@broken(
    LARGE,
    stack="rectifying_changes_no_field every_layer_is_within_its_bound a_dilated_field_has_holes",
    conv_block="layers_of_single_pixels_commute_with_rolls a_normalization_sees_the_whole_sample",
    lenet5="every_layer_is_within_its_bound",
)
class RectifiesAllButTheLastColumn(Right):
    """The loop over the columns ends one too early and leaves zeros."""

    def relu(self, problem: Any) -> Any:
        y = self.answer(problem)
        y[..., -1:] = 0
        return y


@broken(
    LARGE,
    100,
    stack="shifts_on_the_torus a_global_maximum_is_invariant a_global_average_is_invariant"
    " zeros_around_break_what_wrapping_keeps",
    conv_block="the_block_commutes_with_rolls",
)
class WrapsNothingRound(RightConv2d):
    """Circular padding is zeros."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        return super().source(at, length, "zeros" if mode == "circular" else mode)


@broken(
    LARGE,
    stack="zeros_around_break_what_wrapping_keeps",
)
class WrapsEverythingRound(RightConv2d):
    """Zero padding is circular."""

    def source(self, at: Positions, length: int, mode: str) -> Positions:
        return super().source(at, length, "circular" if mode == "zeros" else mode)


@broken(
    LARGE,
    stack="shifts_by_cropping the_field_spans_its_hull three_threes_see_seven lenets_field_is_16_and_then_32"
    " a_shift_by_less_than_the_strides a_fully_connected_end_is_not_invariant",
)
class RepeatsTheSecondRow(Right):
    """The first row and column of an image are made like the second ones."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        for axis in (2, 3):
            if y.shape[axis] > 1:
                y.swapaxes(0, axis)[0] = y.swapaxes(0, axis)[1]
        return y


@broken(LARGE, stack="a_fully_connected_end_is_not_invariant", lenet5="every_layer_is_within_its_bound")
class WeighsAllInputsAlike(Right):
    """Each output of a fully connected layer is the sum of the inputs times the mean of the weights."""

    def linear(self, problem: Any) -> Any:
        mean = wide(problem.weight).mean(axis=1, keepdims=True) if problem.weight.size else wide(problem.weight)
        weight = np.broadcast_to(mean, problem.weight.shape).astype(problem.dtype)
        return self.answer(problem.but(weight=np.array(weight, order="C")))


# What it computes.


@broken(
    LARGE,
    stack="whole_factors_move_out powers_of_two_move_out every_layer_is_within_its_bound",
    lenet5="powers_of_two_move_out",
)
class StopsAtTwo(Right):
    """What is above 2 becomes 2."""

    def relu(self, problem: Any) -> Any:
        return np.minimum(self.answer(problem), np.asarray(2, problem.dtype))


@broken(
    LARGE,
    lenet5="zeros_through_the_network_of_1998 the_fifth_layer_is_a_convolution the_form_of_1998"
    " the_published_sizes exact_on_integers",
)
class StartsAtOne(Right):
    """The accumulator of a fully connected layer starts at one."""

    def linear(self, problem: Any) -> Any:
        return rounded(wide(problem.expected()) + 1, problem)


@broken(LARGE, 100, conv_block="rectifier_and_max_pooling_commute", stack="every_layer_is_within_its_bound")
class TakesTheLargestModulus(RightPool):
    """The element of the largest modulus is taken for the largest."""

    outside = 0.0

    def largest(self, seen: Any) -> Any:
        flat = seen.reshape(*seen.shape[:4], seen.shape[4] * seen.shape[5])
        return np.take_along_axis(flat, np.abs(flat).argmax(axis=4)[..., None], axis=4)[..., 0]


@broken(
    LARGE,
    100,
    conv_block="normalization_comes_before_the_rectifier a_normalization_sees_the_whole_sample",
)
class RectifiesBeforeItNormalizes(Right):
    """The rectifier is fused into the normalization, on the wrong side of it."""

    def group_norm(self, problem: Any) -> Any:
        shifted = wide(problem.x) - wide(problem.x).mean()
        return self.answer(problem.but(x=np.maximum(shifted, 0).astype(problem.dtype)))


@broken(
    LARGE,
    conv_block="normalization_over_the_image_commutes_with_rolls a_normalization_sees_the_whole_sample"
    " every_layer_is_within_its_bound",
)
class NormalizesEachColumn(Right):
    """Mean and variance are those of one column, in each group."""

    def group_norm(self, problem: Any) -> Any:
        y = self.answer(problem)
        half = max(problem.x.shape[3] // 2, 1)
        y[..., :half] = self.answer(problem.but(x=np.array(problem.x[..., :half], order="C")))
        return y


@broken(
    LARGE,
    conv_block="weights_for_every_position_break_rolls every_layer_is_within_its_bound",
)
class ScalesEveryPositionAlike(Right):
    """Of the weights of layer normalization only the first one of each channel is read."""

    def layer_norm(self, problem: Any) -> Any:
        if problem.weight is not None:
            first = problem.weight[:, :1, :1]
            problem = problem.but(weight=np.array(np.broadcast_to(first, problem.weight.shape), order="C"))
        return self.answer(problem)


@broken(LARGE, lenet5="an_image_of_28_by_28 size_follows_the_formula")
class PadsNothing(Right):
    """Padding is left out."""

    def conv2d(self, problem: Any) -> Any:
        return self.answer(problem.but(padding=0))


@broken(LARGE, conv_block="batch_normalization_folds_into_the_convolution every_layer_is_within_its_bound")
class NormalizesAnewInEvaluation(Right):
    """In evaluation, too, batch normalization takes mean and variance of the batch."""

    def batch_norm2d(self, problem: Any) -> Any:
        anew = problem.but(training=True)
        return self.answer(problem if anew.broken_rules() else anew)
