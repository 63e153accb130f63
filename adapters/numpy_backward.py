"""The gradients in NumPy, tap by tap: each tap's share is added to what it lay on, where the reference collects.

16-bit arrays are computed in float32 and rounded once at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import AvgPool2dBackward, Conv2dBackward, LinearBackward, MaxPool2dBackward, ReluBackward

from .numpy_backward_norm import Gradient, NormGradients, narrow
from .taps import MODES, counts, in_groups, padded, pooled, taps, wide

Tensor = npt.NDArray[Any]


class Gradients(NormGradients):
    """The backward operations."""

    def conv2d_backward(self, problem: Conv2dBackward) -> Gradient:
        problem.validate()
        x = in_groups(padded(wide(problem.x), problem.padding, problem.padding_mode), 1, problem.groups)
        weight, g = in_groups(wide(problem.weight), 0, problem.groups), in_groups(_g(problem), 1, problem.groups)
        grad_x, grad_weight = np.zeros_like(x), np.zeros_like(weight)
        for (r, s), at in taps(weight.shape[3:], problem.dilation, problem.stride, g.shape[3:]):
            grad_x[..., *at] += np.einsum("ngkij,gkc->ngcij", g, weight[..., r, s])
            grad_weight[..., r, s] = np.einsum("ngkij,ngcij->gkc", g, x[..., *at])
        grad_x = grad_x.reshape(*problem.x.shape[:2], *x.shape[3:])
        grad_weight = grad_weight.reshape(problem.weight.shape)
        for axis, sides in enumerate(problem.padding):
            grad_x = _folded(grad_x, 2 + axis, problem.x.shape[2 + axis], sides, problem.padding_mode)
        return narrow(problem, grad_x, grad_weight, _g(problem).sum(axis=(0, 2, 3)))

    def linear_backward(self, problem: LinearBackward) -> Gradient:
        problem.validate()
        g = _g(problem)
        grad_x = np.einsum("no,of->nf", g, wide(problem.weight))
        grad_weight = np.einsum("no,nf->of", g, wide(problem.x))
        return narrow(problem, grad_x, grad_weight, g.sum(axis=0))

    def relu_backward(self, problem: ReluBackward) -> Tensor:
        problem.validate()
        return np.where(problem.x > 0, problem.grad_output, np.zeros((), problem.dtype))

    def avg_pool2d_backward(self, problem: AvgPool2dBackward) -> Tensor:
        problem.validate()
        grad = np.zeros(problem.x.shape, wide(problem.x).dtype)
        share = _g(problem) / counts(problem.forward).astype(grad.dtype)
        for at, taken in pooled(problem.forward.but(x=grad), (1, 1)):
            taken += share[at]  # a view of the gradient
        return grad.astype(problem.dtype)

    def max_pool2d_backward(self, problem: MaxPool2dBackward) -> Tensor:
        """All to the first of equal taps, in the order of rows and columns."""
        problem.validate()
        forward, g = problem.forward, _g(problem)
        grad, largest = np.zeros(problem.x.shape, g.dtype), np.full(g.shape, -np.inf, problem.dtype)
        for at, seen in pooled(forward, problem.dilation):
            largest[at] = np.maximum(largest[at], seen)
        left = np.ones(g.shape, bool)
        places = zip(pooled(forward, problem.dilation), pooled(forward.but(x=grad), problem.dilation), strict=True)
        for (at, seen), (_, taken) in places:
            won = left[at] & (seen == largest[at])
            taken += np.where(won, g[at], g.dtype.type(0))
            left[at] &= ~won
        return grad.astype(problem.dtype)


def _g(problem: Any) -> Tensor:
    return wide(problem.grad_output)


def _folded(grad: Tensor, axis: int, length: int, sides: tuple[int, int], mode: str) -> Tensor:
    """The gradient of a padded axis, each element of the border added to the one that it copies."""
    rows = np.moveaxis(grad, axis, 0)
    if mode == "zeros":
        inside = rows[sides[0] : sides[0] + length]
    else:
        copies = np.arange(length) if not any(sides) else np.pad(np.arange(length), sides, MODES[mode])  # type: ignore[call-overload]
        inside = np.zeros((length, *rows.shape[1:]), grad.dtype)
        for row, source in zip(rows, copies, strict=True):
            inside[source] += row
    return np.moveaxis(inside, 0, axis)
