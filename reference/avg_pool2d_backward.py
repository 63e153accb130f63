"""The gradient of average pooling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import backward, backward_clauses, backward_laws, pool_backward_clauses
from .averages import likely_average
from .avg_pool2d import AvgPool2d
from .backward import Backward, HiLo
from .dot import BETTER_THAN_DOUBLE
from .examples import image, output
from .features import of_forward
from .formats import FORMATS
from .measured import two_product
from .op import Op, Padding, Pair, Run, Sides, Tensor, example, law, operation
from .pick import Pick
from .rounding import Arithmetic, Bound, Mask, forced_where, is_whole, own_rounding
from .takers import collected, most_takers, takers

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]


@operation
class AvgPool2dBackward(Backward):
    """The gradient of average pooling, from the gradient of its output.

        grad_x[n,c,h,w] = sum of grad_output[n,c,i,j] / D[i,j] over the windows that hold pixel (h, w)

    D is the divisor of the forward operation: with count_include_pad the taps inside the padded image, without it those
    inside the image. (A backend may declare `avg_divisor: full` as there.) What falls to the padding is lost. A pixel
    in no window has gradient 0. The values of x do not matter, only its shape.

    Source: the chain rule on the lecture's average pooling; PyTorch avg_pool2d under autograd.
    """

    x: Tensor  # (N, C, H, W) images
    kernel_size: Pair  # (rows, columns) of the window
    stride: Pair  # (rows, columns) from one window to the next
    padding: Padding = ((0, 0), (0, 0))  # ((top, bottom), (left, right)) around the image
    ceil_mode: bool = False  # whether the size is rounded up
    count_include_pad: bool = True  # whether padding counts in the divisor
    grad_output: Tensor  # (N, C, I, J) the gradient of the output

    spreads = "adds"
    has_windows = True
    fresh = False
    features = of_forward(AvgPool2d.features)
    excluded = AvgPool2d.excluded
    chapters = (backward.of_forward(AvgPool2d), backward_clauses, pool_backward_clauses)
    the_gradient_is_the_adjoint = backward_laws.the_gradient_is_the_adjoint

    @property
    def forward(self) -> AvgPool2d:
        return backward.forward_of(self, AvgPool2d)

    def declared(self, conventions: Mapping[str, str]) -> Op:
        """The divisor of the forward operation, as the backend declares it."""
        reading = self.forward.declared(conventions).reading
        return self.read(**reading) if reading else self

    def collected(self, *shares: Array) -> tuple[Array, ...]:
        """The sums over the windows of each pixel, of shares (N, C, I, J): in one part, or as hi + lo."""
        rows, columns = self.forward.axes
        taps = (rows.taps, columns.taps)
        spread = tuple(np.broadcast_to(a[..., None, None], (*a.shape, *taps)) for a in shares)
        return collected(spread, takers(rows), takers(columns))

    def references(self) -> dict[str, Array]:
        return {"grad_x": self.collected(np.asarray(self.grad_output, np.float64) / self.forward.divisor)[0]}

    def truths(self) -> dict[str, HiLo]:
        if self.dtype != np.float64:
            return super().truths()
        g, d = np.asarray(self.grad_output, np.float64), self.forward.divisor
        share = g / d
        back, lost = two_product(share, np.broadcast_to(d, share.shape))
        hi, lo = self.collected(share, ((g - back) - lost) / d)
        return {"grad_x": (hi, lo)}

    def judgements(self, arithmetic: Arithmetic) -> dict[str, Bound]:
        """A sum of T quotients g/D, where the forward operation has one quotient of a sum.

        A quotient costs two roundings, if 1/D is taken first, or none where D is a power of two. With B the sum of
        the |g|/D and M = (B + |y|)/2 as in rounding.dot_bound,

            E = q * B' + (T-1)*u * (M + q*B') / (1 - (T-1)*u),  q = 2u + u^2, B' where D is no power of two.

        Where all D of a pixel are equal a division after the sum is no worse. Integers over powers of two are multiples
        of 1/D for the largest D: where M * D fits the significand the sum is exact. Derived here; the figures of E are
        float64 sums themselves, by whose rounding it is enlarged (rounding.own_rounding).
        """
        g, d = np.asarray(self.grad_output, np.float64), self.forward.divisor
        out, acc, u = arithmetic.out, arithmetic.acc, arithmetic.unit
        power = np.broadcast_to(np.frexp(d)[0] == 0.5, g.shape)
        share = np.abs(g) / d
        y, magnitude, rough, terms = (
            self.collected(a)[0] for a in (g / d, share, np.where(power, 0.0, share), (g != 0).astype(np.float64))
        )
        partial, additions = (magnitude + np.abs(y)) / 2, np.maximum(terms - 1, 0)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            growth, rough = 1 - additions * u, (2 * u + u * u) * rough
            error = rough + (additions * u * (partial + rough) + 2 * terms * acc.spacing) / growth
            if arithmetic.flush_to_zero:
                error = error + terms * (3 * acc.smallest_normal / growth + out.smallest_normal)
            error = np.where(growth > 0, error * (1 + own_rounding(terms)), np.inf)
            if arithmetic.widens:
                error = error + out.unit * (np.abs(y) + error)
            reference = BETTER_THAN_DOUBLE if self.dtype == np.float64 else FORMATS["float64"].unit
            error = error + (terms + 2) * reference * magnitude + out.spacing / 2
            overflows: Mask = ~(d.max(initial=1) * (partial + error) < acc.largest)
        error = np.where(magnitude == 0, 0.0, error)
        bound = Bound(error, magnitude == 0, overflows, np.abs(y) + magnitude, terms)
        fits = (rough == 0) & (partial * d.max(initial=1) <= 2.0**acc.p)
        exact = fits if is_whole(self.grad_output) else np.zeros(y.shape, bool)
        return {"grad_x": forced_where(exact, bound, y, arithmetic)}

    def likely_errors(self, arithmetic: Arithmetic) -> dict[str, Array]:
        """A sum of shares g/D, each of a D of its own."""
        g, d = np.asarray(self.grad_output, np.float64), self.forward.divisor
        with np.errstate(over="ignore", invalid="ignore"):
            share = g / d
            rough = np.where(np.frexp(d)[0] == 0.5, 0.0, share**2)
            value, squares, terms, divided = (
                self.collected(a)[0] for a in (share, share**2, (g != 0).astype(np.float64), rough)
            )
            return {"grad_x": likely_average(value, squares, terms, divided, arithmetic)}

    @staticmethod
    def terms(forward: AvgPool2d) -> int:
        rows, columns = forward.axes
        return most_takers(rows) * most_takers(columns)

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls.drawn(AvgPool2d.draw(pick), pick)

    @law("BWD-12")
    def values_of_the_image_do_not_matter(self, run: Run, pick: Pick) -> Sides | None:
        """An image of zeros has the same gradient."""
        return run(self), run(self.but(x=np.zeros_like(self.x)))

    @law("BWD-12, AVGP-03")
    def every_window_gives_what_it_got(self, run: Run, pick: Pick) -> Sides | None:
        """Where only input elements are counted, nothing falls to the padding: the gradient of a channel adds up to
        that of its outputs."""
        inside = self.but(count_include_pad=False)
        channels = run(inside).sum((2, 3))
        return channels, backward.total(inside.grad_output, (2, 3))

    @example("BWD-12, AVGP-04")
    def shares_of_a_gradient(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """A gradient 4 8 12 16 over a 4x4 image: 2x2 windows with stride 2 give quarters; 3x3 ones with stride 1 give
        ninths, which add up where they overlap."""
        x, grad = image(np.zeros((4, 4)), dtype), image([[4, 8], [12, 16]], dtype)
        quarters = [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
        ninths = np.array([[4, 12, 12, 8], [16, 40, 40, 24], [16, 40, 40, 24], [12, 28, 28, 16]]) / 9
        return [
            (cls(x=x, kernel_size=2, stride=2, grad_output=grad), output(quarters)),
            (cls(x=x, kernel_size=3, stride=1, grad_output=grad), output(ninths)),
        ]

    @example("BWD-12, AVGP-03")
    def a_window_that_hangs_over(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """A row of 6 under three taps, stride 2, padding 1, rounded up: windows of 3, 3, 3 and, with one padding, 2
        taps share 6 each; where only input elements are counted, the first and the last window have 2 and 1."""
        x, grad = image(np.zeros((1, 6)), dtype), image([[6, 6, 6, 6]], dtype)
        over = cls(x=x, kernel_size=(1, 3), stride=(1, 2), padding=((0, 0), (1, 1)), ceil_mode=True, grad_output=grad)
        return [
            (over, output([[2, 4, 2, 4, 2, 5]])),
            (over.but(count_include_pad=False), output([[3, 5, 2, 4, 2, 8]])),
        ]
