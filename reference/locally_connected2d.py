"""The locally connected layer: windows as in a convolution, weights that are not shared."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import locally_connected2d_equals, locally_connected2d_examples, locally_connected2d_laws, rules
from .dot import Factors, as_float, exact_dot, judge_dot, likely_dot
from .features import along, given, how_many, not_along, not_rounded_down, one_or_more, sizes, stratum
from .op import CORE, STRICT, Op, Padding, Pair, Shape, Tensor, operation, rule
from .pad2d import padded
from .pick import Pick
from .rounding import Arithmetic, Bound
from .window import STRETCHED, USUAL, WIDE, Window, thrifty, usual_along, windows

Array = npt.NDArray[np.float64]


@operation
class LocallyConnected2d(Op):
    """Correlate each window of each image with filters that this window alone has, and add biases of its own.

        y[n,k,i,j] = bias[k,i,j] + sum over c, r, s of xp[n, c, i*stride + r, j*stride + s] * weight[i,j,k,c,r,s]

    The filters are not flipped. xp is x with zeros around it, the four sides independent, and the taps are counted from
    its corner, as in a convolution without holes: the size is floor((H + top + bottom - R) / stride) + 1, and there
    must be at least one window. The weights have one set of filters for each output position (i, j), a unit; they are
    never broadcast, and with equal filters at every unit the layer is a convolution. The bias has one value per filter
    and unit and is added once. A unit that sees padding alone gives its bias. A shift of the image does not shift the
    output: the weights stay where they are.

    Source: the lecture's weight-sharing equations, taken before the weights are shared, and its locally connected
    layer of 4 million parameters; Keras LocallyConnected2D and Flax ConvLocal, with other orders of axes.
    """

    x: Tensor  # (N, C, H, W) images
    weight: Tensor  # (I, J, K, C, R, S) the filters of each unit
    bias: Tensor | None = None  # (K, I, J) added once, zeros where absent
    stride: Pair = (1, 1)  # (rows, columns) from one window to the next
    padding: Padding = ((0, 0), (0, 0))  # ((top, bottom), (left, right)) of zeros around the image

    spreads = "adds"
    has_windows = True
    features = (
        one_or_more("images", lambda p: p.x.shape[0]),
        how_many("channels", lambda p: p.x.shape[1]),
        how_many("filters", lambda p: p.weight.shape[2]),
        given("bias", lambda p: p.bias),
        *along(0, dilated=False),
        *along(1, dilated=False),
        sizes("channels", lambda p: p.x.shape[1]),
        sizes("filters", lambda p: p.weight.shape[2]),
        stratum("one_of_each", lambda p: p.x.shape[:2] == (1, 1) and p.weight.shape[2] == 1),
        stratum("square", lambda p: len(set(p.weight.shape)) == 2 and p.weight.shape[2] == p.weight.shape[3] > 1),
        stratum("one_unit", lambda p: p.weight.shape[:2] == (1, 1) and min(p.weight.shape[4:]) > 1),
    )
    excluded = (*not_along(0), *not_along(1), *not_rounded_down(0), *not_rounded_down(1))
    chapters = (locally_connected2d_examples, locally_connected2d_laws, locally_connected2d_equals)

    @cached_property
    def axes(self) -> tuple[Window, Window]:
        """The windows along the rows and along the columns."""
        (h, w), (r, s), (down, across) = self.x.shape[2:], self.weight.shape[4:], self.stride
        return Window(h, r, down, 1, *self.padding[0]), Window(w, s, across, 1, *self.padding[1])

    def fitted(self, **changes: Any) -> Self:
        """The layer with some fields changed and its units repeated or cut to the number of windows there are then."""
        layer = self.but(**changes)
        rows, columns = (
            np.arange(axis.count) % units for axis, units in zip(layer.axes, layer.weight.shape, strict=False)
        )
        bias = None if layer.bias is None else np.array(layer.bias[:, rows[:, None], columns], order="C")
        return layer.but(weight=np.array(layer.weight[rows[:, None], columns], order="C"), bias=bias)

    def output_shape(self) -> Shape:
        rows, columns = self.axes
        return self.x.shape[0], self.weight.shape[2], rows.count, columns.count

    def patches(self, x: Array) -> Array:
        """What each unit sees of each image, one row per image: (I, J, N, C * R * S)."""
        rows, columns = self.axes
        n, c = x.shape[:2]
        seen = windows(padded(x, self.padding, "zeros"), rows, columns)  # (N, C, I, J, R, S)
        return seen.transpose(2, 3, 0, 1, 4, 5).reshape(rows.count, columns.count, n, c * rows.taps * columns.taps)

    def filters(self, weight: Array) -> Array:
        """The filters of each unit, one row per filter: (I, J, K, C * R * S)."""
        i, j, k, c, r, s = weight.shape
        return weight.reshape(i, j, k, c * r * s)

    def multiply(self, x: Array, weight: Array) -> Array:
        """The sums of products without the bias, as one matrix product per unit."""
        y: Array = np.matmul(self.patches(x), self.filters(weight).swapaxes(2, 3))  # (I, J, N, K)
        return y.transpose(2, 3, 0, 1)

    def products(self) -> Array:
        """The sums of products without the bias, kept from the truth for the bound."""
        return self.kept("products", lambda: self.multiply(as_float(self.x), as_float(self.weight)))

    def reference(self) -> Array:
        y = self.products()
        return y.copy() if self.bias is None else y + as_float(self.bias)

    def truth(self) -> tuple[Array, Array]:
        if self.dtype != np.float64:
            return super().truth()
        seen, filters = self.patches(as_float(self.x)), self.filters(as_float(self.weight))
        bias = None if self.bias is None else as_float(self.bias).transpose(1, 2, 0)[:, :, None]  # (I, J, 1, K)
        hi, lo = exact_dot(seen[:, :, :, None], filters[:, :, None], bias)  # (I, J, N, K)
        return hi.transpose(2, 3, 0, 1), lo.transpose(2, 3, 0, 1)

    def judgement(self, arithmetic: Arithmetic) -> Bound:
        """That of a sum of products: rounding.dot_bound."""
        return judge_dot(*self._factors(), arithmetic, self.dtype, products=self.products(), by_image=True)

    def likely_errors(self, arithmetic: Arithmetic) -> dict[str, Array]:
        return {"y": likely_dot(*self._factors(), arithmetic, by_image=True)}

    def _factors(self) -> Factors:
        bias = None if self.bias is None else as_float(self.bias)
        return self.multiply, as_float(self.x), as_float(self.weight), bias

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        usual = pick.one_of(USUAL, (80, 6, 4, 3, 2, 2, 1, 1, 1))
        large = pick.one_of(("", "channels", "filters", "channels, filters"), (82, 8, 8, 2))
        long = pick.one_of(("", "rows", "columns"), (88, 6, 6))
        # Everything square: units, filters and taps in the wrong order then still have the right shape.
        square = not (large + long) and pick.flag(0.16)
        n = pick.integer(1, 3)
        c = pick.one_of(STRETCHED) if "channels" in large else pick.integer(1, 4, unlike=(n,))
        k = pick.one_of(STRETCHED) if "filters" in large else pick.integer(1, 4, unlike=(n, c))
        axes: list[Window] = []
        for name, lengths in (("rows", STRETCHED), ("columns", WIDE)):
            unlike, stretch = (n, c, *(axis.length for axis in axes)), lengths if long == name else ()
            axes.append(
                Window.draw(pick, unlike=unlike, stretch=stretch, dilated=False, usual=usual_along(usual, name))
            )
        if square:
            k, axes = c, [axes[0], axes[0]]
        bias = pick.flag(0.6)
        n, c, k, rows, columns = thrifty(pick.budget, n, c, k, axes[0], axes[1], large + long)
        data = pick.data(c * rows.taps * columns.taps)
        # Filters one by one: some kinds of data go by filter.
        filters = data.array((rows.count * columns.count * k, c, rows.taps, columns.taps), "weight")
        return cls(
            x=data.array((n, c, rows.length, columns.length)),
            weight=filters.reshape(rows.count, columns.count, k, *filters.shape[1:]),
            bias=data.array((k, rows.count, columns.count), "bias") if bias else None,
            stride=(rows.stride, columns.stride),
            padding=((rows.before, rows.after), (columns.before, columns.after)),
        )

    # What a valid problem obeys.

    @rule(lambda self, pick: rules.drop_axis(self, pick, "x", "weight", "bias"), STRICT, "CONV-12, GEN-01")
    def ranks_are_right(self) -> bool:
        """x has four axes, weight six, and bias, if there is one, three."""
        return rules.ranks(self, x=4, weight=6, bias=3)

    @rule(lambda self, pick: rules.wrong_length(self, pick, "stride", "padding"), STRICT, "CONV-12, GEN-02")
    def parameters_are_pairs(self) -> bool:
        """stride is (rows, columns) and padding is ((top, bottom), (left, right))."""
        return rules.are_pairs(self, "stride", "padding")

    @rule(lambda self, pick: rules.fractional(self, pick, "stride", "padding"), STRICT, "CONV-12")
    def parameters_are_whole(self) -> bool:
        """stride and padding are whole numbers."""
        return rules.are_whole(self, "stride", "padding")

    @rule(lambda self, pick: rules.with_number(self, pick, pick.one_of((0, -1)), "stride"), STRICT, "CONV-12")
    def stride_is_positive(self) -> bool:
        """Both strides are at least 1."""
        return min(self.stride) >= 1

    @rule(lambda self, pick: rules.with_number(self, pick, -1, "padding"), STRICT, "CONV-12, PAD-11")
    def padding_is_not_negative(self) -> bool:
        """No padding is negative; padding does not crop."""
        return bool(min(rules.flat(self, "padding")) >= 0)

    @rule(
        lambda self, pick: self.but(weight=pick.one_of((self.weight[..., :0, :], self.weight[..., :0]))),
        STRICT,
        "CONV-12",
    )
    def filters_have_taps(self) -> bool:
        """A filter has at least one row and one column of taps."""
        return bool(min(self.weight.shape[4:]) >= 1)

    @rule(lambda self, pick: _other_channels(self, pick), CORE, "CONV-12")
    def filters_span_the_channels(self) -> bool:
        """A filter has exactly the C channels of x."""
        return bool(self.weight.shape[3] == self.x.shape[1])

    @rule(lambda self, pick: _too_small(self, pick), STRICT, "GEN-15, SHP-02")
    def a_window_fits(self) -> bool:
        """The padded image is at least as long as the filter on both axes; a size is never clamped."""
        return all(axis.fits for axis in self.axes)

    @rule(lambda self, pick: _other_units(self, pick), CORE, "LC-03")
    def there_is_a_unit_for_each_window(self) -> bool:
        """weight has filters for exactly (I, J) units, the sizes that the formula gives; nothing is broadcast."""
        return self.weight.shape[:2] == tuple(axis.count for axis in self.axes)

    @rule(lambda self, pick: _other_biases(self, pick), CORE, "LC-02")
    def bias_is_one_per_filter_and_unit(self) -> bool:
        """A bias has one value for each filter and unit, in the order K, I, J; nothing is broadcast."""
        i, j, k = self.weight.shape[:3]
        return self.bias is None or self.bias.shape == (k, i, j)


def _other_channels(problem: LocallyConnected2d, pick: Pick) -> LocallyConnected2d:
    """Filters of one channel too many, or of a single one for all channels."""
    more = np.concatenate([problem.weight, problem.weight[:, :, :, :1]], axis=3)
    single = problem.weight[:, :, :, :1]
    return problem.but(weight=pick.one_of((more, single)) if problem.weight.shape[3] > 1 else more)


def _too_small(problem: LocallyConnected2d, pick: Pick) -> LocallyConnected2d:
    """One row or column too few for the filter, and no unit there; or one, as a division towards zero counts."""
    axis, units = pick.integer(0, 1), pick.integer(0, 1)
    window = problem.axes[axis]
    before = min(window.before, window.taps - 1)
    padding = list(problem.padding)
    padding[axis] = (before, 0)
    at = np.arange(window.taps - 1 - before) % window.length
    return problem.but(
        x=np.take(problem.x, at, axis=2 + axis),
        weight=problem.weight[:units] if axis == 0 else problem.weight[:, :units],
        bias=None,
        padding=(padding[0], padding[1]),
    )


def _other_units(problem: LocallyConnected2d, pick: Pick) -> LocallyConnected2d:
    """A row or column of units too many or too few, or a single unit for all windows."""
    axis = pick.integer(0, 1)
    units = problem.weight.shape[axis]
    choices = [np.arange(units + 1) % units] + [np.arange(units - 1)] * (units > 1)
    weight = np.take(problem.weight, pick.one_of(choices), axis=axis)
    if units > 1 and pick.flag():
        weight = problem.weight[:1, :1]
    return problem.but(weight=np.array(weight, order="C"), bias=None)


def _other_biases(problem: LocallyConnected2d, pick: Pick) -> LocallyConnected2d:
    """One filter, row or column too many, or one value per filter to be broadcast."""
    i, j, k = problem.weight.shape[:3]
    shape = pick.one_of(((k + 1, i, j), (k, i + 1, j), (k, i, j + 1)))
    if i * j > 1 and pick.flag():
        shape = (k, 1, 1)
    return problem.but(bias=np.ones(shape, problem.dtype))
