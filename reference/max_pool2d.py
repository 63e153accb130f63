"""Maximum pooling."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import pool, pool_features, pool_limits, rules
from .examples import POOLING, image, output
from .laws import cropped, enlarged
from .op import STRICT, Op, Padding, Pair, Run, Shape, Sides, Tensor, edge, example, law, operation, rule
from .pick import Pick
from .relu import Relu
from .window import Window, windows

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]


@operation
class MaxPool2d(Op):
    """Take the largest input element of each window, in each channel of each image.

        y[n,c,i,j] = max over r, s with the tap inside the image of x[n, c, i*stride - top + r*dilation, ...]

    Padding never wins: it counts as minus infinity, so that negative inputs stay negative. The size is rounded down, or
    up with ceil_mode; then a last window that would start behind the input and the leading padding is dropped. NaN
    propagates: a window that holds one gives NaN, wherever it lies in the window (a backend may declare
    `max_pool_nan: ignore`, and then gives NaN only for a window of NaN alone). A window of minus infinities gives minus
    infinity. The result is a copy of an input element, exact in every format; of two zeros either may be given. Every
    window must hold at least one input element. There is no default stride.

    Source: the lecture's max pooling with 2x2 filters and stride 2; sizes as PyTorch and the ONNX text.
    """

    x: Tensor  # (N, C, H, W) images
    kernel_size: Pair  # (rows, columns) of the window
    stride: Pair  # (rows, columns) from one window to the next
    padding: Padding = ((0, 0), (0, 0))  # ((top, bottom), (left, right)) around the image
    dilation: Pair = (1, 1)  # (rows, columns) from one tap to the next
    ceil_mode: bool = False  # whether the size is rounded up

    spreads = "copies"
    has_windows = True
    features = pool_features.features(dilated=True)
    excluded = pool_features.EXCLUDED
    chapters = (pool, pool_limits)

    @cached_property
    def axes(self) -> tuple[Window, Window]:
        return pool.axes(self)

    def output_shape(self) -> Shape:
        return pool.output_shape(self)

    def reference(self) -> Array:
        rows, columns = self.axes
        return np.asarray(windows(pool.filled(self, -np.inf), rows, columns).max(axis=(4, 5)))

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls(**pool.draw(pick, dilated=True))

    @rule(lambda self, pick: rules.with_number(self, pick, pick.one_of((0, -1)), "dilation"), STRICT, "MAXP-15")
    def dilation_is_positive(self) -> bool:
        """Both dilations are at least 1."""
        return min(self.dilation) >= 1

    @law("LAW-P1, LAW-P7")
    def larger_inputs_give_no_smaller_outputs(self, run: Run, pick: Pick) -> Sides | None:
        """It is monotone, and no output moves further than the inputs do."""
        lower = np.minimum(self.x, _backwards(self.x))
        rise = run(self) - run(self.but(x=lower))  # off by what may have been flushed
        most = np.max(np.asarray(self.x, np.float64) - np.asarray(lower, np.float64), initial=0)
        return rise.like(np.clip(rise.value, 0, most)), rise

    @law("LAW-P2")
    def monotone_functions_commute(self, run: Run, pick: Pick) -> Sides | None:
        """max(f(x)) = f(max(x)) for a non-decreasing f: here rounding to whole numbers."""
        return run.values(self.but(x=np.rint(self.x).astype(self.dtype))), np.rint(run.values(self))

    @law("LAW-P4, BLK-02")
    def relu_commutes(self, run: Run, pick: Pick) -> Sides | None:
        """Rectifying before pooling or after gives the same."""
        before = run.values(Relu(x=self.x)).astype(self.dtype)
        after = run.values(Relu(x=run.values(self).astype(self.dtype)))
        return run.values(self.but(x=before)), after

    @law("LAW-P5")
    def the_larger_of_two_images(self, run: Run, pick: Pick) -> Sides | None:
        """Pooling the larger of two images at each pixel gives the larger of the two results."""
        other = _backwards(self.x)
        both = run.values(self.but(x=np.maximum(self.x, other)))
        return both, np.maximum(run.values(self), run.values(self.but(x=other)))

    @law("LAW-P8, MAXP-14")
    def smaller_elements_do_not_matter(self, run: Run, pick: Pick) -> Sides | None:
        """Lowering elements that are the largest of no window changes nothing."""
        rows, columns = self.axes
        y = self.reference()
        kept = np.zeros(self.x.shape, bool)
        for i in range(rows.count):
            for j in range(columns.count):
                at = np.ix_(rows.positions[i][rows.inside[i]], columns.positions[j][columns.inside[j]])
                patch = np.asarray(self.x, np.float64)[:, :, at[0], at[1]]
                kept[:, :, at[0], at[1]] |= patch == y[:, :, i, j][:, :, None, None]
        lowest = np.asarray(self.x).min(initial=0) - np.asarray(1, self.dtype)
        return run.values(self.but(x=np.where(kept, self.x, lowest))), run.values(self)

    @law("LAW-P9")
    def rows_then_columns(self, run: Run, pick: Pick) -> Sides | None:
        """Pooling along the rows and then along the columns gives the same."""
        down = self.but(
            kernel_size=(self.kernel_size[0], 1),
            stride=(self.stride[0], 1),
            padding=(self.padding[0], (0, 0)),
            dilation=(self.dilation[0], 1),
        )
        across = self.but(
            x=run.values(down).astype(self.dtype),
            kernel_size=(1, self.kernel_size[1]),
            stride=(1, self.stride[1]),
            padding=((0, 0), self.padding[1]),
            dilation=(1, self.dilation[1]),
        )
        return run.values(across), run.values(self)

    @law("LAW-P12")
    def two_poolings_are_one(self, run: Run, pick: Pick) -> Sides | None:
        """Without padding and holes, windows k1, k2 with strides s1 <= k1 and s2 are one of k1 + (k2-1)*s1,
        stride s1*s2."""
        k1 = self.kernel_size
        s1 = (min(self.stride[0], k1[0]), min(self.stride[1], k1[1]))
        k2, s2 = (pick.integer(1, 3), pick.integer(1, 3)), (pick.integer(1, 2), pick.integer(1, 2))
        k = tuple(a + (b - 1) * s for a, b, s in zip(k1, k2, s1, strict=True))
        x = enlarged(self.x, k[0], k[1])
        first = self.but(x=x, stride=s1, padding=pool.NONE, dilation=(1, 1), ceil_mode=False)
        second = first.but(x=run.values(first).astype(self.dtype), kernel_size=k2, stride=s2)
        one = first.but(kernel_size=k, stride=(s1[0] * s2[0], s1[1] * s2[1]))
        return run.values(second), run.values(one)

    @law("LAW-P13")
    def the_largest_of_all_survives(self, run: Run, pick: Pick) -> Sides | None:
        """Where the windows cover the image, the largest output of a channel is its largest input."""
        rows, columns = self.axes
        plain = self.but(
            stride=(min(self.stride[0], rows.taps), min(self.stride[1], columns.taps)),
            padding=pool.NONE,
            dilation=(1, 1),
            ceil_mode=False,
        )
        plain = plain.but(x=enlarged(self.x, rows.taps, columns.taps))
        covered = [(a.count - 1) * a.stride + a.span for a in plain.axes]
        plain = plain.but(x=cropped(plain.x, *covered))
        return run.values(plain).max(axis=(2, 3)), np.asarray(plain.x, np.float64).max(axis=(2, 3))

    @law("LAW-P20, MAXP-13")
    def dilated_is_interleaved_phases(self, run: Run, pick: Pick) -> Sides | None:
        """Without padding and with stride 1, every d-th output of a dilated window is the dense one on every
        d-th pixel."""
        rows, columns = self.dilation
        if (rows, columns) == (1, 1):
            return None
        spans = [axis.span for axis in self.axes]
        plain = self.but(x=enlarged(self.x, *spans), stride=(1, 1), padding=pool.NONE, ceil_mode=False)
        *_, height, width = plain.shape()
        a, b = pick.integer(0, min(rows, height) - 1), pick.integer(0, min(columns, width) - 1)
        phase = plain.but(x=np.array(plain.x[:, :, a::rows, b::columns], order="C"), dilation=(1, 1))
        return run.values(plain)[:, :, a::rows, b::columns], run.values(phase)

    @law("MAXP-09, GEN-18", STRICT)
    def nan_propagates(self, run: Run, pick: Pick) -> Sides | None:
        """A window that holds a NaN gives NaN wherever the NaN lies in it, and no other output is touched; a
        backend that
        declares `max_pool_nan: ignore` gives the largest of the others, and NaN for NaN alone."""
        x = np.array(self.x)
        at = tuple(pick.integer(0, n - 1) for n in x.shape)
        x[at] = np.nan
        spoilt = self.but(x=x)
        wanted = spoilt.reference()
        if run.convention("max_pool_nan") == "ignore":
            lowered = np.where(np.isnan(np.asarray(x, np.float64)), -np.inf, np.asarray(x, np.float64))
            others = self.but(x=lowered).reference()
            alone = np.isnan(wanted) & np.isneginf(others)
            wanted = np.where(alone, np.nan, others)
        return run.values(spoilt), wanted

    @example("L049, MAXP-02")
    def the_lectures_four_by_four(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """The slide's 4x4 block under 2x2 windows with stride 2 gives 6 8 / 3 4; other windows accordingly."""
        x = image(POOLING, dtype)
        return [
            (cls(x=x, kernel_size=2, stride=2), output([[6, 8], [3, 4]])),
            (cls(x=x, kernel_size=3, stride=1), output([[7, 8], [7, 8]])),
            (cls(x=x, kernel_size=2, stride=1), output([[6, 7, 8], [6, 7, 8], [3, 3, 4]])),
            (cls(x=x, kernel_size=3, stride=2, padding=1), output([[6, 8], [6, 8]])),
            (cls(x=x, kernel_size=3, stride=2, ceil_mode=True), output([[7, 8], [3, 4]])),
        ]

    @example("MAXP-07, MAXP-13, SHP-05")
    def rows_of_numbers(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """-1 -2 -3 with padding stays negative: -1 -1 -2; 1..7 with three taps two apart gives 5 6 7; sizes
        rounded up."""
        row = image([np.arange(1.0, 8.0)], dtype)
        sizes: Worked = []
        for n, k, s, p, y in ((4, 2, 3, 1, [1, 4]), (6, 1, 4, 0, [1, 5]), (5, 2, 2, 0, [2, 4, 5])):
            problem = cls(x=row[..., :n], kernel_size=(1, k), stride=(1, s), padding=((0, 0), (p, p)), ceil_mode=True)
            sizes.append((problem, output([y])))
        negative = cls(x=image([[-1, -2, -3]], dtype), kernel_size=(1, 3), stride=1, padding=((0, 0), (1, 1)))
        return [
            (negative, output([[-1, -1, -2]])),
            (cls(x=row, kernel_size=(1, 3), stride=1, dilation=(1, 2)), output([[5, 6, 7]])),
            *sizes,
        ]

    @example("EQV-06")
    def a_shift_that_is_no_multiple_of_the_stride(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """Pairs of a row rolled by 0, 1 and 2: only the roll by the stride rolls the output."""
        row = np.array([0.0, 0, 1, 1, 0, 0, 1, 1, 0, 0])
        outputs = ([0, 1, 0, 1, 0], [0, 1, 1, 1, 1], [0, 0, 1, 0, 1])
        return [
            (cls(x=image([np.roll(row, k)], dtype), kernel_size=(1, 2), stride=(1, 2)), output([y]))
            for k, y in enumerate(outputs)
        ]

    @example("MAXP-10", STRICT)
    def minus_infinity_alone(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """A window of minus infinities gives minus infinity, not the lowest finite number; plus infinity wins."""
        x = image([[-np.inf, -np.inf, -5.0, np.inf]], dtype)
        return [(cls(x=x, kernel_size=(1, 2), stride=1), output([[-np.inf, -5.0, np.inf]]))]

    @edge("MAXP-10", STRICT)
    def nothing_but_minus_infinity(cls: Any, pick: Pick) -> MaxPool2d:
        """An image of minus infinity throughout: nothing is larger, and yet every window has its largest elements."""
        problem: MaxPool2d = cls.draw(pick)
        return problem.but(x=np.full_like(problem.x, -np.inf))


def _backwards(x: Tensor) -> Tensor:
    return np.array(x[:, :, ::-1, ::-1], order="C")
