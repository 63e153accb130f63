"""The lecture's first formula: true convolution, flipped and centred."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import rules
from .conv2d import Conv2d
from .dot import Factors, as_float, exact_dot, judge_dot, likely_dot
from .examples import ANIMATION, COUNTING, CROSS
from .features import AXES, Feature, excluded, sizes, stratum
from .laws import combined, parts, small
from .op import CORE, STRICT, Op, Run, Shape, Sides, Tensor, edge, example, law, operation, rule
from .pick import Pick
from .rounding import Arithmetic, Bound
from .window import STRETCHED, WIDE, Window

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]


def _along(axis: int) -> tuple[Feature, ...]:
    """Taps along an axis, and its length against them."""

    def taps(problem: Any) -> str:
        r = problem.kernel.shape[axis]
        return str(r) if r <= 3 else "odd"

    def length(problem: Any) -> str:
        n, r = problem.x.shape[axis], problem.kernel.shape[axis]
        return "1" if n == 1 else "short" if n < r else "kernel" if n == r else "longer"

    def large(problem: Any) -> str | None:
        r = problem.kernel.shape[axis]
        return str(r) if r >= 7 and problem.x.shape[axis] >= r else None  # all taps are on the image at once

    name = AXES[axis]
    return (
        Feature(f"{name}.taps", ("1", "3", "odd"), taps),
        Feature(f"{name}.length", ("1", "short", "kernel", "longer"), length),
        Feature(f"{name}.large", ("7", "9"), large, alone=True),
        sizes(name, lambda p: int(p.x.shape[axis]), (STRETCHED, WIDE)[axis]),
    )


@operation
class Convolve2d(Op):
    """Convolve one matrix with a centred, flipped kernel of odd size, with zeros outside.

        y[i,j] = sum over u in [-a, a], v in [-b, b] of kernel[a + u, b + v] * x[i - u, j - v]

    The kernel is (2a+1, 2b+1) and is stored with its corner u = -a, v = -b first, so that it is flipped: a
    single one in x
    is replaced by the kernel itself. The output has the size of x. Source: the lecture's G[i,j], whose legend "k x
    k" means
    (2k+1) x (2k+1).
    """

    x: Tensor  # (H, W) an image of one channel
    kernel: Tensor  # (2a+1, 2b+1) stored with its corner u = -a, v = -b first

    spreads = "adds"
    has_windows = True
    has_batch = False
    features = (*_along(0), *_along(1), stratum("square", lambda p: p.x.shape == p.kernel.shape != (1, 1)))
    excluded = tuple(e for a in AXES for e in excluded((f"{a}.taps=1 {a}.length=short|kernel", "one tap is the least")))

    @property
    def axes(self) -> tuple[Window, Window]:
        """The windows along the rows and along the columns."""
        rows, columns = (
            Window(n, r, before=r // 2, after=r // 2) for n, r in zip(self.x.shape, self.kernel.shape, strict=True)
        )
        return rows, columns

    def output_shape(self) -> Shape:
        return self.x.shape

    def multiply(self, x: Array, kernel: Array) -> Array:
        if not x.size:
            return np.zeros(x.shape)
        a, b = kernel.shape[0] // 2, kernel.shape[1] // 2
        around = np.pad(x, ((a, a), (b, b)))
        seen = np.lib.stride_tricks.sliding_window_view(around, kernel.shape)
        return np.asarray(np.tensordot(seen, kernel[::-1, ::-1], 2))

    def reference(self) -> Array:
        return self.multiply(as_float(self.x), as_float(self.kernel))

    def truth(self) -> tuple[Array, Array]:
        if self.dtype != np.float64 or not self.x.size:
            return super().truth()
        a, b = self.kernel.shape[0] // 2, self.kernel.shape[1] // 2
        around = np.pad(as_float(self.x), ((a, a), (b, b)))
        seen = np.lib.stride_tricks.sliding_window_view(around, self.kernel.shape)
        flipped = as_float(self.kernel)[::-1, ::-1].reshape(-1)
        return exact_dot(seen.reshape(*self.x.shape, -1), np.broadcast_to(flipped, (1, 1, flipped.size)), None)

    def judgement(self, arithmetic: Arithmetic) -> Bound:
        """That of a sum of products: rounding.dot_bound."""
        return judge_dot(*self._factors(), arithmetic, self.dtype)

    def likely_errors(self, arithmetic: Arithmetic) -> dict[str, Array]:
        return {"y": likely_dot(*self._factors(), arithmetic)}

    def _factors(self) -> Factors:
        return self.multiply, as_float(self.x), as_float(self.kernel), None

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        a, b = (pick.one_of((0, 1, 2, 3, 4), often) for often in ((15, 44, 24, 13, 4), (20, 39, 24, 13, 4)))
        long = pick.one_of(("", "columns", "rows"), (88, 8, 4))
        h = pick.one_of(STRETCHED) if long == "rows" else pick.integer(1, 12)
        w = pick.one_of(WIDE) if long == "columns" else pick.integer(1, 12, unlike=(h,))
        data = pick.data((2 * a + 1) * (2 * b + 1))
        return cls(x=data.array((h, w)), kernel=data.array((2 * a + 1, 2 * b + 1), "weight"))

    @rule(
        lambda self, pick: self.but(**pick.one_of(({"x": self.x[None]}, {"kernel": self.kernel[None]}))),
        STRICT,
        "CONV-12",
    )
    def ranks_are_right(self) -> bool:
        """x and kernel have two axes."""
        return rules.ranks(self, x=2, kernel=2)

    @rule(lambda self, pick: _even(self, pick), CORE, "L007, E02")
    def the_kernel_has_a_centre(self) -> bool:
        """Both sides of the kernel are odd."""
        return bool(self.kernel.shape[0] % 2 == 1 and self.kernel.shape[1] % 2 == 1)

    @law("LAW-C5, CONV-02")
    def it_is_a_correlation_with_the_flipped_kernel(self, run: Run, pick: Pick) -> Sides | None:
        """It is what Conv2d gives with the kernel reversed along both axes and padded by half of it on every side."""
        a, b = self.kernel.shape[0] // 2, self.kernel.shape[1] // 2
        flipped = np.array(self.kernel[::-1, ::-1], order="C")[None, None]
        correlated = Conv2d(x=self.x[None, None], weight=flipped, padding=((a, a), (b, b)))
        return run(self), run(correlated)[0, 0]

    @law("LAW-C28")
    def image_and_kernel_may_be_exchanged(self, run: Run, pick: Pick) -> Sides | None:
        """x * k = k * x: with x of odd size and both surrounded by enough zeros, their roles may be exchanged."""
        h, w = (n - 1 + n % 2 for n in self.x.shape)
        x = np.array(self.x[:h, :w], order="C")
        a, b, c, d = self.kernel.shape[0] // 2, self.kernel.shape[1] // 2, h // 2, w // 2
        one = self.but(x=np.pad(x, ((a, a), (b, b))))
        other = self.but(x=np.pad(self.kernel, ((c, c), (d, d))), kernel=x)
        return run(one), run(other)

    @law("LAW-C1")
    def linear_in_the_image(self, run: Run, pick: Pick) -> Sides | None:
        """Convolving 2u + v gives twice the result for u plus the result for v."""
        u, v = parts(self.x, pick)
        return run(self.but(x=combined(u, v))), 2 * run(self.but(x=u)) + run(self.but(x=v))

    @law("LAW-C2")
    def linear_in_the_kernel(self, run: Run, pick: Pick) -> Sides | None:
        """The kernel 2u + v gives twice the result of u plus the result of v."""
        u, v = parts(self.kernel, pick)
        return run(self.but(kernel=combined(u, v))), 2 * run(self.but(kernel=u)) + run(self.but(kernel=v))

    @law("LAW-C18")
    def two_kernels_are_one(self, run: Run, pick: Pick) -> Sides | None:
        """Away from the border, convolving with one kernel and then another is convolving with their convolution."""
        k1 = small(self.kernel)
        k2 = small(np.arange(9, dtype=np.float64).reshape(3, 3)).astype(self.dtype)
        both = np.zeros((k1.shape[0] + 2, k1.shape[1] + 2))
        for u in range(3):
            for v in range(3):
                both[u : u + k1.shape[0], v : v + k1.shape[1]] += float(k2[u, v]) * as_float(k1)
        a, b = both.shape[0] // 2, both.shape[1] // 2
        x = np.pad(small(self.x), ((a, a), (b, b)))
        middle = run(self.but(x=x, kernel=k1))
        if middle.tolerance.any():
            return None
        twice = run(self.but(x=middle.value.astype(self.dtype), kernel=k2))
        once = run(self.but(x=x, kernel=both.astype(self.dtype)))
        return twice[a:-a, b:-b], once[a:-a, b:-b]

    @law("EQV-04")
    def shifts_with_zeros_around(self, run: Run, pick: Pick) -> Sides | None:
        """An image with a border of zeros, moved within it, moves its output."""
        x = np.pad(self.x, 2)
        a, b = pick.integer(-2, 2), pick.integer(-2, 2)
        here, there = run(self.but(x=x)), run(self.but(x=np.roll(x, (a, b), (0, 1))))
        return there[2 + a : -2 + a or None, 2 + b : -2 + b or None], here[2:-2, 2:-2]

    @law("CONV-02")
    def a_single_one_becomes_the_kernel(self, run: Run, pick: Pick) -> Sides | None:
        """A matrix with a single one far enough from its border gives the kernel around that one, not flipped."""
        h, w = self.kernel.shape
        x = np.zeros((h + pick.integer(0, 1), w + pick.integer(0, 1)), self.dtype)
        x[h // 2, w // 2] = 1
        return run.values(self.but(x=x))[:h, :w], as_float(self.kernel)

    @example("CONV-19, L006, E03")
    def the_animated_example(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """The animated 5x5 image: the symmetric filter hides the flip, the filter 1..9 shows it, in the middle 3x3."""
        x = np.asarray(ANIMATION, np.float64).astype(dtype)
        symmetric = [[2, 2, 3, 1, 1], [1, 4, 3, 4, 1], [1, 2, 4, 3, 3], [1, 2, 3, 4, 1], [0, 2, 2, 1, 1]]
        counting = [
            [10, 18, 17, 11, 3],
            [19, 34, 35, 26, 11],
            [7, 20, 36, 37, 23],
            [1, 14, 29, 38, 23],
            [4, 16, 26, 23, 9],
        ]
        return [
            (cls(x=x, kernel=np.asarray(CROSS, np.float64).astype(dtype)), np.asarray(symmetric, np.float64)),
            (cls(x=x, kernel=np.asarray(COUNTING, np.float64).astype(dtype)), np.asarray(counting, np.float64)),
        ]

    @edge("CONV-10")
    def one_pixel(cls: Any, pick: Pick) -> Convolve2d:
        """One pixel under a kernel larger than it meets the kernel's centre."""
        problem: Convolve2d = cls.draw(pick)
        return problem.but(x=problem.x[:1, :1])

    @edge("GEN-23", STRICT, may_refuse=True)
    def no_pixels(cls: Any, pick: Pick) -> Convolve2d:
        """An image without rows or columns may be refused; accepted, it gives one of the same size."""
        problem: Convolve2d = cls.draw(pick)
        return problem.but(x=np.array(pick.one_of((problem.x[:0], problem.x[:, :0])), order="C"))

    @edge("CONV-10")
    def a_kernel_larger_than_the_image(cls: Any, pick: Pick) -> Convolve2d:
        """A kernel longer than the image on both axes."""
        problem: Convolve2d = cls.draw(pick)
        a, b = problem.x.shape
        return problem.but(kernel=np.resize(problem.kernel, (a + 1 + a % 2, b + 1 + b % 2)))


def _even(problem: Convolve2d, pick: Pick) -> Convolve2d:
    longer = np.concatenate([problem.kernel, problem.kernel[:1]], axis=0)
    wider = np.concatenate([problem.kernel, problem.kernel[:, :1]], axis=1)
    return problem.but(kernel=pick.one_of((longer, wider)))
