"""Gradients that are unusual and right."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Right, rounded, wide


class SplitsTiesUnevenly(Right):
    """Equal largest elements get shares of the gradient by where they lie, the last one most."""

    def max_pool2d_backward(self, problem: Any) -> Any:
        problem.validate()
        places = np.arange(1.0, 1 + np.prod(problem.kernel_size)).reshape(problem.kernel_size) ** 2
        shares = problem.won * places
        total = shares.sum(axis=(4, 5), keepdims=True)
        given = shares / np.where(total > 0, total, 1) * wide(problem.grad_output)[..., None, None]
        return rounded(problem.collected(given), problem)


class GivesTiesToTheLast(Right):
    """The last of equal largest elements gets the whole gradient."""

    def max_pool2d_backward(self, problem: Any) -> Any:
        problem.validate()
        won = problem.won.reshape(*problem.won.shape[:4], int(np.prod(problem.kernel_size)))[..., ::-1]
        last = (won & (won.cumsum(axis=-1) == 1))[..., ::-1].reshape(problem.won.shape)
        return rounded(problem.collected(last * wide(problem.grad_output)[..., None, None]), problem)


class AddsImagesBackwards(Right):
    """Gradients of parameters, rounded for each image, are added up from the last image to the first."""

    def conv2d_backward(self, problem: Any) -> Any:
        return self.turned(problem)

    def linear_backward(self, problem: Any) -> Any:
        return self.turned(problem)

    def turned(self, problem: Any) -> Any:
        problem.validate()
        dtype = problem.dtype
        grad_x = np.zeros(problem.x.shape, dtype)
        grads = [np.zeros(problem.weight.shape, dtype), np.zeros(problem.weight.shape[:1], dtype)]
        for n in reversed(range(len(problem.x))):
            one = self.answer(problem.image(n).but(bias=np.zeros(problem.weight.shape[0], dtype)))
            grad_x[n] = one[0][0]
            grads = [total + part for total, part in zip(grads, one[1:], strict=True)]
        return grad_x, grads[0], None if problem.bias is None else grads[1]


class DividesByWholeWindows(Right):
    """Average pooling whose divisor is always the size of the window where padding is counted, there and back."""

    conventions = {"avg_divisor": "full"}  # noqa: RUF012

    def avg_pool2d(self, problem: Any) -> Any:
        problem.validate()
        return self.answer(problem.declared(self.conventions))

    def avg_pool2d_backward(self, problem: Any) -> Any:
        return self.avg_pool2d(problem)


class MultipliesByAMask(Right):
    """grad_output * (x > 0): NaN where an infinite gradient meets a zero."""

    def relu_backward(self, problem: Any) -> Any:
        problem.validate()
        with np.errstate(invalid="ignore"):
            return rounded(wide(problem.grad_output) * (wide(problem.x) > 0), problem)


LEGAL_BACKWARD: tuple[tuple[type, tuple[str, ...]], ...] = (
    (SplitsTiesUnevenly, ("max_pool2d_backward",)),
    (GivesTiesToTheLast, ("max_pool2d_backward",)),
    (AddsImagesBackwards, ("conv2d_backward", "linear_backward")),
    (DividesByWholeWindows, ("avg_pool2d_backward",)),
    (MultipliesByAMask, ("relu_backward",)),
    (Right, ("relu_backward", "max_pool2d_backward")),
)
