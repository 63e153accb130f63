"""Each operation as plain loops: the formula of one output element, and sizes by counting.

Written from the docstrings and from nothing else of the reference, to be compared with it. An element is computed in
whatever numbers the arrays hold: in exact rationals there is no rounding at all. Slow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np

from convspec.reference import Composition, Op

from .backward import GRADIENTS, gradients
from .forward import FORMULAS, STORED
from .positions import count

__all__ = ["FORMULAS", "compute", "count", "exact", "modulus", "outputs", "rounded", "shape", "work"]


def exact(array: Any) -> Any:
    """The same numbers as an array of rationals; infinities as they are, to be compared with."""
    values = np.asarray(array, np.float64)
    rationals = np.empty(values.shape, object)
    for index in np.ndindex(values.shape):
        value = float(values[index])
        rationals[index] = Fraction(value) if math.isfinite(value) else value
    return rationals


def rounded(array: Any) -> Any:
    """The same numbers as an array of Python floats."""
    return np.asarray(array, np.float64).astype(object)


def modulus(array: Any) -> Any:
    """The absolute values as an array of Python floats."""
    return rounded(np.abs(np.asarray(array, np.float64)))


def compute(problem: Op, numbers: Callable[[Any], Any] = exact, **more: bool) -> Any:
    """Every element of the answer, as an object array; `numbers` makes the numbers to compute in."""
    arrays = SimpleNamespace(**{name: numbers(array) for name, array in problem.arrays().items()})
    formula = FORMULAS[problem.name]
    answer = np.empty(shape(problem), object)
    for index in np.ndindex(answer.shape):
        answer[index] = formula(problem, arrays, *index, **more)
    return answer


def outputs(problem: Op, numbers: Callable[[Any], Any] = exact, **more: bool) -> dict[str, Any]:
    """Every output that there is, by its name."""
    arrays = SimpleNamespace(**{name: numbers(array) for name, array in problem.arrays().items()})
    if problem.name in GRADIENTS:
        return gradients(problem, arrays, **more)
    first, *others = problem.outputs
    found = {first: compute(problem, numbers, **more)}
    for name in others:
        if name in problem.arrays():  # one value for each channel, by what there was before
            values = [STORED[name](problem, arrays, c, **more) for c in range(problem.arrays()["x"].shape[1])]
            found[name] = np.array(values, object)
    return found


def work(problem: Op) -> int:
    """How many taps `compute` visits."""
    if problem.name in GRADIENTS:
        return 2 * work(problem.forward)  # type: ignore[attr-defined]
    taps = {
        "conv2d": lambda p: p.weight[:1].size,
        "locally_connected2d": lambda p: int(np.prod(p.weight.shape[3:])),
        "convolve2d": lambda p: p.kernel.size,
        "linear": lambda p: p.x.shape[1],
        "max_pool2d": lambda p: p.kernel_size[0] * p.kernel_size[1],
        "avg_pool2d": lambda p: p.kernel_size[0] * p.kernel_size[1],
        "batch_norm2d": in_a_channel,
        "sync_batch_norm2d": in_a_channel,
        "layer_norm": lambda p: int(np.prod(p.x.shape[-p.axes :])),
        "group_norm": lambda p: p.x[0].size // p.groups if p.x.size else 0,
        "instance_norm2d": lambda p: p.x[0, 0].size if p.x.size else 0,
        "local_response_norm": lambda p: p.size,
        "pixel_group_norm": lambda p: p.x.shape[1] // p.groups,
    }
    return int(np.prod(shape(problem))) * int(taps[problem.name](problem) if problem.name in taps else 1)


def in_a_channel(p: Any) -> int:
    """How many elements one channel of the batch has."""
    return int(p.x.size // max(p.x.shape[1], 1))


def shape(p: Any) -> tuple[int, ...]:
    """The shape of the answer, by counting."""
    if isinstance(p, Composition):
        return p.follow(lambda layer: np.zeros(shape(layer))).shape
    if p.name == "linear":
        return p.x.shape[0], p.weight.shape[0]
    if p.name == "conv2d":
        taps = p.weight.shape[2:]
        sizes = [count(p.x.shape[2 + a], taps[a], p.stride[a], p.dilation[a], *p.padding[a]) for a in (0, 1)]
        return p.x.shape[0], p.weight.shape[0], *sizes
    if p.name == "locally_connected2d":
        taps = p.weight.shape[4:]
        sizes = [count(p.x.shape[2 + a], taps[a], p.stride[a], 1, *p.padding[a]) for a in (0, 1)]
        return p.x.shape[0], p.weight.shape[2], *sizes
    if p.name in ("max_pool2d", "avg_pool2d"):
        holes = getattr(p, "dilation", (1, 1))
        sizes = [
            count(p.x.shape[2 + a], p.kernel_size[a], p.stride[a], holes[a], *p.padding[a], ceil=p.ceil_mode)
            for a in (0, 1)
        ]
        return *p.x.shape[:2], *sizes
    if p.name == "pad2d":
        return *p.x.shape[:2], p.x.shape[2] + sum(p.padding[0]), p.x.shape[3] + sum(p.padding[1])
    return tuple(p.x.shape)
