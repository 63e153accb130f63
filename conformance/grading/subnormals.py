"""What becomes of subnormal numbers: kept, or flushed to zero on the way in or out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend
from convspec.reference import (
    AvgPool2d,
    AvgPool2dBackward,
    BatchNorm2d,
    BatchNorm2dBackward,
    Dropout,
    Dropout2d,
    GroupNorm,
    GroupNormBackward,
    InstanceNorm2d,
    LayerNorm,
    LayerNormBackward,
    LocalResponseNorm,
    MaxPool2d,
    MaxPool2dBackward,
    Op,
    Pad2d,
    PixelGroupNorm,
    Relu,
    ReluBackward,
    SyncBatchNorm2d,
)
from convspec.reference.formats import dtype_named, format_of

from .ask import Silent, ask
from .geometries import forms

Tensor = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Probe = tuple[str, Op, str, int]  # where the subnormals are, the problem, the output, and of which sign (0: either)

INPUTS, OUTPUTS, BOTH = "inputs", "outputs", "inputs or outputs"
INCONSISTENT = "inconsistent"


def flush(backend: Backend, op: type[Op], dtype: str) -> str:
    """keeps; flushes outputs; flushes inputs too; flushes, where both are the same numbers; inconsistent.

    Inconsistent is where some are kept and others not, by their place or by the size of it all, or inputs alone are
    flushed: nothing that could be declared. Empty where nothing was answered.
    """
    found: dict[str, set[str]] = {}
    for where, problem, output, sign in _probes(op, dtype):
        try:
            answer = ask(backend, problem)[output]
        except Silent:
            continue
        due = problem.references()[output]
        seen = found.setdefault(where, set())
        # Far coarser than any error: 2^-3 of it are left of a subnormal number, and of a shorter format's products.
        some = due * sign > 0 if sign else due != 0
        with np.errstate(invalid="ignore"):
            zero, near = answer[some] == 0, np.abs(answer[some] - due[some]) <= np.abs(due[some]) / 4
        seen |= {"flushed"} if zero.any() else set()
        seen |= {"kept"} if near.any() else set()
        seen |= {"other"} if not np.all(zero | near) else set()
    states = {where: next(iter(seen)) if len(seen) == 1 else "mixed" for where, seen in found.items()}
    if not states:
        return ""
    if set(states.values()) == {"kept"}:
        return "keeps"
    if set(states.values()) == {"flushed"}:
        return "flushes inputs too" if INPUTS in states else "flushes"
    if states == {OUTPUTS: "flushed", INPUTS: "kept"}:
        return "flushes outputs"
    return INCONSISTENT


def _probes(op: type[Op], dtype: str) -> Iterator[Probe]:
    numbers, e = dtype_named(dtype), format_of(dtype).smallest_exponent
    if forms(op):
        yield from _products(op, numbers, e)
    elif op in NORMS:
        yield from _normalized(op, numbers, e)
    elif op in GRADIENTS:
        yield from _gradients(op, numbers, e)
    elif op is LocalResponseNorm:
        for where, x, k in ((OUTPUTS, 2.0 ** (e + 2), 2.0**8), (INPUTS, 2.0 ** (e - 3), 2.0**-8)):
            images = np.full((2, 3, 3, 5), x).astype(numbers)
            yield where, LocalResponseNorm(x=images, size=3, beta=1.0, k=k), "y", 0
    elif op in COPIES:
        for shape in COPIED:
            # A quarter of each is a number too.
            values = (np.arange(1, np.prod(shape) + 1).reshape(shape) % 7 + 1) * 2.0 ** (e - 4)
            yield BOTH, COPIES[op](values.astype(numbers)), op.outputs[0], 0


def _products(op: type[Op], dtype: Any, e: int) -> Iterator[Probe]:
    """Single products: of normal numbers, subnormal; of one subnormal number, normal."""
    random, half = np.random.default_rng(13), -e // 2
    for form in forms(op):
        for where, first, second in (
            (OUTPUTS, -half, e + half - 3),
            (INPUTS, e - 3, half),
            (INPUTS, half, e - 3),
        ):
            a = np.full(form.a, 2.0**first).astype(dtype)
            b = form.one_hot(random, np.full(form.row_count, 2.0**second).astype(dtype))[0]
            yield where, form.build(a, b), form.output, 0


def _normalized(op: type[Op], dtype: Any, e: int) -> Iterator[Probe]:
    """One element of 1 and m - 1 of 0 in each set: normalized, the root of m - 1 and less its inverse.

    Times the smallest normal number the latter are subnormal; times half of it, which is subnormal, the former is
    normal, and so is the half times the inverse deviation, about the root of m.
    """
    for m in SETS:
        for where, weight in ((OUTPUTS, 2.0**e), (INPUTS, 2.0 ** (e - 1))):
            problem: Any = _ones_among_zeros(op, m, dtype)
            shape = problem.x.shape[1:] if op is LayerNorm else problem.x.shape[1:2]
            problem = problem.but(weight=np.full(shape, weight).astype(dtype))
            sign = -1 if where == OUTPUTS else 1
            yield where, problem, "y", sign


def _ones_among_zeros(op: type[Op], m: int, dtype: Any) -> Op:
    x = np.zeros((1, 2, 1, m) if op not in (LayerNorm, PixelGroupNorm) else (2, m, 1, 1), dtype)
    x.reshape(2, m)[:, m // 2] = 1
    made: dict[type[Op], Callable[[], Op]] = {
        LayerNorm: lambda: LayerNorm(x=x),
        GroupNorm: lambda: GroupNorm(x=x, groups=2),
        InstanceNorm2d: lambda: InstanceNorm2d(x=x),
        PixelGroupNorm: lambda: PixelGroupNorm(x=x, groups=1),
        BatchNorm2d: lambda: BatchNorm2d(x=x),
        SyncBatchNorm2d: lambda: SyncBatchNorm2d(x=x, shards=(1,)),
    }
    return made[op]()


def _gradients(op: type[Op], dtype: Any, e: int) -> Iterator[Probe]:
    """m elements of 1 and -1 in each set, which are normalized, and a gradient at one of them: its own grad_x is
    (m - 2)/m of grad_output times weight, that of the others -2/m or what eps leaves of nothing, below zero.

    That product is subnormal where neither factor is, or normal where the weight is subnormal. The one is in the middle
    or the last.
    """
    half = -e // 2
    for m, at in ((SETS[0], SETS[0] // 2), (SETS[1], SETS[1] - 1)):
        n, c = (2, m) if op is LayerNormBackward else (1, 2)
        x = np.resize(np.array([1, -1]), (n, c, 2 * m // (n * c), 1)).astype(dtype)
        for where, gradient, weight in ((OUTPUTS, -half, e + half - 3), (INPUTS, half, e - 3)):
            g = np.zeros(x.shape, dtype)
            g.reshape(2, m)[:, at] = 2.0**gradient
            scale = np.full((c, *x.shape[2:]) if op is LayerNormBackward else (c,), 2.0**weight).astype(dtype)
            yield where, GRADIENTS[op](x, scale, g), "grad_x", 1


# Whole vectors, and what is left over behind them; fewer than a vector has.
SETS = (256, 38)
COPIED = ((2, 3, 5, 8), (2, 3, 5, 7), (1, 1, 2, 3))

NORMS = (LayerNorm, GroupNorm, InstanceNorm2d, PixelGroupNorm, BatchNorm2d, SyncBatchNorm2d)

GRADIENTS: dict[type[Op], Callable[[Tensor, Tensor, Tensor], Op]] = {
    BatchNorm2dBackward: lambda x, weight, g: BatchNorm2dBackward(x=x, weight=weight, grad_output=g),
    LayerNormBackward: lambda x, weight, g: LayerNormBackward(x=x, weight=weight, grad_output=g),
    GroupNormBackward: lambda x, weight, g: GroupNormBackward(x=x, weight=weight, groups=2, grad_output=g),
}

COPIES: dict[type[Op], Callable[[Tensor], Op]] = {
    Relu: lambda x: Relu(x=x),
    Pad2d: lambda x: Pad2d(x=x, padding=((1, 1), (1, 1)), mode="zeros"),
    MaxPool2d: lambda x: MaxPool2d(x=x, kernel_size=(2, 2), stride=(1, 1)),
    AvgPool2d: lambda x: AvgPool2d(x=x, kernel_size=(2, 2), stride=(1, 1)),
    Dropout: lambda x: Dropout(x=x, p=0.5, training=False),
    Dropout2d: lambda x: Dropout2d(x=x, p=0.5, training=False),
    ReluBackward: lambda g: ReluBackward(x=np.ones_like(g), grad_output=g),
    MaxPool2dBackward: lambda g: MaxPool2dBackward(x=_corners(g), kernel_size=(2, 2), stride=(2, 2), grad_output=g),
    AvgPool2dBackward: lambda g: AvgPool2dBackward(x=_corners(g), kernel_size=(2, 2), stride=(2, 2), grad_output=g),
}


def _corners(g: Tensor) -> Tensor:
    """An image with 1 in the first pixel of every window of two by two, 0 elsewhere: no ties."""
    n, c, height, width = g.shape
    image = np.zeros((n, c, 2 * height, 2 * width), g.dtype)
    image[:, :, ::2, ::2] = 1
    return image
