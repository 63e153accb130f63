"""Gradients as sums of products: each of two arrays is one, of the gradient of the output with the other array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import Conv2dBackward, LinearBackward, Op

from .form import SPIKES, Form

Tensor = npt.NDArray[Any]


def conv2d_backward(
    name: str,
    size: tuple[int, int],
    filters: tuple[int, int, int, int],
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> tuple[Form, Form]:
    """grad_x and grad_weight, of outputs of this size."""
    n, (k, depth, *taps) = 2, filters
    fields: dict[str, Any] = {
        "stride": (stride, stride),
        "padding": ((padding, padding), (padding, padding)),
        "dilation": (dilation, dilation),
        "groups": groups,
    }

    def images(gradient: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of x."""
        sides = ((i - 1) * stride + (t - 1) * dilation + 1 - 2 * padding for i, t in zip(gradient, taps, strict=True))
        return (depth * groups, *sides)

    def of_x(a: Tensor, b: Tensor) -> Op:
        x = np.zeros((a.shape[0], *images(a.shape[2:])), a.dtype)
        return Conv2dBackward(x=x, weight=b.reshape(filters), grad_output=a, **fields)

    def of_weight(a: Tensor, b: Tensor) -> Op:
        return Conv2dBackward(x=a, weight=np.zeros(filters, a.dtype), grad_output=b, **fields)

    return (
        Form(
            name=f"grad_x {name}",
            build=of_x,
            a=(n, k, *size),
            b=(groups, k // groups, depth, *taps),  # a channel of x sees the filters of its group alone
            rows=(0, 2),
            summed=(1, 1),
            apart=0,
            output="grad_x",
            spread=(SPIKES, k, 24, 25),
            space=(2, 3),
        ),
        Form(
            name=f"grad_weight {name}",
            build=of_weight,
            a=(n, *images(size)),
            b=(n, k, *size),
            rows=(1,),
            summed=(0, 0),
            apart=1,
            output="grad_weight",
        ),
    )


def linear_backward(name: str, n: int, f: int, o: int) -> tuple[Form, Form]:
    """grad_x, a sum of o products, and grad_weight, one of n."""

    def of_x(a: Tensor, b: Tensor) -> Op:
        return LinearBackward(x=np.zeros((n, f), a.dtype), weight=b, grad_output=a)

    def of_weight(a: Tensor, b: Tensor) -> Op:
        return LinearBackward(x=a, weight=np.zeros((o, f), a.dtype), grad_output=b)

    return (
        Form(
            name=f"grad_x {name}",
            build=of_x,
            a=(n, o),
            b=(o, f),
            rows=(1,),
            summed=(1, 0),
            apart=0,
            output="grad_x",
        ),
        Form(
            name=f"grad_weight {name}",
            build=of_weight,
            a=(n, f),
            b=(n, o),
            rows=(1,),
            summed=(0, 0),
            apart=1,
            output="grad_weight",
        ),
    )
