"""The gradient of max pooling on toy machines, with ties split in many ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from convspec.reference import MaxPool2dBackward

from .toy import Array, Machine, cases, drawn, toy_format
from .toy_dots import Answer
from .toy_gradients import gathered, places, truths_of, with_wider_flushed
from .toy_statistics import SUMS

# An image of the toy format, scaled so that what is subnormal there is subnormal in float32: its values are compared
# only, and so may be of any size.
SCALE = 2.0 ** (np.finfo(np.float32).minexp - toy_format(3).smallest_exponent)


def maxima(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    """A tie is settled by each answer, as the suite settles it."""
    for p, kind in cases(random):
        problem, grad = _problem(random, p, outputs, kind)
        whole = np.arange(problem.x.size).reshape(problem.x.shape)
        for unit in with_wider_flushed(p, random):
            won = problem.flushed if unit.least else problem.won
            taps = np.broadcast_to(_pixels(problem, whole), won.shape)
            index = places(taps[won], problem.x.size)
            for way, shares in _split(won, unit.read(grad), unit.machine, random):
                name = str(random.choice(list(SUMS)))
                y = unit.store.round(SUMS[name](gathered(shares[won], index), unit.machine, random))
                y = y.reshape(problem.x.shape)
                settled = problem.settled(y)
                (truth,) = truths_of(settled.references(), settled.judgements(unit.declared)).values()
                yield Answer(unit.label, f"{way}, {name}", y, truth, unit.declared)


def _problem(random: np.random.Generator, p: int, outputs: int, kind: str) -> tuple[Any, Array]:
    taps, stride = ([int(a) for a in random.integers(1, 4, 2)] for _ in range(2))
    before = [int(random.integers(0, t // 2 + 1)) for t in taps]
    size = [t + int(random.integers(0, 3)) for t in taps]
    n, form = max(2, outputs // 12), toy_format(p)
    x = drawn(kind, (n, size[0] * size[1]), form, random)[0].reshape(n, 1, *size)
    if random.random() < 0.4:  # with more ties
        x = np.clip(np.rint(x), -1, 1)
    counts = [(size[a] + 2 * before[a] - taps[a]) // stride[a] + 1 for a in (0, 1)]
    grad = drawn(kind, (n, counts[0] * counts[1]), form, random)[0].reshape(n, 1, *counts)
    problem = MaxPool2dBackward(
        x=(x * SCALE).astype(np.float32),
        kernel_size=tuple(taps),
        stride=tuple(stride),
        padding=tuple((b, b) for b in before),
        grad_output=grad.astype(np.float32),
    )
    return problem, grad


def _pixels(problem: Any, numbers: Any) -> Any:
    """The number of the pixel under every tap, (N, C, I, J, R, S); under padding, that of any."""
    rows, columns = problem.forward.axes
    down, across = (np.clip(axis.positions, 0, axis.length - 1) for axis in (rows, columns))
    return numbers[:, :, down[:, None, :, None], across[None, :, None, :]]


def _split(won: Any, grad: Array, machine: Machine, random: np.random.Generator) -> Iterator[tuple[str, Array]]:
    """What every tap gets of the gradient of its window, (N, C, I, J, R, S)."""
    g, flat = grad[..., None, None], won.reshape(*won.shape[:4], -1)
    several = np.maximum(won.sum(axis=(4, 5), keepdims=True), 1)
    for way, turn in (("all to the first", 1), ("all to the last", -1)):
        ahead = flat[..., ::turn]
        one = (ahead & (ahead.cumsum(axis=-1) == 1))[..., ::turn].reshape(won.shape)
        yield way, one * g
    yield "equal parts, divided", won * machine.round(g / several)
    yield "equal parts, times the reciprocal", won * machine.round(g * machine.round(1 / several))
    weights = won * random.integers(0, 5, won.shape)
    weights = np.where(weights.sum(axis=(4, 5), keepdims=True) > 0, weights, won)
    parts = weights / np.maximum(weights.sum(axis=(4, 5), keepdims=True), 1)
    yield "uneven parts", won * machine.round(g * machine.round(parts))
