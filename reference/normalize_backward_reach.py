"""Which gradients of a normalization a NaN or an infinity in one element spoils, whichever way they are computed.

With h = weight * grad_output and x_hat = (x - mean) * r, grad_x = r * (h - mean(h) - x_hat * mean(h * x_hat)), or r * h
where mean and variance are given; grad_weight is the sum of grad_output * x_hat, grad_bias that of grad_output.

In the gradient: every grad_x of the set takes mean(h) in, and nothing that is finite undoes an infinity in a sum.

In x: the mean of the set is as bad, x - mean is inf - inf at the element itself and infinite elsewhere, and no variance
made of it is finite but one that is cut off at 0 from below; then the x_hat are not finite all the same. So is whatever
they are multiplied with, unless that is zero and skipped. grad_bias takes nothing of x, and grad_x nothing where mean
and variance are given (0 * x, for whoever computes it by one formula for both).

In the weight: h is as bad for each element that it scales, mean(h) and with it grad_x for all of its sets.

Zero times NaN or infinity is NaN, but whoever skips zeros leaves the rest: there nothing is demanded. Nor is it of the
grad_x of sets of one element, which are zero whatever the element is. Where an infinity comes from, NaN may: products
are taken apart and sums reordered so that inf - inf meets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .dot import as_float
from .sets import Sets, found_in

Mask = npt.NDArray[np.bool_]
Problem = Any  # a NormalizationBackward


@dataclass(frozen=True)
class Touched:
    """Of one gradient, element by element: does it see the element, and must it not be finite?"""

    sees: Mask
    must: Mask


def touched(problem: Problem, name: str, at: tuple[int, ...]) -> dict[str, Touched]:
    """Of each gradient of a problem without NaN or infinities, when one is put into x, weight or grad_output."""
    sets: Sets = problem.sets
    own = problem.held is None
    one = np.zeros(problem.arrays()[name].shape, bool)
    one[at] = True
    here = np.broadcast_to(one.reshape(sets.affine if name == "weight" else sets.shape), sets.shape)
    g, x = (as_float(a).reshape(sets.shape) for a in (problem.grad_output, problem.x))
    weight = np.ones(sets.affine) if problem.weight is None else as_float(problem.weight).reshape(sets.affine)
    nothing = np.zeros(sets.shape, bool)

    def of_sets(where: Mask) -> Mask:
        """The sets in which this is so anywhere, element by element."""
        if not own:
            return where
        return np.broadcast_to(where.any(axis=sets.axes, keepdims=True), sets.shape)

    several = not own or sets.count > 1
    if name == "grad_output":
        grad_x = of_sets(here), of_sets(here & (weight != 0)) & several
        grad_weight = here, here & (x != found_in(problem).mean)
        grad_bias = here, here
    elif name == "x":
        seen = of_sets(here)
        grad_x = seen, seen & of_sets(g * weight != 0) & several & own
        grad_weight = seen, seen & (g != 0) & several
        grad_bias = nothing, nothing
    else:
        grad_x = of_sets(here), of_sets(here & (g != 0)) & several
        grad_weight = grad_bias = nothing, nothing
    found = {"grad_x": Touched(*(mask.reshape(problem.x.shape) for mask in grad_x))}
    shapes = problem.output_shapes()
    for output, masks in (("grad_weight", grad_weight), ("grad_bias", grad_bias)):
        if output in shapes:
            found[output] = Touched(*(mask.any(axis=problem.users.axes).reshape(shapes[output]) for mask in masks))
    return found
