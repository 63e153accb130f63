"""The reference against PyTorch in float64: normalization, dropout and networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convspec.reference import (
    BatchNorm2d,
    ConvBlock,
    Dropout,
    Dropout2d,
    GroupNorm,
    InstanceNorm2d,
    LayerNorm,
    LeNet5,
    LocalResponseNorm,
    Op,
    PixelGroupNorm,
    Stack,
    SyncBatchNorm2d,
)
from convspec.reference.lenet5 import TABLE
from convspec.reference.rounding import Arithmetic

from .oracles import (
    drawn,
    over_dtypes,
    same,
    torch_image,
    wide,
)


def same_normalized(p: Any, y: Any) -> None:
    """The reference gives y, but for the float64 roundings of a mean and a variance, which the problem's bound holds.

    PyTorch has its own order of summation: what is compared is the formula.
    """
    exact = p.but(**{k: wide(a) for k, a in p.arrays().items()})
    expected, bound = p.reference(), exact.judgement(Arithmetic.ieee("float64")).tolerance
    assert p.output_shape() == expected.shape == y.shape, p
    assert np.all(np.abs(expected - y) <= 2 * bound), p


def torch_affine(torch: Any, p: Any) -> list[Any]:
    return [None if a is None else torch_image(torch, a) for a in (p.weight, p.bias)]


def torch_running(torch: Any, p: Any) -> list[Any]:
    return [None if a is None else torch_image(torch, a) for a in (p.running_mean, p.running_var)]


def same_stored(p: Any, stored: Any) -> None:
    """The reference stores the same as PyTorch did in place, as near as two float64 computations come."""
    exact = p.but(**{k: wide(a) for k, a in p.arrays().items()})
    for due, bound, y in zip(p.expected()[1:], exact.bound()[1:], stored, strict=True):
        assert (due is None) == (y is None), p
        assert due is None or np.all(np.abs(due - y.numpy()) <= 2 * bound), p


@over_dtypes
def test_batch_norm2d_is_torchs(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for p in drawn(BatchNorm2d, dtype):
        weight, bias = torch_affine(torch, p)
        mean, var = torch_running(torch, p)
        x, eps = torch_image(torch, p.x), p.eps or 1e-300  # with which it trains, and 0 of float64 all the same
        y = torch.nn.functional.batch_norm(x, mean, var, weight, bias, p.training, p.momentum, eps)
        same_normalized(p, y.numpy())
        same_stored(p, (mean, var))


@over_dtypes
def test_sync_batch_norm2d_is_torchs_batch_norm(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for p in drawn(SyncBatchNorm2d, dtype):
        mean, var = torch_running(torch, p)
        x, eps = torch_image(torch, p.x), p.eps or 1e-300
        y = torch.nn.functional.batch_norm(x, mean, var, *torch_affine(torch, p), True, p.momentum, eps)
        same_normalized(p, y.numpy())
        same_stored(p, (mean, var))


@over_dtypes
def test_layer_norm_is_torchs(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for p in drawn(LayerNorm, dtype):
        weight, bias = torch_affine(torch, p)
        x = torch_image(torch, p.x)
        same_normalized(p, torch.nn.functional.layer_norm(x, p.x.shape[-p.axes :], weight, bias, p.eps).numpy())


@over_dtypes
def test_group_norms_are_torchs(dtype: str) -> None:
    """Those of pixels: each pixel as an image, and, in one group, layer normalization of the channels moved last."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    for p in drawn(GroupNorm, dtype):
        y = functional.group_norm(torch_image(torch, p.x), p.groups, *torch_affine(torch, p), p.eps)
        same_normalized(p, y.numpy())
    for p in drawn(InstanceNorm2d, dtype):
        weight, bias = torch_affine(torch, p)
        y = functional.instance_norm(torch_image(torch, p.x), weight=weight, bias=bias, eps=p.eps)
        same_normalized(p, y.numpy())
    for p in drawn(PixelGroupNorm, dtype):
        n, c, h, w = p.x.shape
        weight, bias = torch_affine(torch, p)
        last = torch_image(torch, p.x).permute(0, 2, 3, 1)
        y = functional.layer_norm(last.reshape(n, h, w, p.groups, c // p.groups), (c // p.groups,), eps=p.eps)
        y = y.reshape(n, h, w, c) * (1 if weight is None else weight) + (0 if bias is None else bias)
        same_normalized(p, y.permute(0, 3, 1, 2).numpy())


@over_dtypes
def test_local_response_norm_is_torchs(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for p in drawn(LocalResponseNorm, dtype):
        read = p.declared({"lrn_even": "mirror"})
        y = torch.nn.functional.local_response_norm(torch_image(torch, p.x), p.size, p.alpha, p.beta, p.k).numpy()
        assert np.all(np.abs(read.expected() - y) <= 1e-13 * np.abs(y)), p


def torch_layer(torch: Any, p: Any, x: Any) -> Any:
    """One layer of a network by PyTorch's functional, on what came out of the layer before."""
    functional = torch.nn.functional
    if p.name == "conv2d":
        (top, bottom), (left, right) = p.padding
        x = functional.pad(x, (left, right, top, bottom), *(("circular",) if p.padding_mode == "circular" else ()))
        return functional.conv2d(x, *torch_affine(torch, p), p.stride, 0, p.dilation, p.groups)
    if p.name == "linear":
        return functional.linear(x.flatten(1), *torch_affine(torch, p))
    if p.name == "relu":
        return functional.relu(x)
    if p.name in ("max_pool2d", "avg_pool2d"):
        pad = p.padding[0][0], p.padding[1][0]
        return getattr(functional, p.name)(x, p.kernel_size, p.stride, pad)
    if p.name == "layer_norm":
        return functional.layer_norm(x, x.shape[1:], *torch_affine(torch, p), p.eps)
    if p.name == "batch_norm2d":
        running = [None if p.training else torch_image(torch, a) for a in (p.running_mean, p.running_var)]
        return functional.batch_norm(x, *running, *torch_affine(torch, p), p.training, 0.0, p.eps)
    groups = p.groups if p.name == "group_norm" else x.shape[1]
    return functional.group_norm(x, groups, *torch_affine(torch, p), p.eps)


@over_dtypes
@pytest.mark.parametrize("network", [Stack, ConvBlock], ids=lambda network: network.name)
def test_networks_are_torchs_layers_one_after_another(network: Any, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for p in drawn(network, dtype):
        y = torch_image(torch, p.x)
        for layer in p.layers():
            y = torch_layer(torch, layer, y)
        bound = p.but(**{k: wide(a) for k, a in p.arrays().items()}).bound()
        assert p.shape() == y.shape, p
        assert np.all(np.abs(p.expected() - y.numpy()) <= 2 * bound), p


def test_lenet_is_torchs_modules() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    for number, pooling in enumerate(("max", "avg")):
        pool = nn.MaxPool2d if pooling == "max" else nn.AvgPool2d
        p = LeNet5.made(np.dtype("float64"), number, n=2, pooling=pooling)
        module = nn.Sequential(
            nn.Conv2d(1, 6, 5), nn.ReLU(), pool(2), nn.Conv2d(6, 16, 5), nn.ReLU(), pool(2), nn.Flatten(),
            nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        ).double()  # fmt: skip
        names = ("c1", "c3", "c5", "f6", "output")
        held = [p.arrays()[name] for part in names for name in (part, f"{part}_bias")]
        with torch.no_grad():
            for parameter, array in zip(module.parameters(), held, strict=True):
                parameter.copy_(torch.from_numpy(array))
            y = module(torch.from_numpy(p.x)).numpy()
        assert sum(parameter.numel() for parameter in module.parameters()) == 61_706
        assert np.all(np.abs(p.expected() - y) <= 2 * p.bound())


def test_lenet_of_1998_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    p = LeNet5.made(np.dtype("float64"), 5, n=2, form="1998")
    a = {name: torch.from_numpy(array) for name, array in p.arrays().items()}

    def squash(x: Any) -> Any:
        return 1.7159 * torch.tanh(2 * x / 3)

    def subsampled(x: Any, name: str) -> Any:
        sums = functional.unfold(x, 2, stride=2).reshape(*x.shape[:2], 4, *(n // 2 for n in x.shape[2:])).sum(2)
        return squash(sums * a[name][:, None, None] + a[f"{name}_bias"][:, None, None])

    x = subsampled(squash(functional.conv2d(a["x"], a["c1"], a["c1_bias"])), "s2")
    maps = [
        functional.conv2d(x[:, list(row)], a["c3"][k : k + 1, list(row)], a["c3_bias"][k : k + 1])
        for k, row in enumerate(TABLE)
    ]
    x = subsampled(squash(torch.cat(maps, 1)), "s4")
    x = squash(functional.linear(squash(functional.linear(x.flatten(1), a["c5"], a["c5_bias"])), a["f6"], a["f6_bias"]))
    y = torch.cdist(x, a["output"], compute_mode="donot_use_mm_for_euclid_dist").square().numpy()
    np.testing.assert_allclose(p.expected(), y, rtol=1e-11)


@over_dtypes
@pytest.mark.parametrize("op", [Dropout, Dropout2d], ids=lambda op: op.name)
def test_dropout_is_torchs_with_the_mask_that_it_drew(op: type[Op], dtype: str) -> None:
    """PyTorch's functional in float64, its mask read from its answer to ones; and in evaluation."""
    torch = pytest.importorskip("torch")
    drop = getattr(torch.nn.functional, op.name)
    settled = 0
    for p in drawn(op, dtype):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(p.seed)
            y = drop(torch_image(torch, p.x), p.p, p.training).numpy()
            torch.manual_seed(p.seed)
            ones = drop(torch.ones(p.x.shape, dtype=torch.float64), p.p, p.training).numpy()
        same(p.settled(y), y, np.abs(y))
        if p.random and not op.name.endswith("2d"):
            kept = p.settled(y).reading["mask"]
            assert np.array_equal(kept, (ones != 0) & (wide(p.x) != 0)), p
            settled += bool(kept.any())
    assert settled or op is Dropout2d
