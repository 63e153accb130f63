"""What is put down about errors beside the verdict: how far they are from a model of rounding, how they grow with the
number of terms."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import Composition
from convspec.reference.rounding import Arithmetic, Mask, is_whole
from convspec.reference.subnormal import is_subnormal

from .case import Case
from .compare import Truth

Tensor = npt.NDArray[Any]
Array = npt.NDArray[np.float64]
Errors = dict[str, Array]

# A mean square of fewer errors says little.
ENOUGH = 30

# Errors beyond this part of the largest partial sum are no roundings: an answer is wrong, and will be told of. Products
# of bfloat16 numbers are off by 2^-7 of it.
NO_ROUNDING = 2.0**-5


def note_errors(case: Case, answers: dict[str, Tensor], truths: dict[str, Truth]) -> None:
    """Put down what the answers' errors say, also where they are beyond the bound: that changes no verdict."""
    network = isinstance(case.problem, Composition)
    errors = {name: np.abs((np.asarray(answers[name], np.float64) - t.hi) - t.lo) for name, t in truths.items()}
    plausible = network or all(_may_be_rounded(errors[name], t, case.arithmetic) for name, t in truths.items())
    if not plausible:
        return
    _note_spread(case, errors, truths)
    if not network:  # of which the error at the end is that of all layers
        for name, truth in truths.items():
            _note_growth(case, errors[name], truth)


def _may_be_rounded(error: Array, truth: Truth, arithmetic: Arithmetic) -> bool:
    bound = truth.bound
    small = error <= NO_ROUNDING / 2 * bound.size + arithmetic.out.spacing
    return bool(small.all()) or bool((small | bound.overflows | (error <= bound.tolerance)).all())


def _note_spread(case: Case, errors: Errors, truths: dict[str, Truth]) -> None:
    """Put down the root mean square of the errors over the standard deviations that a model of rounding gives.

    A warning and no verdict: it holds for numbers without structure, which of a network are all but integers, and for
    the arithmetic that the model knows.
    """
    problem, network = case.problem, isinstance(case.problem, Composition)
    fitting = not is_whole(problem.arrays()["x"]) if network else problem.unstructured
    least = 1 if network else ENOUGH
    if not fitting or not _modelled(case) or max(e.size for e in errors.values()) < least:
        return
    for name, likely in problem.likely_errors(case.arithmetic).items():
        error = errors[name]
        looked = (likely > 0) & np.isfinite(likely) & np.isfinite(error)
        if case.arithmetic.flush_to_zero:
            looked &= _beside_flushing(likely, truths[name], case.arithmetic)
        if looked.sum() >= least:
            case.tally.add_rms(float(np.sqrt(np.mean((error[looked] / likely[looked]) ** 2))), problem.summary())


def _modelled(case: Case) -> bool:
    """Does the model know the declared arithmetic? That of a network knows IEEE alone. Roundings to nearest of any
    accumulator and of inputs are in it; not those that cut off, whose errors have one sign and add up in proportion to
    the terms, nor a transform. Where subnormal numbers are flushed, inputs that are may lose whole terms."""
    arithmetic = case.arithmetic
    if isinstance(case.problem, Composition) or arithmetic.name == "ieee":
        return arithmetic.name == "ieee"
    lost = arithmetic.flush_to_zero and any(is_subnormal(a).any() for a in case.problem.arrays().values())
    return arithmetic.unit_factor == 1 and arithmetic.algorithm == "direct" and not lost


def _beside_flushing(likely: Array, truth: Truth, arithmetic: Arithmetic) -> Mask:
    """Where what flushing may lose is no more than the model has: the smallest normal number of the accumulator in each
    of twice as many operations as there are terms, and of the storage in results below it, or that round to it."""
    if truth.bound.terms is None:
        return np.zeros(likely.shape, bool)
    within = 2 * truth.bound.terms * arithmetic.acc.smallest_normal <= likely
    return np.asarray(within & (np.abs(truth.hi) >= 2 * arithmetic.out.smallest_normal))


def _note_growth(case: Case, error: Array, truth: Truth) -> None:
    """Put down the errors of sums, but of those that are forced, or so small that numbers there have fewer digits."""
    bound, out = truth.bound, case.arithmetic.out
    if bound.terms is None or not error.size:
        return
    looked = (bound.size >= 2 * out.smallest_normal) & ~bound.forced & ~bound.overflows & np.isfinite(error)
    if looked.any():
        terms = np.broadcast_to(bound.terms, error.shape)[looked]
        case.tally.growth.add(terms, error[looked] / (out.unit / 2 * bound.size[looked]))
