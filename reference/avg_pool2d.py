"""Average pooling."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import pool, pool_features, pool_limits
from .averages import average_bound, is_power_of_two, likely_average
from .conv2d import Conv2d
from .dot import BETTER_THAN_DOUBLE
from .examples import POOLING, image, output
from .features import flag
from .formats import FORMATS
from .laws import combined, parts, small
from .max_pool2d import MaxPool2d
from .measured import sum_of_products, two_product
from .op import STRICT, Op, Padding, Pair, Run, Shape, Sides, Tensor, example, law, operation
from .pick import Pick
from .rounding import Arithmetic, Bound, forced_where, is_whole
from .window import Window, windows

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]


@operation
class AvgPool2d(Op):
    """Average the input elements of each window, in each channel of each image.

        y[n,c,i,j] = (sum over r, s with the tap inside the image of x[n, c, i*stride - top + r, ...]) / D

    With count_include_pad, D is the number of taps inside the padded image; a window that hangs over its end, as
    rounding up allows, does not count what hangs over. Without, D is the number of taps inside the image. (A
    backend may
    declare `avg_divisor: full`: then D is always the size of the window where padding is counted.) Sizes and the rule
    that every window holds an input element are those of max pooling. There is no default stride.

    Source: the lecture's average pooling; the divisor is PyTorch's and the ONNX text's.
    """

    x: Tensor  # (N, C, H, W) images
    kernel_size: Pair  # (rows, columns) of the window
    stride: Pair  # (rows, columns) from one window to the next
    padding: Padding = ((0, 0), (0, 0))  # ((top, bottom), (left, right)) around the image
    ceil_mode: bool = False  # whether the size is rounded up
    count_include_pad: bool = True  # whether padding counts in the divisor

    spreads = "adds"
    has_windows = True
    features = (
        *pool_features.features(dilated=False),
        flag("counts_padding", lambda problem: problem.count_include_pad),
    )
    excluded = pool_features.EXCLUDED
    chapters = (pool, pool_limits)

    @cached_property
    def axes(self) -> tuple[Window, Window]:
        return pool.axes(self)

    def output_shape(self) -> Shape:
        return pool.output_shape(self)

    @property
    def divisor(self) -> Array:
        """D, the same for every image and channel: (I, J)."""
        if self.reading.get("counts_all"):
            return np.full(self.output_shape()[2:], float(self.kernel_size[0] * self.kernel_size[1]))
        counts = []
        for axis in self.axes:
            inside = axis.inside
            if self.count_include_pad:
                inside = (axis.positions >= -axis.before) & (axis.positions < axis.length + axis.after)
            counts.append(inside.sum(axis=1).astype(np.float64))
        return np.asarray(counts[0][:, None] * counts[1])

    def declared(self, conventions: Mapping[str, str]) -> AvgPool2d:
        """With `avg_divisor: full`, padding and what hangs over are counted alike, where padding is counted."""
        if conventions.get("avg_divisor") != "full" or not self.count_include_pad:
            return self
        return self.read(counts_all=True)

    def taps(self, x: Array) -> Array:
        """(N, C, I, J, R, S): what each window holds, zero outside the image."""
        rows, columns = self.axes
        return windows(pool.filled(self.but(x=x), 0.0), rows, columns)

    def reference(self) -> Array:
        return np.asarray(self.taps(np.asarray(self.x, np.float64)).sum(axis=(4, 5)) / self.divisor)

    def truth(self) -> tuple[Array, Array]:
        if self.dtype != np.float64:
            return super().truth()
        taps = self.taps(np.asarray(self.x, np.float64))
        flat = taps.reshape(*taps.shape[:4], taps.shape[4] * taps.shape[5])
        hi, lo = sum_of_products(flat, np.ones_like(flat))
        quotient = hi / self.divisor
        back, lost = two_product(quotient, np.broadcast_to(self.divisor, quotient.shape))
        return quotient, ((hi - back) - lost + lo) / self.divisor

    def judgement(self, arithmetic: Arithmetic) -> Bound:
        """That of averages.average_bound; where D is a power of two and the sum is exact, the quotient is forced."""
        x = np.asarray(self.x, np.float64)
        d, acc = self.divisor, arithmetic.acc
        total, magnitude, terms = (self.taps(a).sum(axis=(4, 5)) for a in (x, np.abs(x), (x != 0).astype(np.float64)))
        reference = BETTER_THAN_DOUBLE if self.dtype == np.float64 else FORMATS["float64"].unit
        bound = average_bound(total, magnitude, terms, d, arithmetic, reference)
        if not is_whole(self.x):
            return bound
        exact = is_power_of_two(d) & ((magnitude + np.abs(total)) / 2 <= 2.0**acc.p)
        return forced_where(exact, bound, total / d, arithmetic)

    def likely_errors(self, arithmetic: Arithmetic) -> dict[str, Array]:
        x, d = np.asarray(self.x, np.float64), self.divisor
        with np.errstate(over="ignore", invalid="ignore"):
            total, squares, terms = (self.taps(a).sum(axis=(4, 5)) for a in (x, x**2, (x != 0).astype(np.float64)))
            squares = squares / d**2
            divided = np.where(is_power_of_two(d), 0.0, squares)
            return {"y": likely_average(total / d, squares, terms, divided, arithmetic)}

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls(**pool.draw(pick, dilated=False), count_include_pad=pick.flag())

    @law("LAW-P16")
    def linear_in_the_image(self, run: Run, pick: Pick) -> Sides | None:
        """Averaging 2u + v gives twice the average of u plus the average of v."""
        u, v = parts(self.x, pick)
        return run(self.but(x=combined(u, v))), 2 * run(self.but(x=u)) + run(self.but(x=v))

    @law("LAW-P16, AVGP-03")
    def a_constant_stays(self, run: Run, pick: Pick) -> Sides | None:
        """Where only input elements are counted, adding 3 to the image adds 3 to every output."""
        plain = self.but(x=small(self.x), count_include_pad=False)
        return run(plain.but(x=plain.x + np.asarray(3, self.dtype))), run(plain) + 3.0

    @law("LAW-P14, LAW-P15")
    def it_is_a_convolution_with_ones(self, run: Run, pick: Pick) -> Sides | None:
        """The divisor times the average is what a depthwise convolution with filters of ones gives."""
        down = self.but(ceil_mode=False)
        if down.broken_rules():
            return None
        c = self.x.shape[1]
        ones = np.ones((c, 1, *self.kernel_size), self.dtype)
        sums = run(Conv2d(x=self.x, weight=ones, stride=self.stride, padding=self.padding, groups=c))
        return run(down) * down.divisor, sums

    @law("LAW-P3")
    def between_the_extremes(self, run: Run, pick: Pick) -> Sides | None:
        """Where only input elements are counted, an average lies between the smallest and the largest of its window."""
        down = self.but(count_include_pad=False)
        pooled = MaxPool2d(
            x=self.x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
        )
        top, bottom = run.values(pooled), -run.values(pooled.but(x=-self.x))
        mean = run(down)
        return mean, mean.like(np.clip(mean.value, bottom, top))

    @law("LAW-P9")
    def rows_then_columns(self, run: Run, pick: Pick) -> Sides | None:
        """Averaging along the rows and then along the columns gives the same."""
        plain = self.but(x=small(self.x))
        down = plain.but(
            kernel_size=(self.kernel_size[0], 1), stride=(self.stride[0], 1), padding=(self.padding[0], (0, 0))
        )
        middle = run(down)
        if middle.tolerance.any():
            return None
        across = plain.but(
            x=middle.value.astype(self.dtype),
            kernel_size=(1, self.kernel_size[1]),
            stride=(1, self.stride[1]),
            padding=((0, 0), self.padding[1]),
        )
        return run(across), run(plain)

    @law("AVGP-08", STRICT)
    def nan_reaches_its_windows_and_no_other(self, run: Run, pick: Pick) -> Sides | None:
        """A NaN makes every output NaN whose window holds it, and no other."""
        x, at = np.array(self.x), np.zeros(self.x.shape)
        index = tuple(pick.integer(0, n - 1) for n in x.shape)
        x[index], at[index] = np.nan, 1
        touched = self.taps(at).sum(axis=(4, 5)) > 0
        clean = run(self)
        actual = clean.like(run.values(self.but(x=x)))
        return actual, clean.like(np.where(touched, np.nan, clean.value))

    @example("AVGP-04")
    def the_four_by_four(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """The 4x4 block of the max-pooling slide averaged: 2x2 windows give 3.25 5.25 / 2 2; padded ones by
        both divisors."""
        x = image(POOLING, dtype)
        padded = cls(x=x, kernel_size=3, stride=2, padding=1)
        return [
            (cls(x=x, kernel_size=2, stride=2), output([[3.25, 5.25], [2, 2]])),
            (padded, output([[13 / 9, 28 / 9], [19 / 9, 33 / 9]])),
            (padded.but(count_include_pad=False), output([[3.25, 14 / 3], [19 / 6, 11 / 3]])),
        ]

    @example("AVGP-03")
    def a_window_that_hangs_over(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """1..6 under three taps, stride 2, padding 1, rounded up: the last window counts 6 and one padding, so
        3 or 6."""
        x = image([np.arange(1.0, 7.0)], dtype)
        over = cls(x=x, kernel_size=(1, 3), stride=(1, 2), padding=((0, 0), (1, 1)), ceil_mode=True)
        return [
            (over, output([[1.0, 3.0, 5.0, 3.0]])),
            (over.but(count_include_pad=False), output([[1.5, 3.0, 5.0, 6.0]])),
        ]

    @example("AVGP-06")
    def global_average(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """One window over the whole image gives its mean: 3.125 for the 4x4 block."""
        return [(cls(x=image(POOLING, dtype), kernel_size=4, stride=1), output([[3.125]]))]
