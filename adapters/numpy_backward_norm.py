"""The gradients of the normalizations in NumPy: from x_hat, and the means of grad_output and of its product with x_hat.

16-bit arrays are computed in float32 and rounded once at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import BatchNorm2dBackward, GroupNormBackward, LayerNormBackward

from .taps import wide

Tensor = npt.NDArray[Any]
Gradient = tuple[Tensor, Tensor | None, Tensor | None]


class NormGradients:
    """The backward operations of the normalizations."""

    def layer_norm_backward(self, problem: LayerNormBackward) -> Gradient:
        problem.validate()
        x, g = wide(problem.x), wide(problem.grad_output)
        x_hat, deviation = _standardized(x, tuple(range(-problem.axes, 0)), problem.eps)
        h = g if problem.weight is None else g * wide(problem.weight)
        grad_x = _projected(h, x_hat, tuple(range(-problem.axes, 0))) / deviation
        lead = tuple(range(x.ndim - problem.axes))
        return narrow(problem, grad_x, (g * x_hat).sum(axis=lead), g.sum(axis=lead))

    def group_norm_backward(self, problem: GroupNormBackward) -> Gradient:
        problem.validate()
        g, h = _images(problem)
        n, c, height, width = problem.x.shape
        grouped, axes = (n, problem.groups, c // problem.groups, height, width), (2, 3, 4)
        x_hat, deviation = _standardized(wide(problem.x).reshape(grouped), axes, problem.eps)
        grad_x = (_projected(h.reshape(grouped), x_hat, axes) / deviation).reshape(g.shape)
        return narrow(problem, grad_x, (g * x_hat.reshape(g.shape)).sum(axis=(0, 2, 3)), g.sum(axis=(0, 2, 3)))

    def batch_norm2d_backward(self, problem: BatchNorm2dBackward) -> Gradient:
        problem.validate()
        (g, h), x, axes = _images(problem), wide(problem.x), (0, 2, 3)
        if problem.training:
            x_hat, deviation = _standardized(x, axes, problem.eps)
            grad_x = _projected(h, x_hat, axes) / deviation
        else:
            assert problem.running_mean is not None
            assert problem.running_var is not None
            deviation = np.sqrt(wide(problem.running_var) + x.dtype.type(problem.eps))[:, None, None]
            x_hat = (x - wide(problem.running_mean)[:, None, None]) / deviation
            grad_x = h / deviation
        return narrow(problem, grad_x, (g * x_hat).sum(axis=axes), g.sum(axis=axes))


def _images(problem: Any) -> tuple[Tensor, Tensor]:
    """grad_output, and it times the weight of each channel."""
    g = wide(problem.grad_output)
    return g, g if problem.weight is None else g * wide(problem.weight)[:, None, None]


def narrow(problem: Any, grad_x: Tensor, grad_weight: Tensor, grad_bias: Tensor) -> Gradient:
    """Rounded to the dtype of the problem; None for a parameter that is not there."""
    dtype = problem.dtype
    return (
        grad_x.astype(dtype),
        None if problem.weight is None else grad_weight.astype(dtype),
        None if problem.bias is None else grad_bias.astype(dtype),
    )


def _standardized(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
    """x less its mean over its deviation, in two passes, and the deviation."""
    if not x.size:
        return x, np.ones((), x.dtype)
    centred = x - x.mean(axis=axes, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axis=axes, keepdims=True) + x.dtype.type(eps))
    return centred / deviation, deviation


def _projected(h: Tensor, x_hat: Tensor, axes: tuple[int, ...]) -> Tensor:
    """h less its mean and less its part along x_hat: neither moves the standardized x."""
    if not h.size:
        return h
    along = (h * x_hat).mean(axis=axes, keepdims=True)
    return np.asarray(h - h.mean(axis=axes, keepdims=True) - x_hat * along)
