"""Bugs that any operation can have: in what comes back, in what is read, in what is remembered, in what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import InvalidProblem, Op

from .base import Right, Tensor, broken, each, masked, significant, wide


@broken(every="dtype_is_that_of_x")
class AnswersInFloat64(Right):
    """The result comes back in the accumulator's float64."""

    def answer(self, problem: Op) -> Any:
        return masked(problem).expected()


@broken(every="dtype_is_that_of_x")
class AnswersLists(Right):
    """The result comes back as nested lists."""

    def answer(self, problem: Op) -> Any:
        return each(super().answer(problem), lambda y: y.tolist())


@broken(every="size_follows_the_formula")
class AnswersNone(Right):
    """The result is written into a buffer of its own and nothing is returned."""

    def answer(self, problem: Op) -> Any:
        super().answer(problem)


@broken(every="size_follows_the_formula exact_on_integers")
class TransposesTheResult(Right):
    """Rows and columns of the result are exchanged, as a column-major library leaves them."""

    def answer(self, problem: Op) -> Any:
        return each(super().answer(problem), lambda y: y.swapaxes(-1, -2) if y.ndim > 1 else np.append(y, y[-1:]))


@broken(
    every="one_pixel",
    linear="one_number",
    relu="one_number",
    pad2d="size_follows_the_formula",
    layer_norm="one_value",
    dropout="one_number",
    linear_backward="one_number",
    relu_backward="one_number",
    layer_norm_backward="one_value",
)
class SqueezesTheResult(Right):
    """Axes of length one are lost."""

    def answer(self, problem: Op) -> Any:
        return each(super().answer(problem), np.squeeze)


@broken(every="exact_on_integers within_the_bound")
class MissesTheLastElement(Right):
    """The loop over the outputs ends one too early and leaves the last at zero."""

    def answer(self, problem: Op) -> Any:
        def missed(y: Tensor) -> Tensor:
            y.reshape(-1)[-1:] = 0
            return y

        return each(super().answer(problem), missed)


@broken(every="exact_on_integers within_the_bound")
class AnswersNaN(Right):
    """The output is never written: NaN throughout."""

    def answer(self, problem: Op) -> Any:
        return each(super().answer(problem), lambda y: np.full_like(y, np.nan))


@broken(every="images_are_independent")
class RepeatsTheFirstImage(Right):
    """Every image of the batch gets the first one's answer: the batch is never advanced."""

    def answer(self, problem: Op) -> Any:
        y = super().answer(problem)
        return np.array(np.broadcast_to(y[:1], y.shape))


@broken(every="images_are_independent", stack="", conv_block="", lenet5="")
class ForgetsTheLastBlock(Right):
    """Images are computed in blocks of four; from the second block on one that is not full is left out."""

    def answer(self, problem: Op) -> Any:
        whole = len(problem.arrays()["x"]) // 4 * 4

        def cut(y: Tensor) -> Tensor:
            y[whole or len(y) :] = 0
            return y

        return each(super().answer(problem), cut)


@broken(every="one_nan_touches_its_field")
class TransformsTheWholeImage(Right):
    """A NaN or an infinity in any array makes every element NaN, as a transform of the whole image does."""

    def answer(self, problem: Op) -> Any:
        lost = not all(np.isfinite(wide(a)).all() for a in problem.arrays().values())
        return each(super().answer(problem), lambda y: np.full_like(y, np.nan) if lost else y)


@broken(every="one_nan_touches_its_field")
class TakesNaNForMissing(Right):
    """NaN is taken for a missing number and becomes zero."""

    def answer(self, problem: Op) -> Any:
        return super().answer(problem.but(**{name: np.nan_to_num(a) for name, a in problem.arrays().items()}))


SUMS = ("convolve2d", "conv2d", "locally_connected2d", "avg_pool2d", "conv2d_backward", "avg_pool2d_backward")


@broken(
    **dict.fromkeys(SUMS, "one_nan_touches_its_field what_is_not_finite_passes_every_tap"),
    **dict.fromkeys(("linear", "linear_backward"), "one_nan_touches_its_field"),
)
class MakesNaNOfInfinity(Right):
    """What an infinity in an array makes infinite is NaN, as numbers that are taken apart leave it."""

    def answer(self, problem: Op) -> Any:
        lost = not all(np.isfinite(wide(a)).all() for a in problem.arrays().values())
        y = super().answer(problem)
        return each(y, lambda y: np.where(np.isinf(y), y.dtype.type(np.nan), y)) if lost else y


@broken(
    pad2d="an_empty_batch",
    conv2d="an_empty_batch",
    locally_connected2d="an_empty_batch",
    max_pool2d="an_empty_batch",
    avg_pool2d="an_empty_batch",
    relu="an_empty_array",
    linear="an_empty_batch no_inputs",
    batch_norm2d="an_empty_batch",
    sync_batch_norm2d="an_empty_batch",
    layer_norm="an_empty_batch",
    group_norm="an_empty_batch",
    instance_norm2d="an_empty_batch",
    pixel_group_norm="an_empty_batch",
    local_response_norm="an_empty_batch",
    conv2d_backward="an_empty_batch",
    linear_backward="an_empty_batch no_inputs",
    relu_backward="an_empty_array",
    avg_pool2d_backward="an_empty_batch",
    max_pool2d_backward="an_empty_batch",
    batch_norm2d_backward="an_empty_batch",
    layer_norm_backward="an_empty_batch",
    group_norm_backward="an_empty_batch",
    stack="an_empty_batch",
    conv_block="an_empty_batch",
    lenet5="an_empty_batch",
)
class FlattensTheImages(Right):
    """The images are flattened by a reshape to (N, -1), which has no answer for an empty array."""

    def answer(self, problem: Op) -> Any:
        x = problem.arrays()["x"]
        if not x.size:
            raise ValueError("cannot reshape array of size 0 into unknown shape")
        return super().answer(problem)


@broken(
    convolve2d="no_pixels",
    pad2d="no_channels",
    conv2d="no_filters",
    locally_connected2d="no_filters",
    max_pool2d="no_channels",
    avg_pool2d="no_channels",
    linear="no_outputs",
    conv2d_backward="no_channels no_filters no_pixels",
    linear_backward="no_inputs no_outputs",
    avg_pool2d_backward="no_channels",
    max_pool2d_backward="no_channels",
)
class GivesOneElementAtLeast(Right):
    """An axis of length 0 comes back with length 1, where images are accepted that have none."""

    def answer(self, problem: Op) -> Any:
        return each(super().answer(problem), lambda y: y if y.size else np.zeros(np.maximum(y.shape, 1), y.dtype))


@broken(pad2d="no_pixels", conv2d="no_pixels", locally_connected2d="no_pixels")
class StartsAtThePixels(Right):
    """The output is written from the first pixel on, and not at all where there is none."""

    def answer(self, problem: Op) -> Any:
        y = super().answer(problem)
        return y if min(problem.arrays()["x"].shape[2:]) else np.full_like(y, 1e30)


@broken(every="within_the_bound")
class RoundsToEightBits(Right):
    """Arrays are rounded to bfloat16's 8 bits on the way in, and nothing says so."""

    def answer(self, problem: Op) -> Any:
        arrays = problem.arrays()
        return super().answer(
            problem.but(
                **{
                    name: significant(arrays[name], 8).astype(problem.dtype)
                    for name in ("x", "grad_output")
                    if name in arrays
                }
            )
        )


def _without_subnormals(array: Tensor) -> Tensor:
    return np.where(np.abs(array) < np.finfo(array.dtype).smallest_normal, np.zeros((), array.dtype), array)


def flushed(problem: Op) -> Any:
    """The answer of arithmetic without subnormals, in and out."""
    read = problem.but(**{name: _without_subnormals(a) for name, a in problem.arrays().items()})
    return each(Right().answer(read), _without_subnormals)


@broken(
    examples=100,
    **dict.fromkeys(
        ("pad2d", "conv2d", "max_pool2d", "avg_pool2d", "relu", "linear", "conv2d_backward"), "within_the_bound"
    ),
)
class FlushesToZero(Right):
    """Subnormal numbers are taken for zero, and nothing says so."""

    def answer(self, problem: Op) -> Any:
        problem.validate()
        return flushed(problem)


@broken(examples=100, **dict.fromkeys(("relu", "pad2d", "conv2d", "max_pool2d", "linear"), "within_the_bound"))
class Saturates(Right):
    """What is beyond a tenth of the range stays there: the end is kept away from."""

    def answer(self, problem: Op) -> Any:
        most = np.finfo(problem.dtype).max / 10
        return each(super().answer(problem), lambda y: np.clip(y, -most, most))


@broken(every="exact_on_integers")
class Raises(Right):
    """Every call raises, as with a library that is not there."""

    def answer(self, problem: Op) -> Any:
        raise OSError("libfast.so: cannot open shared object file")


@broken(every="exact_on_integers")
class SupportsRaises(Right):
    """The predicate that states the domain raises on valid problems."""

    def supports(self, problem: Op) -> bool:
        return bool(problem.layout == "NHWC")  # type: ignore[attr-defined]


@broken(
    convolve2d="ranks_are_right the_kernel_has_a_centre",
    pad2d="x_has_four_axes padding_is_a_pair_of_pairs padding_is_whole padding_is_not_negative mode_is_known"
    " reflection_stays_inside wrapping_goes_round_once there_is_something_to_repeat",
    conv2d="ranks_are_right parameters_are_pairs parameters_are_whole stride_is_positive dilation_is_positive"
    " groups_is_positive padding_is_not_negative filters_have_taps padding_mode_is_known groups_divide_channels"
    " groups_divide_filters filters_span_their_group bias_is_one_per_filter a_window_fits reflection_stays_inside"
    " wrapping_goes_round_once there_is_something_to_repeat",
    locally_connected2d="ranks_are_right parameters_are_pairs parameters_are_whole stride_is_positive"
    " padding_is_not_negative filters_have_taps filters_span_the_channels a_window_fits"
    " there_is_a_unit_for_each_window bias_is_one_per_filter_and_unit",
    max_pool2d="x_has_four_axes parameters_are_pairs parameters_are_whole kernel_size_is_positive stride_is_positive"
    " dilation_is_positive padding_is_not_negative a_window_fits every_window_holds_input",
    avg_pool2d="x_has_four_axes parameters_are_pairs parameters_are_whole kernel_size_is_positive stride_is_positive"
    " padding_is_not_negative a_window_fits every_window_holds_input",
    relu="numbers_are_ordered",
    linear="ranks_are_right inner_sizes_agree bias_is_one_per_output",
    batch_norm2d="x_has_four_axes weight_is_one_per_channel bias_is_one_per_channel running_mean_is_one_per_channel"
    " running_var_is_one_per_channel running_statistics_come_together momentum_is_a_share more_than_one_value"
    " evaluation_needs_running_statistics eps_is_not_negative",
    sync_batch_norm2d="x_has_four_axes weight_is_one_per_channel bias_is_one_per_channel"
    " running_mean_is_one_per_channel running_var_is_one_per_channel running_statistics_come_together"
    " momentum_is_a_share more_than_one_value shards_are_whole shards_are_not_negative shards_add_up_to_the_batch"
    " eps_is_not_negative",
    layer_norm="axes_is_whole axes_leave_the_images weight_has_the_normalized_shape bias_has_the_normalized_shape"
    " eps_is_not_negative",
    group_norm="x_has_four_axes weight_is_one_per_channel bias_is_one_per_channel groups_is_whole groups_is_positive"
    " groups_divide_the_channels eps_is_not_negative",
    instance_norm2d="x_has_four_axes weight_is_one_per_channel bias_is_one_per_channel eps_is_not_negative",
    local_response_norm="x_has_four_axes size_is_whole size_is_positive",
    pixel_group_norm="x_has_four_axes weight_is_one_per_channel bias_is_one_per_channel groups_is_whole"
    " groups_is_positive groups_divide_the_channels eps_is_not_negative",
    dropout="x_is_floating p_is_a_probability seed_is_whole seed_is_in_range",
    dropout2d="x_has_four_axes x_is_floating p_is_a_probability seed_is_whole seed_is_in_range",
    conv2d_backward="ranks_are_right parameters_are_pairs parameters_are_whole stride_is_positive"
    " dilation_is_positive groups_is_positive padding_is_not_negative filters_have_taps padding_mode_is_known"
    " groups_divide_channels groups_divide_filters filters_span_their_group bias_is_one_per_filter a_window_fits"
    " reflection_stays_inside wrapping_goes_round_once there_is_something_to_repeat"
    " grad_output_has_the_shape_of_the_output",
    linear_backward="ranks_are_right inner_sizes_agree bias_is_one_per_output grad_output_has_the_shape_of_the_output",
    relu_backward="numbers_are_ordered grad_output_has_the_shape_of_the_output",
    avg_pool2d_backward="x_has_four_axes parameters_are_pairs parameters_are_whole kernel_size_is_positive"
    " stride_is_positive padding_is_not_negative a_window_fits every_window_holds_input"
    " grad_output_has_the_shape_of_the_output",
    max_pool2d_backward="x_has_four_axes parameters_are_pairs parameters_are_whole kernel_size_is_positive"
    " stride_is_positive dilation_is_positive padding_is_not_negative a_window_fits every_window_holds_input"
    " grad_output_has_the_shape_of_the_output",
    batch_norm2d_backward="x_has_four_axes weight_is_one_per_channel bias_is_one_per_channel"
    " running_mean_is_one_per_channel running_var_is_one_per_channel running_statistics_come_together"
    " momentum_is_a_share more_than_one_value evaluation_needs_running_statistics eps_is_not_negative"
    " grad_output_has_the_shape_of_the_output",
    layer_norm_backward="axes_is_whole axes_leave_the_images weight_has_the_normalized_shape"
    " bias_has_the_normalized_shape eps_is_not_negative grad_output_has_the_shape_of_the_output",
    group_norm_backward="x_has_four_axes weight_is_one_per_channel bias_is_one_per_channel groups_is_whole"
    " groups_is_positive groups_divide_the_channels eps_is_not_negative grad_output_has_the_shape_of_the_output",
)
class RefusesNothing(Right):
    """An invalid problem is answered with zeros."""

    def answer(self, problem: Op) -> Any:
        try:
            return super().answer(problem)
        except InvalidProblem:
            return np.zeros(problem.arrays()["x"].shape, np.float32)
