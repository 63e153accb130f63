"""Bugs of gradients: of all backward operations, of convolution, of the fully connected layer and of the rectifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Right, broken, each, rounded, wide

CONV_EDGES = (
    "windows_wholly_on_the_padding a_filter_as_large_as_the_padded_image depthwise_filters padding_at_its_limit"
    " one_tap_and_as_many_filters_as_channels"
)
POOL_EDGES = (
    "a_window_as_large_as_the_image a_stride_beyond_the_window padding_of_half_a_window"
    " a_window_as_large_as_the_padded_image a_window_with_one_pixel"
)


class Gradients(Right):
    """All backward operations by one method, the others right."""

    def answer(self, problem: Any) -> Any:
        right = super().answer(problem)
        return self.wrong(problem, right) if problem.name.endswith("_backward") else right

    def wrong(self, problem: Any, right: Any) -> Any:
        raise NotImplementedError

    def of(self, problem: Any, **changes: Any) -> Any:
        """The right gradients of another problem."""
        return super().answer(problem.but(**changes))


def first(answer: Any, change: Any) -> Any:
    """The answer with grad_x changed."""
    return (change(answer[0]), *answer[1:]) if isinstance(answer, tuple) else change(answer)


LINEAR_LAWS = "linear_in_the_gradient"


@broken(
    60,
    conv2d_backward=f"{CONV_EDGES} exact_on_integers",
    avg_pool2d_backward=f"{POOL_EDGES} exact_on_integers",
    max_pool2d_backward=f"{POOL_EDGES} exact_on_integers",
)
class SkipsTheLastRowOfWindows(Gradients):
    """The loop over the rows of the output ends one too early."""

    def wrong(self, problem: Any, right: Any) -> Any:
        grad = np.array(problem.grad_output)
        grad[:, :, -1:] = 0
        return self.of(problem, grad_output=grad)


@broken(elements=600, conv2d_backward="one_pixel_outshines_the_rest within_the_bound")
class TransformsTheImage(Gradients):
    """The gradient of the filters by Fourier transforms of whole images in float32, and without a word of it."""

    def wrong(self, problem: Any, right: Any) -> Any:
        x, grad, (r, s) = problem.x, problem.grad_output, problem.weight.shape[2:]
        plain = problem.stride == problem.dilation == (1, 1) and problem.padding == ((0, 0), (0, 0))
        if not plain or problem.groups > 1 or x.dtype != np.float32 or not grad.size:
            return right
        seen, used = np.fft.rfft2(x), np.fft.rfft2(grad, x.shape[2:])
        made = np.fft.irfft2(np.einsum("nchw,nkhw->kchw", seen, used.conj()), x.shape[2:])
        return (right[0], rounded(made[:, :, :r, :s], problem), right[2])


@broken(
    60,
    examples=100,  # of 30 cases few have sums of a single gradient
    max_pool2d_backward="within_the_bound",
    linear_backward="within_the_bound",
    layer_norm_backward="within_the_bound",
)
class AddsUpTenTimesAsMuch(Gradients):
    """Gradients that are added up are multiplied by ten before, and by a tenth after: a single one is off by an ulp."""

    def wrong(self, problem: Any, right: Any) -> Any:
        def scaled(y: Any) -> Any:
            return None if y is None else (y * y.dtype.type(10)) * y.dtype.type(0.1)

        if problem.name == "max_pool2d_backward":
            return scaled(right)
        return (*right[:2], scaled(right[2])) if isinstance(right, tuple) else right


@broken(
    60,
    conv2d_backward=LINEAR_LAWS,
    linear_backward=LINEAR_LAWS,
    relu_backward=LINEAR_LAWS,
    avg_pool2d_backward=LINEAR_LAWS,
    max_pool2d_backward=LINEAR_LAWS,
    batch_norm2d_backward=LINEAR_LAWS,
    layer_norm_backward=LINEAR_LAWS,
    group_norm_backward=LINEAR_LAWS,
)
class ClipsTheGradients(Gradients):
    """Gradients are kept within one and a half, against explosion."""

    def wrong(self, problem: Any, right: Any) -> Any:
        return each(right, lambda y: np.clip(y, -1.5, 1.5).astype(y.dtype))


@broken(
    60,
    conv2d_backward="no_gradient_gives_none",
    linear_backward="no_gradient_gives_none",
    relu_backward="no_gradient_gives_none",
    avg_pool2d_backward="no_gradient_gives_none values_of_the_image_do_not_matter",
    max_pool2d_backward="no_gradient_gives_none only_the_order_of_the_elements_matters",
    batch_norm2d_backward="no_gradient_gives_none evaluation_does_not_see_the_image",
    layer_norm_backward="no_gradient_gives_none",
    group_norm_backward="no_gradient_gives_none",
)
class StartsAtTheInput(Gradients):
    """The buffer of grad_x is that of x, and is added to."""

    def wrong(self, problem: Any, right: Any) -> Any:
        return first(right, lambda y: rounded(wide(y) + wide(problem.x), problem))


@broken(
    60,
    conv2d_backward="the_gradient_is_the_adjoint the_gradient_of_the_weights_is_the_adjoint the_animated_example",
    linear_backward="the_gradient_is_the_adjoint the_gradient_of_the_weights_is_the_adjoint two_rows",
    relu_backward="the_input_times_its_gradient closed_at_zero",
    avg_pool2d_backward="the_gradient_is_the_adjoint shares_of_a_gradient",
    max_pool2d_backward="the_input_times_its_gradient the_largest_gets_it_all",
)
class CountsTwice(Gradients):
    """What several threads add atomically is added by two of them."""

    def wrong(self, problem: Any, right: Any) -> Any:
        return each(right, lambda y: y + y)


@broken(60, conv2d_backward="images_add_up exact_on_integers", linear_backward="images_add_up two_rows")
class KeepsTheLastImage(Gradients):
    """grad_weight is written, not added to: that of the last image is left."""

    def wrong(self, problem: Any, right: Any) -> Any:
        grad_x, _, grad_bias = right
        return grad_x, self.of(problem, x=problem.x[-1:], grad_output=problem.grad_output[-1:])[1], grad_bias


@broken(
    60,
    conv2d_backward="the_bias_collects_its_outputs images_add_up",
    linear_backward="the_bias_collects_its_outputs images_add_up two_rows",
)
class TakesTheMeanOfTheBatch(Gradients):
    """grad_bias is the mean over the images."""

    def wrong(self, problem: Any, right: Any) -> Any:
        grad_x, grad_weight, grad_bias = right
        n = max(problem.x.shape[0], 1)
        return grad_x, grad_weight, None if grad_bias is None else rounded(wide(grad_bias) / n, problem)


@broken(
    60,
    conv2d_backward="values_of_the_bias_do_not_matter exact_on_integers",
    linear_backward="values_of_the_bias_do_not_matter exact_on_integers",
)
class AddsTheBias(Gradients):
    """The epilogue of the forward operation was left on: the bias is added to grad_output."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.bias is None:
            return right
        bias = problem.bias.reshape(-1, *(1,) * (problem.grad_output.ndim - 2))
        return self.of(problem, grad_output=(problem.grad_output + bias).astype(problem.dtype))


# Convolution.


@broken(60, conv2d_backward="the_gradient_is_the_adjoint the_gradient_of_the_image_is_a_convolution exact_on_integers")
class FlipsTheFilters(Gradients):
    """grad_x is computed with the filters turned round."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "conv2d_backward":
            return right
        return (self.of(problem, weight=np.array(problem.weight[:, :, ::-1, ::-1]))[0], *right[1:])


@broken(
    60,
    conv2d_backward="the_gradient_of_the_weights_is_the_adjoint the_gradient_of_the_filters_is_a_convolution"
    " exact_on_integers",
)
class FlipsTheGradientOfTheFilters(Gradients):
    """grad_weight comes out turned round."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "conv2d_backward":
            return right
        return right[0], np.array(right[1][:, :, ::-1, ::-1]), right[2]


@broken(60, conv2d_backward="the_border_folds_back what_the_border_copies padding_at_its_limit")
class CutsTheBorderOff(Gradients):
    """The gradient of the border is dropped in every padding mode."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "conv2d_backward":
            return right
        return (self.of(problem, padding_mode="zeros")[0], *right[1:])


@broken(60, conv2d_backward="gradients_of_filters_see_the_padded_image what_the_border_copies")
class PadsTheFiltersImageWithZeros(Gradients):
    """grad_weight sees zeros around the image in every padding mode."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "conv2d_backward":
            return right
        return right[0], self.of(problem, padding_mode="zeros")[1], right[2]


@broken(60, conv2d_backward="groups_are_separate exact_on_integers")
class MixesTheGroups(Gradients):
    """Groups take the filters of their neighbours."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "conv2d_backward":
            return right
        shifted = np.roll(problem.weight, problem.weight.shape[0] // problem.groups, axis=0)
        return (self.of(problem, weight=shifted)[0], *right[1:])


@broken(60, conv2d_backward="stride_is_zero_stuffing the_animated_example exact_on_integers")
class DropsPhases(Gradients):
    """With a stride, only every such row of grad_x is computed."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "conv2d_backward":
            return right
        kept = np.zeros_like(right[0])
        rows = problem.stride[0]
        kept[:, :, ::rows] = right[0][:, :, ::rows]
        return (kept, *right[1:])


@broken(60, conv2d_backward="a_stride_beyond_the_filter within_the_bound")
class LeavesUnseenPixels(Gradients):
    """Pixels that no tap lies on are never written."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "conv2d_backward":
            return right
        ones = problem.but(weight=np.ones_like(problem.weight), grad_output=np.ones_like(problem.grad_output))
        return (np.where(ones.expected()[0] == 0, 77, right[0]).astype(problem.dtype), *right[1:])


@broken(60, conv2d_backward="dilation_is_zero_stuffing exact_on_integers")
class ForgetsTheHoles(Gradients):
    """grad_weight takes the taps side by side, from the corner of the window."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "conv2d_backward":
            return right
        _, _, i, j = problem.grad_output.shape
        dense = problem.forward.but(dilation=(1, 1))
        grad = np.zeros(dense.output_shape(), problem.dtype)
        grad[:, :, :i, :j] = problem.grad_output
        return right[0], self.of(problem, dilation=(1, 1), grad_output=grad)[1], right[2]


# The fully connected layer.


@broken(60, linear_backward="square_weights")
class TransposesSquareWeights(Gradients):
    """Square weights are taken as (inputs, outputs)."""

    def wrong(self, problem: Any, right: Any) -> Any:
        square = problem.weight.ndim == 2 and problem.weight.shape[0] == problem.weight.shape[1]
        if problem.name != "linear_backward" or not square:
            return right
        return (self.of(problem, weight=problem.weight.T)[0], *right[1:])


@broken(60, linear_backward="no_outputs")
class NeedsAnOutput(Gradients):
    """Without outputs nothing comes back for x."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name != "linear_backward" or problem.weight.shape[0]:
            return right
        return (np.zeros((0, 0), problem.dtype), *right[1:])


# The rectifier.


class Slope(Right):
    """A rectifier with a slope of its own."""

    def relu_backward(self, problem: Any) -> Any:
        problem.validate()
        with np.errstate(invalid="ignore"):
            return rounded(self.slope(wide(problem.x), wide(problem.grad_output)), problem)

    def slope(self, x: Array, g: Array) -> Array:
        raise NotImplementedError


@broken(relu_backward="closed_at_zero exact_on_integers")
class IsOpenAtZero(Slope):
    """The gradient passes at x = 0."""

    def slope(self, x: Array, g: Array) -> Array:
        return np.where(x >= 0, g, 0)


@broken(relu_backward="it_is_the_gradient_times_the_slope exact_on_integers")
class RectifiesTheGradient(Slope):
    """Negative gradients are dropped as well, as guided backpropagation does."""

    def slope(self, x: Array, g: Array) -> Array:
        return np.where((x > 0) & (g > 0), g, 0)


@broken(relu_backward="only_signs_of_the_input_matter exact_on_integers within_the_bound")
class StopsAtSix(Slope):
    """The slope of a rectifier that ends at 6."""

    def slope(self, x: Array, g: Array) -> Array:
        return np.where((x > 0) & (x < 6), g, 0)


@broken(relu_backward="what_is_closed_lets_nothing_through")
class ClearsWhatIsNotFinite(Slope):
    """A gradient that is no number, or infinite, is set to zero wherever it is."""

    def slope(self, x: Array, g: Array) -> Array:
        return np.where((x > 0) & np.isfinite(g), g, 0)


@broken(
    conv2d_backward="what_is_not_finite_passes_every_tap", avg_pool2d_backward="what_is_not_finite_passes_every_tap"
)
class GivesNothingInfiniteToTheLastTap(Gradients):
    """What is not finite is not given to the pixel under the last tap of its window."""

    def wrong(self, problem: Any, right: Any) -> Any:
        if problem.name not in ("conv2d_backward", "avg_pool2d_backward"):
            return right
        finite = np.isfinite(wide(problem.grad_output))
        without = self.of(problem, grad_output=np.where(finite, problem.grad_output, 0).astype(problem.dtype))

        def kept(grad_x: Any) -> Any:
            made, other = np.array(grad_x), without[0] if isinstance(without, tuple) else without
            rows, columns = problem.forward.axes
            for n, _, i, j in np.argwhere(~finite):
                if rows.inside[i, -1] and columns.inside[j, -1]:
                    at = n, slice(None), rows.positions[i, -1], columns.positions[j, -1]
                    made[at] = other[at]
            return made

        return first(right, kept)
