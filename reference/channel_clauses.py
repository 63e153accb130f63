"""Clauses of the normalizations of images with one weight and one bias for each channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import rules
from .laws import Tensor
from .op import STRICT, Run, Sides, law, rule
from .pick import Pick
from .sets import Normalization

Array = npt.NDArray[np.float64]


def _misshapen(problem: Normalization, pick: Pick, name: str) -> Normalization:
    """The problem with a weight or bias for another number of channels."""
    wrong = problem.x.shape[1] + pick.one_of((1, -1, 3))
    return problem.but(**{name: np.ones(wrong, problem.dtype)})


def per_channel(problem: Any, channels: Any) -> dict[str, Tensor | None]:
    """Weight, bias and whatever else the problem has for each channel, of these channels, in this order."""
    own = {name: getattr(problem, name) for name in sorted(problem._tensors) if name != "x"}
    return {name: None if array is None else np.array(array[channels]) for name, array in own.items()}


@rule(lambda problem, pick: rules.drop_axis(problem, pick, "x"), source="GEN-01")
def x_has_four_axes(problem: Normalization) -> bool:
    """x has the four axes N, C, H, W."""
    return rules.ranks(problem, x=4)


@rule(lambda problem, pick: _misshapen(problem, pick, "weight"), STRICT, "GN-03, BN-17")
def weight_is_one_per_channel(problem: Normalization) -> bool:
    """A weight has one value for each channel."""
    return problem.weight is None or bool(problem.weight.shape == (problem.x.shape[1],))


@rule(lambda problem, pick: _misshapen(problem, pick, "bias"), STRICT, "GN-03, BN-17")
def bias_is_one_per_channel(problem: Normalization) -> bool:
    """A bias has one value for each channel."""
    return problem.bias is None or bool(problem.bias.shape == (problem.x.shape[1],))


@law("LAW-N18, PGN-04, EQV-09")
def pixels_may_be_permuted(problem: Normalization, run: Run, pick: Pick) -> Sides | None:
    """Reordering the pixels, in all channels alike, reorders the pixels of the result."""
    h, w = problem.x.shape[2:]
    order = np.random.default_rng(pick.integer(0, 255)).permutation(h * w)

    def moved(array: Array) -> Array:
        return np.array(array.reshape(*array.shape[:2], h * w)[:, :, order].reshape(array.shape), order="C")

    return run(problem.but(x=moved(problem.x))), run(problem).rearranged(moved)
