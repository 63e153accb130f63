"""The gradients of the reference against PyTorch's and against differences of exact results."""

from __future__ import annotations

import itertools
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convspec.reference import (
    SPECIFIED,
    AvgPool2d,
    AvgPool2dBackward,
    BatchNorm2d,
    BatchNorm2dBackward,
    Conv2d,
    Conv2dBackward,
    ConvBlock,
    Convolve2d,
    Dropout,
    Dropout2d,
    GroupNorm,
    GroupNormBackward,
    InstanceNorm2d,
    LayerNorm,
    LayerNormBackward,
    LeNet5,
    Linear,
    LinearBackward,
    LocallyConnected2d,
    LocalResponseNorm,
    MaxPool2d,
    MaxPool2dBackward,
    Op,
    Pad2d,
    PixelGroupNorm,
    Relu,
    ReluBackward,
    Stack,
    SyncBatchNorm2d,
)
from convspec.reference.pad2d import mode_allows
from convspec.reference.rounding import Arithmetic
from convspec.reference.takers import most_takers, takers
from convspec.reference.window import Window

from . import loops
from .oracles import (
    CASES,
    TORCH_MODES,
    drawn,
    in_torchs_domain,
    over_dtypes,
    sides,
    torch_image,
    wide,
)

TORCH_FORWARD: dict[type[Op], Any] = {
    Conv2dBackward: lambda functional, p, x, weight, bias: functional.conv2d(
        functional.pad(x, sides(p.padding), mode=TORCH_MODES[p.padding_mode]),
        weight, bias, stride=p.stride, dilation=p.dilation, groups=p.groups,
    ),
    LinearBackward: lambda functional, p, x, weight, bias: functional.linear(x, weight, bias),
    ReluBackward: lambda functional, p, x: functional.relu(x),
    AvgPool2dBackward: lambda functional, p, x: functional.avg_pool2d(
        x, p.kernel_size, p.stride, [before for before, _ in p.padding], p.ceil_mode, p.count_include_pad
    ),
    MaxPool2dBackward: lambda functional, p, x: functional.max_pool2d(
        x, p.kernel_size, p.stride, [before for before, _ in p.padding], p.dilation, p.ceil_mode
    ),
    LayerNormBackward: lambda functional, p, x, weight, bias: functional.layer_norm(
        x, x.shape[-p.axes :], weight, bias, p.eps
    ),
    GroupNormBackward: lambda functional, p, x, weight, bias: functional.group_norm(
        x, p.groups, x.new_ones(x.shape[1]) if weight is None else weight, bias, p.eps  # without one, a bias has none
    ),
    BatchNorm2dBackward: lambda functional, p, x, weight, bias: functional.batch_norm(
        x, *running(p), weight, bias, p.training, p.momentum, p.eps
    ),
}  # fmt: skip


def running(p: Any) -> list[Any]:
    """The running statistics as tensors in float64."""
    torch = pytest.importorskip("torch")
    return [None if a is None else torch.from_numpy(wide(a)).clone() for a in (p.running_mean, p.running_var)]


@over_dtypes
@pytest.mark.parametrize("op", TORCH_FORWARD, ids=lambda op: op.name)
def test_gradients_are_those_of_torchs_autograd(op: type[Op], dtype: str) -> None:
    """Where PyTorch has the padding; a split among equal maxima is what its answer settles."""
    torch = pytest.importorskip("torch")
    compared = 0
    for p in drawn(op, dtype):
        if hasattr(p, "kernel_size") and not in_torchs_domain(p):
            continue
        if op is BatchNorm2dBackward and p.training and p.eps == 0:  # which PyTorch refuses
            continue
        names = [n for n in ("x", "weight", "bias") if n in p._tensors]
        arrays = {n: torch_image(torch, p.arrays()[n]).requires_grad_() for n in names if n in p.arrays()}
        y = TORCH_FORWARD[op](torch.nn.functional, p, *(arrays.get(n) for n in names))
        grads = torch.autograd.grad(y, list(arrays.values()), torch_image(torch, p.grad_output))
        exact = p.but(**{k: wide(a) for k, a in p.arrays().items()})
        read = exact.settled(grads[0].numpy())
        found, bounds = read.references(), read.judgements(Arithmetic.ieee("float64"))
        assert list(found) == [f"grad_{n}" for n in arrays], p
        for grad, (name, due) in zip(grads, found.items(), strict=True):
            assert np.all(np.abs(due - grad.numpy()) <= 2 * bounds[name].tolerance), (p, name)
        compared += 1
    assert compared >= CASES[dtype] // 4


@pytest.mark.parametrize("op", TORCH_FORWARD, ids=lambda op: op.name)
def test_gradients_are_differences_of_exact_forward_results(op: type[Op]) -> None:
    """(f(v + h) - f(v - h)) / 2h in rational numbers, for a few elements v: exact, for f is linear in so small an h."""
    h = Fraction(1, 2**1200)  # far below what tells two float64 numbers apart, which decides a maximum
    for p in [q for q in drawn(op, "float64") if loops.work(q) <= 400 and not q.random][:8]:
        forward, references = p.forward, p.references()
        grad = loops.exact(p.grad_output)
        if op is ReluBackward and (p.x == 0).any():  # there is no derivative
            continue
        for name in (n.removeprefix("grad_") for n in references):
            size = p.arrays()[name].size
            for at in {0, size // 2, size - 1}:
                results = []
                for step in (h, -h):
                    arrays = SimpleNamespace(**{k: loops.exact(a) for k, a in forward.arrays().items()})
                    getattr(arrays, name).reshape(-1)[at] += step
                    formula = loops.FORMULAS[forward.name]
                    results.append(sum(grad[i] * formula(forward, arrays, *i) for i in np.ndindex(grad.shape)))
                slope = float((results[0] - results[1]) / (2 * h))
                due, bound = references[f"grad_{name}"], p.bound(Arithmetic.ieee("float64"))
                several = bound if isinstance(bound, tuple) else (bound,)
                tolerance = several[p.outputs.index(f"grad_{name}")].reshape(-1)[at]
                assert abs(due.reshape(-1)[at] - slope) <= tolerance + abs(slope) * 2.0**-53, (p, name, at)


def test_every_operation_has_an_oracle() -> None:
    judged = {Conv2d, LocallyConnected2d, Convolve2d, Linear, Pad2d, MaxPool2d, AvgPool2d, Relu, BatchNorm2d, LayerNorm}
    judged |= {GroupNorm, InstanceNorm2d, PixelGroupNorm, LocalResponseNorm, SyncBatchNorm2d, Dropout, Dropout2d}
    judged |= {Stack, ConvBlock, LeNet5}
    assert judged | TORCH_FORWARD.keys() == set(SPECIFIED)


def test_no_element_has_more_takers_than_are_reckoned_with() -> None:
    for mode, padding in itertools.product(TORCH_MODES, itertools.product(range(4), repeat=2)):
        for n, k, s, d in itertools.product(range(1, 6), range(1, 4), (1, 2), (1, 2)):
            axis = Window(n, k, s, d, *padding)
            if axis.fits and mode_allows(n, padding, mode):
                index = takers(axis, mode)
                seen = index[index < axis.count * axis.taps]
                assert len(set(seen.tolist())) == seen.size <= axis.count * axis.taps
                assert index.shape[1] <= most_takers(axis, mode)
