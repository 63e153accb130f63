"""Gradients that are sums of products on toy machines: of convolutions, fully connected layers and average pooling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.conformance.compare import Truth
from convspec.reference import AvgPool2dBackward, Conv2dBackward, LinearBackward
from convspec.reference.pad2d import source_index
from convspec.reference.rounding import Bound
from convspec.reference.window import Window

from .toy import Array, Machine, ToyArithmetic, cases, drawn, toy_format
from .toy_dots import TERMS, Answer
from .toy_statistics import SUMS, Machines, machines
from .toy_sums import Way, fused

Index = npt.NDArray[np.int64]
WAYS: dict[str, Way] = {**SUMS, "fused chain": fused}


def with_wider_flushed(p: int, random: np.random.Generator) -> Iterator[Machines]:
    """Those of every arithmetic, and one that flushes what it stores and what it adds up in more bits."""
    yield from machines(p, random)
    form, wide = toy_format(p), toy_format(p + int(random.integers(1, 5)), *random.choice(((-6, 7), (-10, 10))))
    declared = ToyArithmetic.of(form, wide, flush_to_zero=True)
    least = float(random.choice((0.0, form.smallest_normal)))
    yield Machines("flushed, wider", declared, Machine(wide, flush=True), Machine(form, flush=True), least)


def places(at: Index, count: int) -> Index:
    """Which of the terms that go to `at` each of `count` places adds up, (places, most); one too many is none."""
    order = np.argsort(at, kind="stable")
    sizes = np.bincount(at, minlength=count)
    index = np.full((count, max(int(sizes.max(initial=0)), 1)), len(at))
    first = np.cumsum(sizes) - sizes
    index[at[order], np.arange(len(at)) - first[at[order]]] = order
    return index


def gathered(terms: Array, index: Index) -> Array:
    """The terms of every place, (places, most), zeros where it has fewer: to add a zero is exact."""
    return np.append(terms, 0.0)[index]


def truths_of(due: dict[str, Array], bounds: dict[str, Bound]) -> dict[str, Truth]:
    return {name: Truth.of(due[name], np.zeros(due[name].shape), bounds[name]) for name in due}


# Convolutions and fully connected layers.


@dataclass(frozen=True)
class Products:
    """A problem and its arrays, and of each gradient the two arrays that are multiplied, where, and where that goes."""

    problem: Any
    arrays: dict[str, Array]
    sums: dict[str, tuple[str, Index, str, Index, Index]]

    def terms(self, gradient: str, arrays: dict[str, Array]) -> Array:
        left, here, right, there, index = self.sums[gradient]
        return gathered(arrays[left].ravel()[here] * arrays[right].ravel()[there], index)


def _products(problem: Any, arrays: dict[str, Array], at: dict[str, Index]) -> Products:
    """`at`: of every product in the forward operation the places of its x, weight and output."""
    x, w, g = at["x"], at["weight"], at["grad_output"]
    outputs, channel = np.arange(problem.grad_output.size), np.indices(problem.grad_output.shape)[1].ravel()
    arrays = arrays | {"one": np.ones(1)}
    sums = {
        "grad_x": ("grad_output", g, "weight", w, places(x, problem.x.size)),
        "grad_weight": ("grad_output", g, "x", x, places(w, problem.weight.size)),
        "grad_bias": ("grad_output", outputs, "one", np.zeros_like(outputs), places(channel, problem.bias.size)),
    }
    return Products(problem, arrays, sums)


def _narrow(arrays: dict[str, Array]) -> dict[str, Any]:
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def linear(random: np.random.Generator, p: int, outputs: int, kind: str) -> Products:
    n, o = (int(random.choice(TERMS)) for _ in "no")
    f, form = max(2, outputs // 8), toy_format(p)
    grad, weight = drawn(kind, (n, o), form, random)[0], drawn(kind, (f, o), form, random)[1].T
    arrays = {"x": drawn(kind, (f, n), form, random)[1].T, "weight": weight, "grad_output": grad}
    rows, outs, inputs = (a.ravel() for a in np.indices((n, o, f)))
    at = {"x": rows * f + inputs, "weight": outs * f + inputs, "grad_output": rows * o + outs}
    return _products(LinearBackward(**_narrow(arrays), bias=np.zeros(o, np.float32)), arrays, at)


def conv2d(random: np.random.Generator, p: int, outputs: int, kind: str) -> Products:
    form, groups = toy_format(p), int(random.choice((1, 1, 2)))
    n, per, c = (int(random.integers(1, 4)) for _ in range(3))
    k = per * groups
    axes = tuple(_axis(random, 3 + outputs // 25) for _ in "hw")
    rows, columns = axes
    spatial = rows.count * columns.count
    grad = drawn(kind, (n * spatial, k), form, random)[0].reshape(n, rows.count, columns.count, k).transpose(0, 3, 1, 2)
    weight = drawn(kind, (c * rows.taps * columns.taps, k), form, random)[1].T.reshape(k, c, rows.taps, columns.taps)
    x = drawn(kind, (n * c * groups, rows.length * columns.length), form, random)[1]
    arrays = {"x": x.reshape(n, c * groups, rows.length, columns.length), "weight": weight, "grad_output": grad}
    modes = [m for m in ("zeros", "replicate", "reflect", "circular") if all(a.length >= a.least(m) for a in axes)]
    mode = str(random.choice(modes))
    problem = Conv2dBackward(
        **_narrow(arrays),
        bias=np.zeros(k, np.float32),
        stride=(rows.stride, columns.stride),
        padding=tuple((a.before, a.after) for a in axes),
        padding_mode=mode,
        dilation=(rows.dilation, columns.dilation),
        groups=groups,
    )
    return _products(problem, arrays, _of_convolution(arrays, groups, axes, mode))


def _axis(random: np.random.Generator, longest: int) -> Window:
    taps, stride, dilation = (int(random.integers(1, most)) for most in (4, 4, 3))
    before, after = (int(random.integers(0, 3)) for _ in range(2))
    least = max(dilation * (taps - 1) + 1 - before - after, 1)
    return Window(least + int(random.integers(0, longest)), taps, stride, dilation, before, after)


def _of_convolution(arrays: dict[str, Array], groups: int, axes: Any, mode: str) -> dict[str, Index]:
    (k, per, _, _), (rows, columns) = arrays["weight"].shape, axes
    shape = (len(arrays["x"]), k, rows.count, columns.count, per, rows.taps, columns.taps)
    n, f, i, j, c, r, s = (a.ravel() for a in np.indices(shape))
    down, across = (
        source_index(a.length, a.before, a.after, mode)[at * a.stride + tap * a.dilation]
        for a, at, tap in ((rows, i, r), (columns, j, s))
    )
    inside = (down >= 0) & (across >= 0)
    channel = f // (k // groups) * per + c
    found = {
        "x": (np.where(inside, v, 0) for v in (n, channel, down, across)),
        "weight": (f, c, r, s),
        "grad_output": (n, f, i, j),
    }
    return {name: np.ravel_multi_index(tuple(at), arrays[name].shape)[inside] for name, at in found.items()}


def products(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    """The gradients of images, filters and biases, every sum in every way."""
    for p, kind in cases(random):
        for op in (linear, conv2d):
            given = op(random, p, outputs, kind)
            due = given.problem.references()
            for unit in with_wider_flushed(p, random):
                truths = truths_of(due, given.problem.judgements(unit.declared))
                read = {name: array if name == "one" else unit.read(array) for name, array in given.arrays.items()}
                for gradient, truth in truths.items():
                    terms = given.terms(gradient, read)
                    for name, way in WAYS.items():
                        y = unit.store.round(way(terms, unit.machine, random)).reshape(truth.hi.shape)
                        yield Answer(unit.label, f"{op.__name__} {gradient}, {name}", y, truth, unit.declared)


# Average pooling.


def averages(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    """The gradient of average pooling: sums of shares of what the windows got."""
    for p, kind in cases(random):
        problem, grad = _pooling(random, p, outputs, kind)
        due, forward = problem.references(), problem.forward
        divisor = np.broadcast_to(forward.divisor, grad.shape)
        pixels, windows = taken(forward.axes, grad.shape, problem.x.shape)
        index, equal = places(pixels, problem.x.size), bool((divisor == divisor.flat[0]).all())
        for unit in with_wider_flushed(p, random):
            (truth,) = truths_of(due, problem.judgements(unit.declared)).values()
            for way, y in _shared(unit, unit.read(grad), divisor, windows, index, random, equal):
                yield Answer(unit.label, way, unit.store.round(y).reshape(truth.hi.shape), truth, unit.declared)


def _pooling(random: np.random.Generator, p: int, outputs: int, kind: str) -> tuple[Any, Array]:
    axes = tuple(_pooled(random, 3 + outputs // 25) for _ in "hw")
    n, c = (int(random.integers(1, 4)) for _ in "nc")
    shape = (n, c, *(a.count for a in axes))
    grad = drawn(kind, (n * c, shape[2] * shape[3]), toy_format(p), random)[0].reshape(shape)
    problem = AvgPool2dBackward(
        x=np.zeros((n, c, *(a.length for a in axes)), np.float32),
        kernel_size=tuple(a.taps for a in axes),
        stride=tuple(a.stride for a in axes),
        padding=tuple((a.before, a.after) for a in axes),
        count_include_pad=bool(random.random() < 0.5),
        grad_output=grad.astype(np.float32),
    )
    return problem, grad


def _pooled(random: np.random.Generator, longest: int) -> Window:
    """Windows without holes, each of which holds a pixel."""
    taps, stride = int(random.integers(1, 4)), int(random.integers(1, 4))
    before, after = (int(random.integers(0, taps)) for _ in range(2))
    return Window(taps + int(random.integers(0, longest)), taps, stride, 1, before, after)


def taken(axes: Any, outputs: tuple[int, ...], images: tuple[int, ...]) -> tuple[Index, Index]:
    """Of every tap on an image the number of its pixel, and that of its window."""
    rows, columns = axes
    n, c, i, j, r, s = (a.ravel() for a in np.indices((*outputs, rows.taps, columns.taps)))
    down, across = rows.positions[i, r], columns.positions[j, s]
    inside = (down >= 0) & (down < images[2]) & (across >= 0) & (across < images[3])
    pixels = np.ravel_multi_index(tuple(a[inside] for a in (n, c, down, across)), images)
    return pixels, np.ravel_multi_index(tuple(a[inside] for a in (n, c, i, j)), outputs)


def _shared(
    unit: Machines,
    grad: Array,
    divisor: Array,
    windows: Index,
    index: Index,
    random: np.random.Generator,
    equal: bool,
) -> Iterator[tuple[str, Array]]:
    machine = unit.machine
    share = machine.round(1 / divisor)
    divided, multiplied, whole = (gathered(a.ravel()[windows], index) for a in (grad / divisor, grad * share, grad))
    for name, way in WAYS.items():
        yield f"each divided, {name}", way(machine.round(divided), machine, random)
        yield f"each times the reciprocal, {name}", way(multiplied, machine, random)
        if equal:
            total = way(whole, machine, random)
            yield f"the sum divided, {name}", machine.round(total / divisor.flat[0])
            yield f"the sum times the reciprocal, {name}", machine.round(total * share.flat[0])
