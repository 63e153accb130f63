"""Known bugs of geometry: dilation, padding, strides, rounding up, remainders, output sizes."""

from __future__ import annotations

from typing import Any

from convspec.reference import Conv2d

from ..conv2d import RightConv2d
from .entry import filled, known


@known(
    "B001",
    "AlexeyAB/darknet#4836",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 5, 5)), weight=filled((1, 1, 3, 3)), dilation=2, padding=2),
    spared=lambda: Conv2d(x=filled((1, 1, 5, 5)), weight=filled((1, 1, 3, 3)), padding=1),
)
class LowersWithTheUndilatedPadding(RightConv2d):
    """With dilation the image is lowered with the padding of a dense filter: every tap is read displaced."""

    def positions(self, problem: Any) -> Any:
        at = super().positions(problem)
        return tuple(
            p + before - before // d for p, (before, _), d in zip(at, problem.padding, problem.dilation, strict=True)
        )
