"""The reference against PyTorch in float64: sums of products, copies and pooling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from convspec.reference import (
    AvgPool2d,
    Conv2d,
    Convolve2d,
    Linear,
    LocallyConnected2d,
    MaxPool2d,
    Op,
    Pad2d,
    Relu,
)

from .oracles import (
    CASES,
    TORCH_MODES,
    around,
    drawn,
    in_torchs_domain,
    over_dtypes,
    same,
    sides,
    size_of,
    torch_image,
    wide,
)


@over_dtypes
def test_dot_products_are_torchs(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    for p in drawn(Conv2d, dtype):
        x = functional.pad(torch_image(torch, p.x), sides(p.padding), mode=TORCH_MODES[p.padding_mode])
        bias = None if p.bias is None else torch_image(torch, p.bias)
        y = functional.conv2d(
            x, torch_image(torch, p.weight), bias, stride=p.stride, dilation=p.dilation, groups=p.groups
        )
        same(p, y.numpy(), size_of(p))
    for p in drawn(Linear, dtype):
        bias = None if p.bias is None else torch_image(torch, p.bias)
        same(p, functional.linear(torch_image(torch, p.x), torch_image(torch, p.weight), bias).numpy(), size_of(p))
    for p in drawn(Convolve2d, dtype):
        half = (p.kernel.shape[0] // 2, p.kernel.shape[1] // 2)
        flipped = torch_image(torch, p.kernel[::-1, ::-1])[None, None]
        y = functional.conv2d(torch_image(torch, p.x)[None, None], flipped, padding=half)
        same(p, y.numpy()[0, 0], size_of(p))


@over_dtypes
def test_locally_connected2d_is_torchs_unfolding(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    for p in drawn(LocallyConnected2d, dtype):
        i, j, k, c, r, s = p.weight.shape
        x = functional.pad(torch_image(torch, p.x), sides(p.padding))
        columns = functional.unfold(x, (r, s), stride=p.stride)  # (N, C * R * S, I * J)
        weight = torch_image(torch, p.weight).reshape(i * j, k, c * r * s)
        y = torch.einsum("nto,okt->nko", columns, weight).reshape(-1, k, i, j)
        same(p, y.numpy() if p.bias is None else y.numpy() + wide(p.bias), size_of(p))


@over_dtypes
def test_copies_are_torchs(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for p in drawn(Pad2d, dtype):
        y = torch.nn.functional.pad(torch_image(torch, p.x), sides(p.padding), mode=TORCH_MODES[p.mode])
        same(p, y.numpy())
    for p in drawn(Relu, dtype):
        same(p, torch.relu(torch_image(torch, p.x)).numpy())


@over_dtypes
@pytest.mark.parametrize("op", [MaxPool2d, AvgPool2d], ids=lambda op: op.name)
def test_pooling_is_torchs(op: type[Op], dtype: str) -> None:
    """Sizes, rounding up and divisors as they are there; outside its domain, on an image padded beforehand."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    native = up = 0
    for p in drawn(op, dtype):
        if in_torchs_domain(p):
            padding, ceil, x = tuple(before for before, _ in p.padding), p.ceil_mode, torch_image(torch, p.x)
            native, up = native + 1, up + p.ceil_mode
        else:
            fill = -np.inf if op is MaxPool2d else 0.0
            padding, ceil, x = (0, 0), False, torch_image(torch, around(p, fill))
            reach = [
                (o - 1) * s + getattr(p, "dilation", (1, 1))[a] * (k - 1) + 1
                for a, (o, s, k) in enumerate(zip(p.shape()[2:], p.stride, p.kernel_size, strict=True))
            ]
            x = functional.pad(x, (0, 99, 0, 99), value=fill)[..., : reach[0], : reach[1]]
        if isinstance(p, MaxPool2d):
            y = functional.max_pool2d(x, p.kernel_size, p.stride, padding, p.dilation, ceil)
            same(p, y.numpy())
        elif isinstance(p, AvgPool2d) and in_torchs_domain(p):
            y = functional.avg_pool2d(x, p.kernel_size, p.stride, padding, ceil, p.count_include_pad)
            same(p, y.numpy(), size_of(p))
        elif isinstance(p, AvgPool2d) and not p.count_include_pad:
            inside = np.zeros(x.shape)
            (top, _), (left, _) = p.padding
            inside[:, :, top : top + p.x.shape[2], left : left + p.x.shape[3]] = 1
            total, taps = (
                functional.avg_pool2d(a, p.kernel_size, p.stride, divisor_override=1)
                for a in (x, torch.from_numpy(inside))
            )
            same(p, (total / taps).numpy(), size_of(p))
    assert native >= CASES[dtype] // 4
    assert up >= 2


@pytest.mark.parametrize("ceil", [False, True])
def test_pooling_sizes_are_torchs_on_a_whole_grid(ceil: bool) -> None:
    torch = pytest.importorskip("torch")
    compared = 0
    for n, k, s, d, pad in itertools.product(range(1, 9), range(1, 5), range(1, 4), (1, 2), range(3)):
        if pad > k // 2 or n + 2 * pad < d * (k - 1) + 1:
            continue
        p = MaxPool2d(
            x=np.arange(1.0, n + 1).reshape(1, 1, 1, n), kernel_size=(1, k), stride=(1, s),
            padding=((0, 0), (pad, pad)), dilation=(1, d), ceil_mode=ceil,
        )  # fmt: skip
        y = torch.nn.functional.max_pool2d(torch_image(torch, p.x), (1, k), (1, s), (0, pad), (1, d), ceil).numpy()
        if p.broken_rules() == ("every_window_holds_input",):  # a dilated window astride the image, -inf there
            assert np.isneginf(y).any()
            continue
        same(p, y)
        compared += 1
    assert compared >= 300
