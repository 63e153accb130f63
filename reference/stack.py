"""A stack of convolutions, poolings and rectifiers: what receptive fields and equivariance are about."""

from __future__ import annotations

from math import prod
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import stack_examples, stack_laws
from .avg_pool2d import AvgPool2d
from .composition import Composition, Layer
from .conv2d import Conv2d
from .linear import Linear
from .max_pool2d import MaxPool2d
from .op import Op, Tensor, operation
from .pick import Pick
from .relu import Relu
from .window import Window

Array = npt.NDArray[np.float64]
Plan = tuple[dict[str, Any], ...]

KINDS: dict[str, type[Any]] = {op.name: op for op in (Conv2d, MaxPool2d, AvgPool2d, Relu, Linear)}


@operation
class Stack(Composition):
    """Layers one after another, each on the answer of the one before.

        y = layer_L( ... layer_2(layer_1(x)))

    `plan` has one entry per layer: the name of its operation and the fields of that operation which are no arrays. The
    l-th entry that has filters or weights takes `weight<l>` and `bias<l>`, counted over those entries alone. Before a
    fully connected layer an image is flattened in the order c, h, w.

    Source: the lecture's stacks of convolution, activation and pooling.
    """

    x: Tensor  # (N, C, H, W) images
    plan: Plan  # the layers, first to last
    weight1: Tensor | None = None  # (K, C, R, S) filters, or (O, F) weights, of the first layer that has any
    bias1: Tensor | None = None  # (K) or (O) its bias
    weight2: Tensor | None = None  # (K, C, R, S) of the second
    bias2: Tensor | None = None  # (K) its bias
    weight3: Tensor | None = None  # (K, C, R, S) of the third
    bias3: Tensor | None = None  # (K) its bias
    weight4: Tensor | None = None  # (K, C, R, S) of the fourth
    bias4: Tensor | None = None  # (K) its bias

    requires = ("conv2d", "max_pool2d", "avg_pool2d", "relu")
    may_have = ("linear",)
    chapters = (stack_laws, stack_examples)

    def steps(self) -> tuple[Layer, ...]:
        """The layers. Raises KeyError for an operation that is none of KINDS."""
        found: list[Layer] = []
        filtered = 0
        for entry in self.plan:
            kind, fields = KINDS[entry["op"]], {k: v for k, v in entry.items() if k != "op"}
            if kind in (Conv2d, Linear):
                filtered += 1
                fields |= {name: getattr(self, f"{name}{filtered}") for name in ("weight", "bias")}
            found.append(_layer(kind, fields))
        return tuple(found)

    def windows(self) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
        """The windows of the layers that have any, along the rows and along the columns."""
        pairs = [p.axes for p in self.layers() if isinstance(p, (Conv2d, MaxPool2d, AvgPool2d))]
        return tuple(rows for rows, _ in pairs), tuple(columns for _, columns in pairs)

    @property
    def jump(self) -> tuple[int, int]:
        """The products of the strides: how far the fields of neighbouring outputs are apart."""
        rows, columns = self.windows()
        return prod(w.stride for w in rows), prod(w.stride for w in columns)

    def filters(self) -> dict[str, Tensor]:
        """The filters and weights that are there."""
        return {name: array for name, array in self.arrays().items() if name.startswith("weight")}

    def without_bias(self) -> Self:
        return self.but(**{f"bias{k}": None for k in range(1, 5)})

    def replanned(self, **of: Any) -> Self:
        """The stack with fields of every layer of an operation changed: `conv2d={"stride": (1, 1)}`."""
        return self.but(plan=tuple({**entry, **of.get(entry["op"], {})} for entry in self.plan))

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        kind = pick.one_of(("integers", "normal"), (60, 40))
        random = np.random.default_rng(pick.integer(0, (1 << 16) - 1))
        n, c = pick.one_of((1, 2), (30, 70)), pick.integer(1, 3)
        lengths = h, w = pick.integer(4, 15), pick.integer(4, 15, unlike=(n, c))
        plan: list[dict[str, Any]] = []
        arrays: dict[str, Tensor] = {}
        channels = c
        for _ in range(pick.integer(1, 4)):
            op = pick.one_of(("conv2d", "max_pool2d", "relu", "avg_pool2d"), (50, 18, 17, 15))
            if op == "relu":
                plan.append({"op": op})
                continue
            rows, columns = (_window(pick, length, op == "conv2d") for length in lengths)
            entry: dict[str, Any] = {"op": op, "stride": (rows.stride, columns.stride)}
            entry["padding"] = ((rows.before, rows.after), (columns.before, columns.after))
            taps = rows.taps, columns.taps
            if op == "conv2d":
                filters, number = pick.integer(1, 3), len(arrays) + 1
                entry["dilation"] = rows.dilation, columns.dilation
                shape = (filters, channels, *taps)
                arrays[f"weight{number}"] = weights(random, shape, kind).astype(pick.dtype)
                channels = filters
            else:
                entry["kernel_size"] = taps
            plan.append(entry)
            lengths = rows.count, columns.count
        for number in range(1, len(arrays) + 1):
            if pick.flag(0.6):
                size = arrays[f"weight{number}"].shape[0]
                arrays[f"bias{number}"] = values(random, (size,), kind).astype(pick.dtype)
        return cls(x=values(random, (n, c, h, w), kind).astype(pick.dtype), plan=tuple(plan), **arrays)


def _layer(kind: type[Any], fields: dict[str, Any]) -> Layer:
    if kind is Linear:
        return lambda x: Linear(x=np.array(x.reshape(len(x), prod(x.shape[1:])), order="C"), **fields)

    def asked(x: Tensor) -> Op:
        problem: Op = kind(x=x, **fields)
        return problem

    return asked


def _window(pick: Pick, length: int, filters: bool) -> Window:
    """A window on `length` elements; a pooling's is padded by at most half of it on both sides alike, and is dense."""
    taps, stride = 1 + pick.one_of((0, 1, 2), (20, 35, 45)), 1 + pick.one_of((0, 1, 2), (55, 35, 10))
    if not filters:
        taps = min(taps, length)
        pad = pick.integer(0, taps // 2)
        return Window(length, taps, stride, 1, pad, pad)
    dilation = 1 + pick.one_of((0, 1), (75, 25))
    before, after = pick.one_of((0, 1, 2), (50, 35, 15)), pick.one_of((0, 1, 2), (50, 35, 15))
    found = Window(length, taps, stride, dilation, before, after)
    return found if found.fits else Window(length, min(taps, length), stride, 1, before, after)


def values(random: np.random.Generator, shape: tuple[int, ...], kind: str) -> Array:
    """Images and biases: integers of [-4, 4], of which every order of summation is exact through a few layers, or
    ordinary numbers."""
    if kind == "integers":
        return random.integers(-4, 5, shape).astype(np.float64)
    return random.standard_normal(shape)


def weights(random: np.random.Generator, shape: tuple[int, ...], kind: str) -> Array:
    """Filters (K, ...): of -1, 0 and 1, or of variance 2/fan-in, which keeps numbers of the same size from layer to
    layer (He et al. 2015)."""
    if kind == "integers":
        return random.integers(-1, 2, shape).astype(np.float64)
    return np.asarray(random.standard_normal(shape) * np.sqrt(2 / max(prod(shape[1:]), 1)))
