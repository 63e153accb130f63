"""Two-dimensional convolution as convolutional networks use it: a correlation."""

from __future__ import annotations

from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from . import conv2d_compositions, conv2d_equals, conv2d_examples, conv2d_features, conv2d_laws, conv2d_shifts, rules
from .algorithms import DIRECT, of_convolution
from .dot import Factors, as_float, exact_dot, judge_dot, likely_dot
from .laws import enlarged
from .op import CORE, STRICT, Op, Padding, Pair, Shape, Tensor, operation, rule
from .pad2d import MODES, mode_allows, padded
from .pick import Pick
from .rounding import Arithmetic, Bound
from .window import STRETCHED, USUAL, WIDE, Window, thrifty, usual_along, windows

Array = npt.NDArray[np.float64]


@operation
class Conv2d(Op):
    """Correlate each image with each filter and add a bias.

        y[n,k,i,j] = bias[k] + sum over c, r, s of
                     xp[n, group(k)*C/groups + c, i*stride + r*dilation, j*stride + s*dilation] * weight[k,c,r,s]

    The filter is not flipped. xp is x extended by `padding` in `padding_mode`, the four sides independent, and the
    taps are counted from its corner, so that tap 0 of window 0 lies at (-top, -left); an even filter has no centre.
    Stride and dilation are (rows, columns); dilation 1 is a dense filter, dilation d leaves d-1 holes between taps.
    The size is floor((H + top + bottom - dilation*(R-1) - 1) / stride) + 1, with floor towards minus infinity, and
    there must be at least one window. Filter k belongs to group k // (K/groups) and sees that group's contiguous
    C/groups channels. The bias is added once per output element. Padding may exceed the window: outputs there are
    the bias alone.

    Source: the lecture's formulas V(x,y,t) and m = floor((n + 2p - f)/S) + 1; ONNX Conv, PyTorch conv2d.
    """

    x: Tensor  # (N, C, H, W) images
    weight: Tensor  # (K, C/groups, R, S) filters
    bias: Tensor | None = None  # (K) added to every output of a filter
    stride: Pair = (1, 1)  # (rows, columns) from one window to the next
    padding: Padding = ((0, 0), (0, 0))  # ((top, bottom), (left, right)) around the image
    padding_mode: str = "zeros"  # zeros, replicate, reflect or circular
    dilation: Pair = (1, 1)  # (rows, columns) from one tap to the next
    groups: int = 1  # blocks of channels, each with filters of its own

    spreads = "adds"
    has_windows = True
    features = conv2d_features.FEATURES
    excluded = conv2d_features.EXCLUDED
    chapters = (conv2d_examples, conv2d_laws, conv2d_equals, conv2d_compositions, conv2d_shifts)

    @cached_property
    def axes(self) -> tuple[Window, Window]:
        """The windows along the rows and along the columns."""
        rows, columns = (
            Window(
                self.x.shape[2 + a],
                self.weight.shape[2 + a],
                self.stride[a],
                self.dilation[a],
                *self.padding[a],
            )
            for a in (0, 1)
        )
        return rows, columns

    def output_shape(self) -> Shape:
        rows, columns = self.axes
        return self.x.shape[0], self.weight.shape[0], rows.count, columns.count

    def columns(self, x: Array) -> Array:
        """The patches that the filters see, one per column: (N, groups, C/groups * R * S, I * J)."""
        rows, columns = self.axes
        n, c, g = x.shape[0], x.shape[1], self.groups
        seen = windows(padded(x, self.padding, self.padding_mode), rows, columns)  # (N, C, I, J, R, S)
        seen = seen.transpose(0, 1, 4, 5, 2, 3)
        taps = c // g * rows.taps * columns.taps
        return seen.reshape(n, g, taps, rows.count * columns.count)

    def multiply(self, x: Array, weight: Array) -> Array:
        """The sums of products without the bias, as one matrix product per image and group."""
        g, k = self.groups, weight.shape[0]
        filters = weight.reshape(g, k // g, int(np.prod(weight.shape[1:])))
        return np.asarray(np.matmul(filters, self.columns(x))).reshape(x.shape[0], *self.output_shape()[1:])

    def products(self) -> Array:
        """The sums of products without the bias, kept from the truth for the bound."""
        return self.kept("products", lambda: self.multiply(as_float(self.x), as_float(self.weight)))

    def reference(self) -> Array:
        y = self.products()
        return y.copy() if self.bias is None else y + as_float(self.bias)[:, None, None]

    def truth(self) -> tuple[Array, Array]:
        if self.dtype != np.float64:
            return super().truth()
        g, k = self.groups, self.weight.shape[0]
        seen = self.columns(as_float(self.x)).transpose(0, 1, 3, 2)[:, :, None]  # (N, g, 1, I*J, taps)
        filters = as_float(self.weight).reshape(g, k // g, 1, int(np.prod(self.weight.shape[1:])))
        bias = None if self.bias is None else as_float(self.bias).reshape(g, k // g, 1)
        hi, lo = exact_dot(seen, filters, bias)
        return hi.reshape(self.output_shape()), lo.reshape(self.output_shape())

    def judgement(self, arithmetic: Arithmetic) -> Bound:
        """That of a sum of products: rounding.dot_bound. With a declared transform, algorithms.py too."""
        bound = judge_dot(
            *self._factors(), arithmetic, self.dtype, products=self.products(), by_image=True, taps=self.taps
        )
        return self.transformed(bound, as_float(self.x), arithmetic)

    def likely_errors(self, arithmetic: Arithmetic) -> dict[str, Array]:
        return {"y": likely_dot(*self._factors(), arithmetic, by_image=True, taps=self.taps)}

    def taps(self) -> Array:
        """(I, J): how many products an output adds up that are not with zeros of the padding."""
        rows, columns = (
            axis.inside.sum(axis=1) if self.padding_mode == "zeros" else np.full(axis.count, axis.taps)
            for axis in self.axes
        )
        return np.asarray(np.multiply.outer(rows * float(self.weight.shape[1]), columns))

    def _factors(self) -> Factors:
        bias = None if self.bias is None else as_float(self.bias)[:, None, None]
        return self.multiply, as_float(self.x), as_float(self.weight), bias

    def transformed(self, bound: Bound, x: Array, arithmetic: Arithmetic) -> Bound:
        """The bound of a direct kernel, widened for images like x by what a declared transform adds."""
        if arithmetic.algorithm == DIRECT:
            return bound
        x = padded(x, self.padding, self.padding_mode)
        return of_convolution(bound, x, as_float(self.weight), self.groups, self.axes, arithmetic)

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        groups = 1 + pick.one_of((0, 1, 2, 3), (55, 20, 15, 10))
        # Kernels have paths of their own for one channel per group and for square filters: both are drawn on purpose.
        special = pick.one_of(("", "depthwise", "square"), (72, 16, 12))
        usual = pick.one_of(USUAL, (52, 13, 11, 6, 5, 5, 3, 2, 3))
        large = pick.one_of(("", "channels", "filters", "channels, filters", "32 channels, filters"), (80, 7, 7, 4, 2))
        long = pick.one_of(("", "rows", "columns"), (88, 5, 7))
        mode = pick.one_of(MODES, (52, 16, 16, 16))
        n = pick.integer(1, 3)
        c = pick.one_of(STRETCHED) if "channels" in large else pick.integer(1, 4, unlike=(n,))
        k = pick.one_of(STRETCHED) if "filters" in large else pick.integer(1, 4, unlike=(n, c))
        if large.startswith("32"):
            c = k = 32
        if special == "depthwise":
            groups, c = c if "channels" in large else groups + 1, 1
        elif special == "square":
            k = c
        axes: list[Window] = []
        for name, sizes in (("rows", STRETCHED), ("columns", WIDE)):
            unlike = (n, c * groups, *(axis.length for axis in axes))
            stretch = sizes if long == name else ()
            axes.append(Window.draw(pick, unlike=unlike, stretch=stretch, mode=mode, usual=usual_along(usual, name)))
        bias = pick.flag(0.6)
        n, c, k, rows, columns = thrifty(pick.budget // groups, n, c, k, axes[0], axes[1], large + long, mode)
        data = pick.data(c * rows.taps * columns.taps)
        return cls(
            x=data.array((n, groups * c, rows.length, columns.length)),
            weight=data.array((groups * k, c, rows.taps, columns.taps), "weight"),
            bias=data.array((groups * k,), "bias") if bias else None,
            stride=(rows.stride, columns.stride),
            padding=((rows.before, rows.after), (columns.before, columns.after)),
            padding_mode=mode,
            dilation=(rows.dilation, columns.dilation),
            groups=groups,
        )

    # What a valid problem obeys.

    @rule(lambda self, pick: rules.drop_axis(self, pick, "x", "weight"), CORE, "CONV-12, GEN-01")
    def ranks_are_right(self) -> bool:
        """x and weight have four axes, and bias, if there is one, has one."""
        return rules.ranks(self, x=4, weight=4, bias=1)

    @rule(lambda self, pick: rules.wrong_length(self, pick, "stride", "padding", "dilation"), STRICT, "CONV-12, GEN-02")
    def parameters_are_pairs(self) -> bool:
        """stride and dilation are (rows, columns) and padding is ((top, bottom), (left, right))."""
        return rules.are_pairs(self, "stride", "padding", "dilation")

    @rule(lambda self, pick: rules.fractional(self, pick, "stride", "padding", "dilation", "groups"), STRICT, "CONV-12")
    def parameters_are_whole(self) -> bool:
        """stride, padding, dilation and groups are whole numbers."""
        return rules.are_whole(self, "stride", "padding", "dilation", "groups")

    @rule(lambda self, pick: rules.with_number(self, pick, pick.one_of((0, -1)), "stride"), STRICT, "CONV-12")
    def stride_is_positive(self) -> bool:
        """Both strides are at least 1."""
        return min(self.stride) >= 1

    @rule(lambda self, pick: rules.with_number(self, pick, pick.one_of((0, -1)), "dilation"), STRICT, "CONV-12")
    def dilation_is_positive(self) -> bool:
        """Both dilations are at least 1; a dense filter has dilation 1."""
        return min(self.dilation) >= 1

    @rule(lambda self, pick: self.but(groups=pick.one_of((0, -1))), STRICT, "CONV-12")
    def groups_is_positive(self) -> bool:
        """There is at least one group."""
        return self.groups >= 1

    @rule(lambda self, pick: rules.with_number(self, pick, -1, "padding"), STRICT, "CONV-12, PAD-11")
    def padding_is_not_negative(self) -> bool:
        """No padding is negative; padding does not crop."""
        return bool(min(rules.flat(self, "padding")) >= 0)

    @rule(lambda self, pick: self.but(weight=self.weight[:, :, :0]), STRICT, "CONV-12")
    def filters_have_taps(self) -> bool:
        """A filter has at least one row and one column of taps."""
        return bool(min(self.weight.shape[2:]) >= 1)

    @rule(lambda self, pick: self.but(padding_mode=pick.one_of(("mirror", "edge", "", "ZEROS"))), STRICT, "CONV-12")
    def padding_mode_is_known(self) -> bool:
        """The padding mode is one of zeros, replicate, reflect, circular."""
        return self.padding_mode in MODES

    @rule(lambda self, pick: _one_more_channel(self), CORE, "CONV-12")
    def groups_divide_channels(self) -> bool:
        """The number of channels of x is a multiple of groups."""
        return bool(self.x.shape[1] % self.groups == 0)

    @rule(lambda self, pick: _one_more_filter(self), CORE, "CONV-12")
    def groups_divide_filters(self) -> bool:
        """The number of filters is a multiple of groups."""
        return bool(self.weight.shape[0] % self.groups == 0)

    @rule(
        lambda self, pick: self.but(weight=np.concatenate([self.weight, self.weight[:, :1]], axis=1)), CORE, "CONV-12"
    )
    def filters_span_their_group(self) -> bool:
        """A filter has exactly C/groups channels."""
        return bool(self.weight.shape[1] * self.groups == self.x.shape[1])

    @rule(
        lambda self, pick: self.but(bias=np.ones(self.weight.shape[0] + pick.one_of((1, -1)), self.x.dtype)),
        CORE,
        "CONV-12",
    )
    def bias_is_one_per_filter(self) -> bool:
        """A bias has one value for each filter."""
        return self.bias is None or bool(self.bias.shape[0] == self.weight.shape[0])

    @rule(lambda self, pick: _too_small(self, pick), STRICT, "GEN-15, SHP-02")
    def a_window_fits(self) -> bool:
        """The padded image is at least as long as the dilated filter on both axes; a size is never clamped."""
        return all(axis.fits for axis in self.axes)

    @rule(lambda self, pick: _overlong(self, pick, "reflect", 0), STRICT, "PAD-03")
    def reflection_stays_inside(self) -> bool:
        """With padding mode reflect, no side is padded by more than n-1 elements of an axis of n."""
        return self.padding_mode != "reflect" or _mode_fits(self)

    @rule(lambda self, pick: _overlong(self, pick, "circular", 1), STRICT, "PAD-05")
    def wrapping_goes_round_once(self) -> bool:
        """With padding mode circular, no side is padded by more than n elements of an axis of n."""
        return self.padding_mode != "circular" or _mode_fits(self)

    @rule(lambda self, pick: _nothing_to_repeat(self), STRICT, "PAD-08")
    def there_is_something_to_repeat(self) -> bool:
        """With padding mode replicate, an axis that is padded has at least one element."""
        return self.padding_mode != "replicate" or _mode_fits(self)


def _mode_fits(problem: Conv2d) -> bool:
    return all(
        mode_allows(axis.length, sides, problem.padding_mode)
        for axis, sides in zip(problem.axes, problem.padding, strict=True)
    )


def _one_more_channel(problem: Conv2d) -> Conv2d:
    groups = max(problem.groups, 2)
    weight = np.repeat(problem.weight, groups, axis=0)  # a multiple of groups, whatever it was
    short = (groups - problem.x.shape[1] % groups + 1) % groups or groups
    x = np.concatenate([problem.x] + [problem.x[:, :1]] * short, axis=1)
    per_group = max(x.shape[1] // groups, 1)
    taps = np.concatenate([weight] * (per_group // weight.shape[1] + 1), axis=1)[:, :per_group]
    return problem.but(x=x, weight=taps, bias=None, groups=groups)


def _one_more_filter(problem: Conv2d) -> Conv2d:
    groups = max(problem.groups, 2)
    x = np.concatenate([problem.x[:, : problem.weight.shape[1]]] * groups, axis=1)
    weight = np.concatenate([problem.weight[:1]] * (groups + 1), axis=0)
    return problem.but(x=x, weight=weight, bias=None, groups=groups)


def _too_small(problem: Conv2d, pick: Pick) -> Conv2d:
    """One row or column too few for the filter, at any stride."""
    axis = pick.integer(0, 1)
    window = problem.axes[axis]
    padding = list(problem.padding)
    if window.before + window.after >= window.span - 1:
        padding[axis] = (0, 0)
    length = window.span - 1 - sum(padding[axis])
    if length < 1:  # a filter of one tap: only an empty image is too small for it
        length = 0
    x = problem.x[:, :, :1] if axis == 0 else problem.x[:, :, :, :1]
    x = np.repeat(x, length, axis=2 + axis)
    return problem.but(x=x, padding=(padding[0], padding[1]), padding_mode="zeros")


def _overlong(problem: Conv2d, pick: Pick, mode: str, beyond: int) -> Conv2d:
    rows, columns = problem.axes  # a window fits without any padding: no other rule is broken with this one
    problem = problem.but(x=enlarged(problem.x, rows.span, columns.span))
    most = max(problem.x.shape[2:]) + beyond + pick.integer(0, 2)
    small = tuple(
        (min(before, n - 1), min(after, n - 1))
        for n, (before, after) in zip(problem.x.shape[2:], problem.padding, strict=True)
    )
    return rules.with_number(problem.but(padding_mode=mode, padding=small), pick, most, "padding")  # type: ignore[no-any-return]


def _nothing_to_repeat(problem: Conv2d) -> Conv2d:
    span = problem.axes[0].span
    return problem.but(x=problem.x[:, :, :0], padding=((span, 0), problem.padding[1]), padding_mode="replicate")
