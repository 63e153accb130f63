"""Bugs of the gradients of the poolings."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backward import Gradients, wide
from .base import broken, rounded

BOTH = ("avg_pool2d_backward", "max_pool2d_backward")


class PoolGradients(Gradients):
    """The gradients of both poolings by one method."""

    ops = BOTH

    def wrong(self, problem: Any, right: Any) -> Any:
        return self.pooled(problem, right) if problem.name in self.ops else right

    def pooled(self, problem: Any, right: Any) -> Any:
        raise NotImplementedError


@broken(
    80,
    avg_pool2d_backward="overlapping_windows_add_up shares_of_a_gradient",
    max_pool2d_backward="overlapping_windows_add_up the_largest_gets_it_all",
)
class OverwritesWhereWindowsOverlap(PoolGradients):
    """A share is written, not added: where the even rows of windows have something, the odd ones overwrite it."""

    def pooled(self, problem: Any, right: Any) -> Any:
        even, odd = np.array(problem.grad_output), np.array(problem.grad_output)
        even[:, :, 1::2], odd[:, :, ::2] = 0, 0
        below, above = (wide(self.of(problem, grad_output=grad)) for grad in (even, odd))
        return rounded(np.where(above != 0, above, below), problem)


@broken(80, avg_pool2d_backward="stride_is_zero_stuffing", max_pool2d_backward="stride_is_zero_stuffing")
class LeavesOutTheLastColumnOfStrides(PoolGradients):
    """With a stride along the columns, the last window of a row gives nothing."""

    def pooled(self, problem: Any, right: Any) -> Any:
        if problem.stride[1] == 1:
            return right
        grad = np.array(problem.grad_output)
        grad[..., -1:] = 0
        return self.of(problem, grad_output=grad)


@broken(max_pool2d_backward="nothing_but_minus_infinity")
class SearchesFromMinusInfinity(PoolGradients):
    """The search for the largest starts at minus infinity, and where nothing is larger the gradient goes nowhere."""

    ops = ("max_pool2d_backward",)

    def pooled(self, problem: Any, right: Any) -> Any:
        return np.where(problem.x == -np.inf, 0, right).astype(problem.dtype)


@broken(80, avg_pool2d_backward="channels_are_separate", max_pool2d_backward="channels_are_separate")
class TakesTheFirstChannelsGradient(PoolGradients):
    """All channels get the gradient of the first."""

    def pooled(self, problem: Any, right: Any) -> Any:
        g = problem.grad_output
        return self.of(problem, grad_output=np.array(np.broadcast_to(g[:, :1], g.shape)))


@broken(80, avg_pool2d_backward="a_window_that_hangs_over every_window_gives_what_it_got exact_on_integers")
class CountsTheOtherWay(PoolGradients):
    """count_include_pad is read the wrong way round."""

    def pooled(self, problem: Any, right: Any) -> Any:
        if problem.name != "avg_pool2d_backward":
            return right
        return self.of(problem, count_include_pad=not problem.count_include_pad)


@broken(80, max_pool2d_backward="every_window_gives_what_it_got within_the_bound")
class GivesEqualTapsAllOfIt(PoolGradients):
    """x == maximum: every one of several equal elements gets the whole gradient."""

    def pooled(self, problem: Any, right: Any) -> Any:
        if problem.name != "max_pool2d_backward":
            return right
        return rounded(problem.collected(problem.won * wide(problem.grad_output)[..., None, None]), problem)


@broken(80, max_pool2d_backward="padding_takes_nothing every_window_gives_what_it_got within_the_bound")
class LetsPaddingWin(PoolGradients):
    """Padding counts as zero and takes the gradient of a window of negative numbers."""

    def pooled(self, problem: Any, right: Any) -> Any:
        if problem.name != "max_pool2d_backward":
            return right
        rows, columns = problem.forward.axes
        padded = ~(rows.inside.all(axis=1)[:, None] & columns.inside.all(axis=1))
        lost = padded & (wide(problem.forward.expected()) < 0)
        return self.of(problem, grad_output=np.where(lost, 0, problem.grad_output).astype(problem.dtype))


@broken(80, max_pool2d_backward="smaller_elements_get_nothing the_largest_gets_it_all within_the_bound")
class GivesEveryElementItsShare(PoolGradients):
    """A window's gradient is shared by all its elements, as after averaging."""

    def pooled(self, problem: Any, right: Any) -> Any:
        if problem.name != "max_pool2d_backward":
            return right
        return self.of(problem, x=np.zeros_like(problem.x))


@broken(max_pool2d_backward="what_is_not_finite_reaches_the_largest")
class ClearsTheGradient(PoolGradients):
    """NaN and infinities in grad_output are taken for zero, as after a gradient is clipped."""

    ops = ("max_pool2d_backward",)

    def pooled(self, problem: Any, right: Any) -> Any:
        g = problem.grad_output
        return self.of(problem, grad_output=np.where(np.isfinite(g), g, 0).astype(problem.dtype))


@broken(max_pool2d_backward="what_is_not_finite_reaches_the_largest")
class GivesInfinitiesToTheWholeWindow(PoolGradients):
    """Where a gradient is infinite, every element of its window gets it."""

    ops = ("max_pool2d_backward",)

    def pooled(self, problem: Any, right: Any) -> Any:
        given = np.where(np.isinf(problem.grad_output), wide(problem.grad_output), 0.0)[..., None, None]
        reached = problem.collected(np.broadcast_to(given, problem.won.shape))
        return rounded(np.where(np.isinf(reached), reached, wide(right)), problem)
