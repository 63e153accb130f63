"""Operations that are sums of products, in several geometries."""

from __future__ import annotations

from typing import Any

from convspec.reference import Conv2d, Convolve2d, Linear, LocallyConnected2d, Op

from .form import SPIKES, Form, Shape
from .gradients import conv2d_backward, linear_backward

AROUND = ((1, 1), (1, 1))


def forms(op: type[Op]) -> tuple[Form, ...]:
    """The geometries in which an operation is probed; none, if it is no sum of products of two arrays."""
    return FORMS.get(op.name, ())


def _conv2d(
    name: str, size: tuple[int, int], filters: Shape, far: tuple[int, int] | None = None, n: int = 2, **fields: Any
) -> Form:
    groups = fields.get("groups", 1)
    c = filters[1] * groups
    return Form(
        name=name,
        build=lambda x, weight: Conv2d(x=x, weight=weight, **fields),
        a=(n, c, *size),
        b=filters,
        rows=(0,),
        summed=(1, 1),
        apart=0,
        spread=None if far is None else (max(SPIKES, n), c, *far),
        space=(2, 3),
    )


def _convolve2d(name: str, size: tuple[int, int], kernel: tuple[int, int]) -> Form:
    return Form(
        name=name,
        build=lambda x, kernel: Convolve2d(x=x, kernel=kernel),
        a=size,
        b=kernel,
        rows=(),
        spread=(24, 25),
        space=(0, 1),
    )


def _linear(n: int, f: int, o: int) -> Form:
    return Form(
        name=f"{f} to {o}",
        build=lambda x, weight: Linear(x=x, weight=weight),
        a=(n, f),
        b=(o, f),
        rows=(0,),
        summed=(1, 1),
        apart=0,
    )


def _locally_connected2d(name: str, images: Shape, filters: Shape, **fields: Any) -> Form:
    return Form(
        name=name,
        build=lambda x, weight: LocallyConnected2d(x=x, weight=weight, **fields),
        a=images,
        b=filters,
        rows=(0, 1, 2),
        summed=(1, 3),
        apart=0,
        space=(2, 3),
    )


# Many channels are one more than a multiple of four, eight or sixteen: what is left over by unrolled loops is seen too.
# Spikes lie within seven rows and columns of a corner: in 24 outputs, as in 20 with a stride of two, distances are seen
# beyond any tile (neighbours.LARGEST_TILE).
FORMS: dict[str, tuple[Form, ...]] = {
    "conv2d": (
        _conv2d("3x3", (8, 9), (9, 9, 3, 3), (26, 27), padding=1),
        _conv2d("3x3, 32 channels", (8, 8), (8, 32, 3, 3), n=1, padding=1),
        _conv2d("1x1", (6, 7), (17, 17, 1, 1), (24, 25)),
        _conv2d("5x5 stride 2", (11, 12), (6, 4, 5, 5), (40, 42), padding=2, stride=2),
        _conv2d("3x3 dilation 2", (9, 10), (7, 5, 3, 3), (24, 25), padding=2, dilation=2),
        _conv2d("3x3 depthwise", (8, 9), (8, 1, 3, 3), (24, 25), padding=1, groups=8),
        _conv2d("3x3 grouped", (7, 9), (6, 5, 3, 3), (24, 25), padding=1, groups=2),
        _conv2d("1x5 long row", (1, 200), (7, 8, 1, 5), n=1),
        _conv2d("3x3 batch of 18", (8, 8), (4, 4, 3, 3), (24, 24), n=18, padding=1),
    ),
    "convolve2d": (_convolve2d("3x3", (9, 10), (3, 3)), _convolve2d("5x7", (12, 13), (5, 7))),
    "linear": (_linear(6, 17, 17), _linear(4, 193, 12)),
    "locally_connected2d": (
        _locally_connected2d("3x3", (2, 4, 7, 8), (7, 8, 3, 4, 3, 3), padding=AROUND),
        _locally_connected2d("2x3 stride 2", (2, 5, 8, 9), (4, 4, 3, 5, 2, 3), stride=(2, 2)),
    ),
    "conv2d_backward": (
        *conv2d_backward("3x3", (8, 9), (7, 6, 3, 3), padding=1),
        *conv2d_backward("3x3 stride 2", (6, 7), (6, 5, 3, 3), padding=1, stride=2),
        *conv2d_backward("3x3 dilation 2", (7, 8), (5, 4, 3, 3), padding=2, dilation=2),
        *conv2d_backward("3x3 grouped", (7, 8), (6, 5, 3, 3), padding=1, groups=2),
        *conv2d_backward("3x3 depthwise", (7, 8), (8, 1, 3, 3), padding=1, groups=8),
        *conv2d_backward("1x1", (6, 7), (17, 17, 1, 1)),
        *conv2d_backward("5x5", (7, 8), (4, 5, 5, 5), padding=2),
    ),
    "linear_backward": (*linear_backward("8 to 11", 9, 8, 11), *linear_backward("7 to 193", 193, 7, 193)),
}
