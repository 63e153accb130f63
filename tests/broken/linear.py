"""Bugs of the fully connected layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Repairs, Right, broken, rounded, wide


@broken(linear="square_weights two_layers_are_one")
class TransposesSquareWeights(Right):
    """Square weights are taken as (inputs, outputs)."""

    def linear(self, problem: Any) -> Any:
        square = problem.weight.shape[0] == problem.weight.shape[1]
        return self.answer(problem.but(weight=problem.weight.T) if square else problem)


@broken(linear="bias_is_added_once a_small_layer exact_on_integers")
class AddsTheBiasTwice(Right):
    """The accumulator starts at the bias, and the bias is added at the end."""

    def linear(self, problem: Any) -> Any:
        return self.answer(problem.but(bias=None if problem.bias is None else problem.bias * 2))


@broken(linear="bias_is_added_once a_small_layer no_inputs")
class AddsTheBiasPerInput(Right):
    """The bias is added with every product."""

    def linear(self, problem: Any) -> Any:
        inputs = problem.x.shape[1]
        return self.answer(problem.but(bias=None if problem.bias is None else problem.bias * inputs))


@broken(linear="everything_may_be_permuted bias_is_added_once exact_on_integers")
class AddsTheBiasByRow(Right):
    """The bias is indexed by the row of x."""

    def linear(self, problem: Any) -> Any:
        y = problem.but(bias=None).expected()
        if problem.bias is not None:
            problem.validate()
            y = y + np.resize(wide(problem.bias), y.shape[0])[:, None]
        return rounded(y, problem)


@broken(linear="everything_may_be_permuted exact_on_integers")
class DropsTheFifthInput(Right):
    """Inputs are taken in fours; a single one left over is dropped."""

    def linear(self, problem: Any) -> Any:
        f = problem.x.shape[1]
        x = np.array(problem.x)
        if f > 4 and f % 4 == 1:
            x[:, -1] = 0
        return self.answer(problem.but(x=x))


@broken(160, examples=200, linear="within_the_bound")
class DropsTheSeventeenthInput(Right):
    """Inputs are taken in sixteens; a single one left over is dropped."""

    def linear(self, problem: Any) -> Any:
        f = problem.x.shape[1]
        x = np.array(problem.x)
        if f > 16 and f % 16 == 1:
            x[:, -1] = 0
        return self.answer(problem.but(x=x))


@broken(linear="linear_in_the_inputs linear_in_the_weights two_layers_are_one one_number exact_on_integers")
class FusesTheRectifier(Right):
    """A rectifier was left on at the end."""

    def linear(self, problem: Any) -> Any:
        y = self.answer(problem)
        return np.maximum(y, np.zeros((), y.dtype))


@broken(linear="within_the_bound")
class RoundsWeightsToFloat16(Right):
    """The weights are stored in float16."""

    def linear(self, problem: Any) -> Any:
        return self.answer(problem.but(weight=problem.weight.astype(np.float16).astype(problem.dtype)))


@broken(linear="linear_in_the_weights")
class QuantisesTheWeights(Right):
    """The weights are rounded to 1/16 of the largest."""

    def linear(self, problem: Any) -> Any:
        weight = wide(problem.weight)
        step = max(np.abs(weight).max(initial=0) / 16, 1e-30)
        return self.answer(problem.but(weight=(np.rint(weight / step) * step).astype(problem.dtype)))


@broken(linear="nan_stays_in_its_row")
class DividesByTheLargestInput(Right):
    """x is scaled by its largest value and scaled back: one NaN reaches every row."""

    def linear(self, problem: Any) -> Any:
        largest = np.abs(wide(problem.x)).max(initial=1)
        return rounded(problem.expected() + 0 * largest, problem)


@broken(linear="nan_stays_in_its_row")
class TakesNaNAsZero(Right):
    """NaN is replaced by zero on the way in."""

    def linear(self, problem: Any) -> Any:
        return self.answer(problem.but(x=np.where(np.isnan(problem.x), 0, problem.x).astype(problem.dtype)))


@broken(linear="no_inputs")
class GivesZeroForNoInputs(Right):
    """Without inputs the bias is left out."""

    def linear(self, problem: Any) -> Any:
        return self.answer(problem if problem.x.size else problem.but(bias=None))


@broken(linear="no_outputs")
class GivesOneOutputAtLeast(Right):
    """Without outputs a column of zeros comes back."""

    def linear(self, problem: Any) -> Any:
        y = self.answer(problem)
        return y if y.shape[1] else np.zeros((y.shape[0], 1), y.dtype)


@broken(linear="inner_sizes_agree")
class ReadsAsManyInputsAsFit(Repairs):
    """Weights beyond the inputs are left out."""

    def repaired(self, problem: Any) -> Any:
        return problem.but(weight=problem.weight[:, : problem.x.shape[1]])


@broken(linear="bias_is_one_per_output")
class ResizesTheBias(Repairs):
    """A bias of another length is repeated or cut."""

    def repaired(self, problem: Any) -> Any:
        bias = problem.bias if problem.bias.size else np.zeros(1, problem.dtype)
        return problem.but(bias=np.resize(bias, problem.weight.shape[0]))


@broken(linear="ranks_are_right")
class FlattensToMatrices(Repairs):
    """Arrays of more axes are flattened to matrices."""

    def repaired(self, problem: Any) -> Any:
        x, weight = (a.reshape(-1, a.shape[-1]) for a in (problem.x, problem.weight))
        return problem.but(x=x, weight=weight)
