"""The gradient of max pooling."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import backward, backward_clauses, backward_laws, pool_backward_clauses, ties
from .backward import Backward, HiLo
from .dot import BETTER_THAN_DOUBLE
from .examples import POOLING, image, output
from .features import of_forward
from .formats import FORMATS
from .laws import small
from .max_pool2d import MaxPool2d
from .op import STRICT, Op, Padding, Pair, Run, Sides, Tensor, example, law, operation
from .pick import Pick
from .rounding import Arithmetic, Bound, dot_bound, is_whole
from .spoilt import ANY, spoil
from .subnormal import is_subnormal, without_subnormals
from .takers import collected, most_takers, takers

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]


@operation
class MaxPool2dBackward(Backward):
    """The gradient of max pooling, from the gradient of its output.

        grad_x[n,c,h,w] = sum of grad_output[n,c,i,j] over the windows (i,j) whose largest element is pixel (h, w)

    Where several taps of a window hold its largest value, its gradient may be given to one of them or split among them
    in any way, all parts of its own sign; it is never given twice. Windows that overlap add up. Padding takes nothing,
    also where all elements are negative. A pixel that is the largest of no window has gradient 0. What comes back for a
    window that holds NaN is not specified.

    Source: the chain rule on the lecture's max pooling; PyTorch max_pool2d under autograd, which gives all to the first
    of equal taps.
    """

    x: Tensor  # (N, C, H, W) images
    kernel_size: Pair  # (rows, columns) of the window
    stride: Pair  # (rows, columns) from one window to the next
    padding: Padding = ((0, 0), (0, 0))  # ((top, bottom), (left, right)) around the image
    dilation: Pair = (1, 1)  # (rows, columns) from one tap to the next
    ceil_mode: bool = False  # whether the size is rounded up
    grad_output: Tensor  # (N, C, I, J) the gradient of the output

    fresh = False
    features = of_forward(MaxPool2d.features)
    excluded = MaxPool2d.excluded
    chapters = (backward.of_forward(MaxPool2d), backward_clauses, pool_backward_clauses)
    the_input_times_its_gradient = backward_laws.the_input_times_its_gradient

    @property
    def forward(self) -> MaxPool2d:
        return backward.forward_of(self, MaxPool2d)

    @cached_property
    def won(self) -> ties.Mask:
        """Which taps hold the largest element of their window: (N, C, I, J, R, S)."""
        return ties.winners(self.forward)

    @cached_property
    def flushed(self) -> ties.Mask:
        """Which taps hold the largest element where subnormal numbers are taken for zero."""
        return ties.winners(self.forward.but(x=without_subnormals(self.x))) if is_subnormal(self.x).any() else self.won

    @property
    def random(self) -> bool:
        """Has a window several largest elements, so that its gradient may be split?"""
        return bool((self.won.sum(axis=(4, 5)) > 1).any())

    def settled(self, answer: Tensor) -> Op:
        """With ties: the legal gradient that is nearest to this answer."""
        return self.read(split=ties.nearest(self, np.asarray(answer, np.float64))) if self.random else self

    def collected(self, shares: Array) -> Array:
        """The sums over the windows of each pixel, of shares (N, C, I, J, R, S)."""
        rows, columns = self.forward.axes
        return collected((shares,), takers(rows), takers(columns))[0]

    def given(self, gradient: Array) -> Array:
        """What each window gives its taps, equal parts to equal ones: (N, C, I, J, R, S)."""
        shares = gradient / np.maximum(self.won.sum(axis=(4, 5)), 1)
        return np.asarray(self.won * shares[..., None, None])

    def references(self) -> dict[str, Array]:
        """Where no answer has settled it, equal parts to equal taps."""
        if "split" in self.reading:
            return {"grad_x": self.reading["split"]}
        return {"grad_x": self.collected(self.given(np.asarray(self.grad_output, np.float64)))}

    def truths(self) -> dict[str, HiLo]:
        if self.dtype != np.float64 or self.random:
            return super().truths()
        shares = self.given(np.asarray(self.grad_output, np.float64))
        rows, columns = self.forward.axes
        hi, lo = collected((shares, np.zeros_like(shares)), takers(rows), takers(columns))
        return {"grad_x": (hi, lo)}

    def judgements(self, arithmetic: Arithmetic) -> dict[str, Bound]:
        """A sum of the gradients of the windows that a pixel wins, in any order: rounding.dot_bound. Of one window it
        is a copy, and exact. What follows was derived here.

        Where a pixel ties, parts are rounded, as products are. Every window counts with its whole gradient B, and a
        split costs two roundings more, either of which may underflow. Let k be the largest error of a tied pixel over
        its B. A right answer a = s + e, s a legal split and |e| <= k*B, is moved onto what is legal in two steps
        (ties.nearest), each of at most k*B: into the interval of the pixel, and by its part of what the component then
        lacks, at most the sum of the |e|. Hence 2k*B there. The moves are made in float64, whose roundings come on top:
        one for each element of the channel.

        Where subnormal numbers are flushed, an input may be read as zero. A window in which that changes who wins may
        give its gradient to those that win either way, in any split: each of its candidates is off by |g|, and by what
        rounding adds to that in a sum with such terms.
        """
        added = self._added(arithmetic, split=False)
        return {"grad_x": self._tied(added, arithmetic) if self.random else added}

    @property
    def _moduli(self) -> Array:
        """Of what each window gives: (N, C, I, J, 1, 1)."""
        return np.abs(np.asarray(self.grad_output, np.float64))[..., None, None]

    def _wins(self, arithmetic: Arithmetic) -> ties.Mask:
        """Which taps may win their window in this arithmetic."""
        return self.won | self.flushed if arithmetic.flush_to_zero else self.won

    def _added(self, arithmetic: Arithmetic, *, split: bool) -> Bound:
        """The bound of sums of what windows give, of copies or, if it is split, of products."""
        g, wins = self._moduli, self._wins(arithmetic)
        terms = self.collected(np.where(wins & (g != 0), 1.0, 0.0))
        better = self.dtype == np.float64 and not self.random  # the truth is
        light = g < arithmetic.out.smallest_normal
        bound = dot_bound(
            self.references()["grad_x"],
            self.collected(np.where(wins, g, 0.0)),
            terms,
            arithmetic,
            whole=is_whole(self.grad_output) and not split,
            reference_unit=BETTER_THAN_DOUBLE if better else FORMATS["float64"].unit,
            flushed=self.collected(np.where(wins & light, g, 0.0)) if arithmetic.flush_to_zero and light.any() else 0.0,
            summed=not split,
        )
        if not arithmetic.flush_to_zero:
            return bound
        opened = np.any(self.won != self.flushed, axis=(4, 5), keepdims=True) & wins
        either = self.collected(np.where(opened, g, 0.0)) * (1 + 2 * (terms + 4) * arithmetic.unit)
        return replace(bound, tolerance=bound.tolerance + either, forced=bound.forced & (either == 0))

    def _tied(self, added: Bound, arithmetic: Arithmetic) -> Bound:
        """The bound with that of the pixels that tie, whose parts of a gradient are products."""
        g, wins = self._moduli, self._wins(arithmetic)
        size, most = (self.collected(np.where(of, g, 0.0)) for of in (self.won, wins))
        terms = self.collected(np.where(wins & (g != 0), 1.0, 0.0))
        tied = self.collected((self.won & (self.won.sum(axis=(4, 5), keepdims=True) > 1)) * g) > 0
        underflow = arithmetic.unit_factor * arithmetic.acc.spacing / 2
        if arithmetic.flush_to_zero:
            underflow = arithmetic.acc.smallest_normal
        split = 2 * (arithmetic.unit * most + underflow * terms * (1 + 2 * (terms + 4) * arithmetic.unit))
        rough = (self._added(arithmetic, split=True).tolerance + split) / np.where(size > 0, size, 1)
        loosest = rough[tied].max(initial=0.0) + (self.x[0, 0].size + 8) * FORMATS["float64"].unit
        tolerance = np.where(tied, 2 * loosest * size, added.tolerance)
        return replace(added, tolerance=tolerance, forced=added.forced & ~tied)

    @staticmethod
    def terms(forward: MaxPool2d) -> int:
        rows, columns = forward.axes
        return most_takers(rows) * most_takers(columns)

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls.drawn(MaxPool2d.draw(pick), pick)

    @law("BWD-13")
    def every_window_gives_what_it_got(self, run: Run, pick: Pick) -> Sides | None:
        """The gradient of a channel adds up to that of its outputs: none is lost and none given twice."""
        return run(self).sum((2, 3)), backward.total(self.grad_output, (2, 3))

    @law("BWD-13")
    def only_the_order_of_the_elements_matters(self, run: Run, pick: Pick) -> Sides | None:
        """Where no window has a tie, the gradient for x is that for 2x - 3, or for any other increasing function."""
        there = self.but(x=(2 * self.x - np.asarray(3, self.dtype)).astype(self.dtype))
        if self.random or not np.array_equal(there.won, self.won):
            return None  # ties, or rounding made or broke one
        return run(there), run(self)

    @law("BWD-13, MAXP-14")
    def smaller_elements_get_nothing(self, run: Run, pick: Pick) -> Sides | None:
        """A pixel that is the largest of no window, also with subnormal numbers taken for zero, has gradient 0."""
        lost = self.collected(np.where(self.won | self.flushed, 1.0, 0.0)) == 0
        return (run.values(self)[lost], np.zeros(int(lost.sum()))) if lost.any() else None

    @law("BWD-13, GEN-18", STRICT)
    def what_is_not_finite_reaches_the_largest(self, run: Run, pick: Pick) -> Sides | None:
        """A NaN or an infinity in grad_output comes to the one largest element of its window. The others of the window
        stay as they were, or are NaN by a mask of zeros; everything else stays as it was."""
        candidates = self.won | self.flushed
        several = candidates.sum(axis=(4, 5), keepdims=True) > 1  # whose gradient may be split otherwise the next time
        alone = np.argwhere(~several[..., 0, 0])
        if not len(alone):
            return None
        at, value = tuple(alone[pick.integer(0, len(alone) - 1)]), pick.one_of(ANY)
        here = self.but(grad_output=small(self.grad_output))
        taps = np.zeros(self.won.shape)
        taps[at] = 1
        won, seen, tied = (
            self.collected(shares) > 0 for shares in (taps * self.won, taps, 1.0 * (several & candidates))
        )
        clean = run(here)
        found = run.values(spoil(here, "grad_output", at, value))
        found = np.where(seen & ~won & np.isnan(found), clean.value, found)
        told = won | ~tied
        return clean.like(found)[told], clean.like(np.where(won, value, clean.value))[told]

    @example("BWD-13, MAXP-02")
    def the_largest_gets_it_all(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """The slide's 4x4 block, gradient 1 2 3 4, under 2x2 windows with stride 2; and 1 2 4 8 under 3x3 windows with
        stride 1, where the 7 and the 8 are the largest of two windows each."""
        x = image(POOLING, dtype)
        apart = [[0, 0, 0, 0], [0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 0, 4]]
        shared = [[0, 0, 0, 0], [0, 0, 5, 10], [0, 0, 0, 0], [0, 0, 0, 0]]
        return [
            (cls(x=x, kernel_size=2, stride=2, grad_output=image([[1, 2], [3, 4]], dtype)), output(apart)),
            (cls(x=x, kernel_size=3, stride=1, grad_output=image([[1, 2], [4, 8]], dtype)), output(shared)),
        ]

    @example("BWD-13, MAXP-07")
    def padding_takes_nothing(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """-1 -2 -3 with a column of padding on both sides, gradient 1 2 4: the -1 is the largest of two windows."""
        x, grad = image([[-1, -2, -3]], dtype), image([[1, 2, 4]], dtype)
        problem = cls(x=x, kernel_size=(1, 3), stride=1, padding=((0, 0), (1, 1)), grad_output=grad)
        return [(problem, output([[3, 4, 0]]))]
