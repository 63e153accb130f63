"""Gradients that are coarse in some geometries alone are graded by these, and every geometry is told."""

from __future__ import annotations

from typing import Any

import pytest

from convspec.adapters import load

from . import simulated
from .simulated.graded import graded


class CoarseGradients:
    """In TF32 where `coarse` says so, of one gradient or of both."""

    only = ("grad_x", "grad_weight")

    def coarse(self, problem: Any) -> bool:
        raise NotImplementedError

    def conv2d_backward(self, problem: Any) -> Any:
        return self.partly(problem, load("numpy").subject.conv2d_backward)

    def linear_backward(self, problem: Any) -> Any:
        return self.partly(problem, load("numpy").subject.linear_backward)

    def partly(self, problem: Any, gradients: Any) -> Any:
        right = gradients(problem)
        if not self.coarse(problem):
            return right
        short = gradients(problem.but(**{k: simulated.rounded(a, 11) for k, a in problem.arrays().items()}))
        return tuple(b if name in self.only else a for name, a, b in zip(problem.outputs, right, short, strict=True))


class CoarseOfStride2(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(problem.stride == (2, 2))


class CoarseFiltersOfStride2(CoarseOfStride2):
    only = ("grad_weight",)


class CoarseOfDilation(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(problem.dilation != (1, 1))


class CoarseDepthwise(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(problem.weight.shape[1] == 1 and problem.groups > 1)


class CoarseGrouped(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(problem.groups > 1 and problem.weight.shape[1] > 1)


class CoarseOfOneTap(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(problem.weight.shape[2:] == (1, 1))


class CoarseOfManyTaps(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(problem.weight.shape[2] > 3)


class CoarseInTheLastGroup(CoarseGradients):
    """Of two and more groups the last alone."""

    def coarse(self, problem: Any) -> bool:
        return bool(problem.groups > 1)

    def partly(self, problem: Any, gradients: Any) -> Any:
        right, short = gradients(problem), super().partly(problem, gradients)
        if not self.coarse(problem):
            return right
        g = problem.groups
        right[0][:, -right[0].shape[1] // g :] = short[0][:, -right[0].shape[1] // g :]
        return right


class CoarseLongSums(CoarseGradients):
    def coarse(self, problem: Any) -> bool:
        return bool(len(problem.weight) > 64)


@pytest.mark.parametrize(
    ("cls", "op", "where"),
    [
        (CoarseOfStride2, "conv2d_backward", {"grad_x 3x3 stride 2", "grad_weight 3x3 stride 2"}),
        (CoarseFiltersOfStride2, "conv2d_backward", {"grad_weight 3x3 stride 2"}),
        (CoarseOfDilation, "conv2d_backward", {"grad_x 3x3 dilation 2", "grad_weight 3x3 dilation 2"}),
        (CoarseDepthwise, "conv2d_backward", {"grad_x 3x3 depthwise", "grad_weight 3x3 depthwise"}),
        (CoarseGrouped, "conv2d_backward", {"grad_x 3x3 grouped", "grad_weight 3x3 grouped"}),
        (CoarseOfOneTap, "conv2d_backward", {"grad_x 1x1", "grad_weight 1x1"}),
        (CoarseOfManyTaps, "conv2d_backward", {"grad_x 5x5", "grad_weight 5x5"}),
        (CoarseInTheLastGroup, "conv2d_backward", {"grad_x 3x3 grouped", "grad_x 3x3 depthwise"}),
        (CoarseLongSums, "linear_backward", {"grad_x 7 to 193", "grad_weight 7 to 193"}),
    ],
)
def test_gradients_are_graded_in_every_geometry(cls: type, op: str, where: set[str]) -> None:
    made = graded(cls, op)
    assert (made.grade, made.agrees) == ("R(11)", False)
    assert {g for g in made.geometries if not g.endswith(": A")} == {f"{name}: R(11)" for name in where}
