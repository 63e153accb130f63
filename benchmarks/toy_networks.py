"""Layers one after another on toy machines: errors that pass through one layer into the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convspec.conformance.compare import Truth
from convspec.reference import Stack

from .toy import Array, cases, drawn, stored, toy_format
from .toy_dots import Answer
from .toy_gradients import WAYS, with_wider_flushed
from .toy_statistics import Machines
from .toy_sums import Way

Layer = Callable[[Array, Machines, np.random.Generator], Array]  # of images (N, C, 1, W)
TAPS = (2, 3, 3, 9)

# What may follow a convolution, each with a convolution at the end or without.
BETWEEN = {"a convolution": "", "an average": "avg_pool2d", "a maximum": "max_pool2d", "a rectifier": "relu"}


def stacks(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    """A convolution of single pixels, then one of BETWEEN, then as a rule another convolution."""
    for p, kind in cases(random):
        name = str(random.choice(list(BETWEEN)))
        again = name == "a convolution" or random.random() < 0.6
        problem = _problem(random, p, outputs, kind, BETWEEN[name], again)
        value = problem.reference()
        title = f"{name} between convolutions" if again and BETWEEN[name] else f"a convolution and then {name}"
        for unit in with_wider_flushed(p, random):
            truth = Truth.of(value, np.zeros_like(value), problem.judgement(unit.declared))
            for _ in range(3):
                y = np.asarray(problem.x, np.float64)
                for layer in _layers(problem, random):
                    y = unit.store.round(layer(y, unit, random))
                yield Answer(unit.label, title, y, truth, unit.declared)


def _problem(random: np.random.Generator, p: int, outputs: int, kind: str, op: str, again: bool) -> Stack:
    """Every second one with weights such that large answers meet small weights: what is read as zero counts then."""
    form, taps = toy_format(p), int(random.choice(TAPS)) if op in ("avg_pool2d", "max_pool2d") else 1
    width = taps + int(random.integers(0, 4))
    n, c, k, last = max(1, outputs // 12), *(int(a) for a in random.integers(1, 4, 3))
    x = drawn(kind, (n * width, c), form, random)[0].reshape(n, 1, width, c).transpose(0, 3, 1, 2)
    arrays = {"weight1": drawn(kind, (k, c), form, random)[1]}
    if again:
        arrays["weight2"] = drawn(str(random.choice(("normal", kind))), (last, k), form, random)[1]
    for (name, weight), least in zip(list(arrays.items()), (0, -8), strict=False):
        if random.random() < 0.5:
            weight = stored(weight * 2.0 ** random.integers(least, least + 5), form)
        if random.random() < 0.5:
            bias = random.standard_normal(len(weight)) * 2.0 ** random.integers(-7, 2)
            arrays[name.replace("weight", "bias")] = stored(np.rint(bias) if kind == "integers" else bias, form)
        arrays[name] = weight[:, :, None, None]
    between: list[dict[str, Any]] = [{"op": op}] if op else []
    if taps > 1:
        between[0] |= {"kernel_size": (1, taps), "stride": (1, 1)}
    plan = ({"op": "conv2d"}, *between, *([{"op": "conv2d"}] if again else []))
    narrow: dict[str, Any] = {name: array.astype(np.float32) for name, array in arrays.items()}
    return Stack(x=x.astype(np.float32), plan=plan, **narrow)


def _layers(problem: Stack, random: np.random.Generator) -> Iterator[Layer]:
    """Each computed in one of the ways there are."""
    number = 0
    for entry in problem.plan:
        if entry["op"] == "conv2d":
            number += 1
            yield _convolution(getattr(problem, f"weight{number}"), getattr(problem, f"bias{number}"))
        elif entry["op"] == "relu":
            yield lambda x, unit, random: np.maximum(unit.read(x), 0.0)
        else:
            yield _pooling(entry["op"], entry["kernel_size"][1])


def _convolution(weight: Any, bias: Any) -> Layer:
    def layer(x: Array, unit: Machines, random: np.random.Generator) -> Array:
        pixels = unit.read(x)[:, :, 0].transpose(0, 2, 1)[:, :, None]  # (N, W, 1, C)
        terms = pixels * unit.read(np.asarray(weight, np.float64))[:, :, 0, 0]  # (N, W, K, C)
        if bias is not None:
            added = np.broadcast_to(unit.read(np.asarray(bias, np.float64))[:, None], (*terms.shape[:3], 1))
            terms = np.concatenate([terms, added], axis=-1)
        sums = _any_way(random)(terms.reshape(-1, terms.shape[-1]), unit.machine, random)
        return np.asarray(sums.reshape(terms.shape[:3]).transpose(0, 2, 1)[:, :, None])

    return layer


def _pooling(op: str, taps: int) -> Layer:
    def maximum(x: Array, unit: Machines, random: np.random.Generator) -> Array:
        return np.asarray(sliding_window_view(unit.read(x), taps, axis=3).max(axis=-1))

    def average(x: Array, unit: Machines, random: np.random.Generator) -> Array:
        seen = sliding_window_view(unit.read(x), taps, axis=3)
        flat, share = seen.reshape(-1, taps), unit.machine.round(np.array(1 / taps))
        way, each, times = _any_way(random), random.random() < 0.5, random.random() < 0.5
        if each:
            y = way(flat * share if times else unit.machine.round(flat / taps), unit.machine, random)
        else:
            total = way(flat, unit.machine, random)
            y = unit.machine.round(total * share if times else total / taps)
        return np.asarray(y.reshape(seen.shape[:-1]))

    return maximum if op == "max_pool2d" else average


def _any_way(random: np.random.Generator) -> Way:
    return WAYS[str(random.choice(list(WAYS)))]
