"""The reference against SciPy, PyTorch in float64 and NumPy's own padding, each where it has the operation."""

from __future__ import annotations

import itertools
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
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
from convspec.reference.lenet5 import TABLE
from convspec.reference.pad2d import mode_allows
from convspec.reference.pick import RandomPick
from convspec.reference.rounding import FORMATS, Arithmetic, dtype_named
from convspec.reference.takers import most_takers, takers
from convspec.reference.window import Window

from . import loops

Array = npt.NDArray[np.float64]

CASES = {"float32": 60, "float64": 60, "float16": 15, "bfloat16": 15}
NUMPY_MODES = {"zeros": "constant", "replicate": "edge", "reflect": "reflect", "circular": "wrap"}
NDIMAGE_MODES = {"zeros": "constant", "replicate": "nearest", "reflect": "mirror", "circular": "grid-wrap"}
TORCH_MODES = {"zeros": "constant", "replicate": "replicate", "reflect": "reflect", "circular": "circular"}
over_dtypes = pytest.mark.parametrize("dtype", tuple(FORMATS))


def drawn(op: type[Op], dtype: str) -> list[Any]:
    return [op.draw(RandomPick(f"oracle {op.name} {i}", dtype_named(dtype), 20_000)) for i in range(CASES[dtype])]


def wide(array: Any) -> Array:
    return np.asarray(array, np.float64)


def same(problem: Op, other: Any, size: Array | float = 0.0) -> None:
    """The reference gives `other`, but for the rounding of two float64 sums of terms whose moduli add up to `size`."""
    expected = problem.expected()
    assert problem.shape() == expected.shape == other.shape, problem
    assert np.all((np.abs(expected - other) <= 1e-13 * size) | (expected == other)), problem


def size_of(problem: Any) -> Array:
    """The sums of the absolute terms, for the comparison of two summations."""
    positive = {name: np.abs(wide(array)) for name, array in problem.arrays().items()}
    return np.asarray(problem.but(**positive).expected())


@over_dtypes
def test_convolve2d_is_scipys(dtype: str) -> None:
    signal = pytest.importorskip("scipy.signal")
    ndimage = pytest.importorskip("scipy.ndimage")
    for p in drawn(Convolve2d, dtype):
        x, kernel = wide(p.x), wide(p.kernel)
        # `same` of SciPy centres on the first argument, in whatever order of size they come.
        same(p, signal.convolve2d(x, kernel, mode="same", boundary="fill"), size_of(p))
        same(p, ndimage.convolve(x, kernel, mode="constant"), size_of(p))


@over_dtypes
def test_conv2d_is_scipys_correlation_group_by_group(dtype: str) -> None:
    signal = pytest.importorskip("scipy.signal")
    for p in drawn(Conv2d, dtype):
        x = np.pad(wide(p.x), ((0, 0), (0, 0), *p.padding), NUMPY_MODES[p.padding_mode])
        (n, _, h, w), (k, c, r, s) = x.shape, p.weight.shape
        holes = np.zeros((k, c, (r - 1) * p.dilation[0] + 1, (s - 1) * p.dilation[1] + 1))
        holes[:, :, :: p.dilation[0], :: p.dilation[1]] = wide(p.weight)
        y = np.zeros((n, k, h - holes.shape[2] + 1, w - holes.shape[3] + 1))
        for image, filter_, channel in itertools.product(range(n), range(k), range(c)):
            seen = x[image, filter_ // (k // p.groups) * c + channel]
            y[image, filter_] += signal.correlate2d(seen, holes[filter_, channel], mode="valid")
        y = y[:, :, :: p.stride[0], :: p.stride[1]]
        same(p, y if p.bias is None else y + wide(p.bias)[None, :, None, None], size_of(p))


@pytest.mark.parametrize("mode", NDIMAGE_MODES)
def test_conv2d_of_one_channel_is_ndimages_in_every_padding_mode(mode: str) -> None:
    """ndimage has four border modes of its own, and centres an odd filter: padding of half of it on every side."""
    ndimage = pytest.importorskip("scipy.ndimage")
    random = np.random.default_rng(3)
    for a, b in itertools.product(range(3), repeat=2):
        x, weight = random.standard_normal((6, 5)), random.standard_normal((2 * a + 1, 2 * b + 1))
        p = Conv2d(x=x[None, None], weight=weight[None, None], padding=((a, a), (b, b)), padding_mode=mode)
        same(p, ndimage.correlate(x, weight, mode=NDIMAGE_MODES[mode])[None, None], np.abs(p.expected()) + 50)


@over_dtypes
def test_pad2d_is_numpys_and_ndimages(dtype: str) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    for p in drawn(Pad2d, dtype):
        x = wide(p.x)
        same(p, np.pad(x, ((0, 0), (0, 0), *p.padding), NUMPY_MODES[p.mode]))
        (top, bottom), (left, right) = p.padding
        h, w = x.shape[2:]
        at = np.meshgrid(np.arange(-top, h + bottom), np.arange(-left, w + right), indexing="ij")
        mode = "grid-constant" if p.mode == "zeros" else NDIMAGE_MODES[p.mode]
        sampled = [ndimage.map_coordinates(image, at, order=0, mode=mode) for image in x.reshape(-1, h, w)]
        same(p, np.reshape(sampled, (*x.shape[:2], *at[0].shape)))


def around(p: Any, value: float) -> Array:
    """The image with `value` around it, as far as the windows reach when they are rounded up."""
    sides = [(before, after + k + s) for (before, after), k, s in zip(p.padding, p.kernel_size, p.stride, strict=True)]
    return np.pad(wide(p.x), ((0, 0), (0, 0), *sides), constant_values=value)


@over_dtypes
def test_max_pool2d_is_a_maximum_filter(dtype: str) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    for p in drawn(MaxPool2d, dtype):
        holes = np.zeros([(k - 1) * d + 1 for k, d in zip(p.kernel_size, p.dilation, strict=True)], bool)
        holes[:: p.dilation[0], :: p.dilation[1]] = True
        # The filter's origin moved from its centre to its first tap; no border of its own comes into view.
        origin = [-(side // 2) for side in holes.shape]
        x = around(p, -np.inf)
        every = np.stack([
            ndimage.maximum_filter(image, footprint=holes, mode="constant", cval=-np.inf, origin=origin)
            for image in x.reshape(-1, *x.shape[2:])
        ])  # fmt: skip
        _, _, i, j = p.shape()
        y = every[:, : i * p.stride[0] : p.stride[0], : j * p.stride[1] : p.stride[1]]
        same(p, y.reshape(p.shape()))


@over_dtypes
def test_avg_pool2d_is_a_correlation_with_ones(dtype: str) -> None:
    signal = pytest.importorskip("scipy.signal")
    for p in drawn(AvgPool2d, dtype):
        ones, (_, _, i, j) = np.ones(p.kernel_size), p.shape()
        rows, columns = (slice(0, size * stride, stride) for size, stride in zip((i, j), p.stride, strict=True))
        x = around(p, 0.0)
        total = np.stack([signal.correlate2d(image, ones, mode="valid") for image in x.reshape(-1, *x.shape[2:])])
        counted = np.zeros(x.shape[2:])
        (top, bottom), (left, right) = p.padding
        h, w = p.x.shape[2:]
        if p.count_include_pad:
            counted[: top + h + bottom, : left + w + right] = 1
        else:
            counted[top : top + h, left : left + w] = 1
        divisor = signal.correlate2d(counted, ones, mode="valid")
        y = (total / np.where(divisor > 0, divisor, 1))[:, rows, columns]
        same(p, y.reshape(p.shape()), size_of(p))


def torch_image(torch: Any, array: Any) -> Any:
    return torch.from_numpy(np.array(wide(array), order="C"))  # a copy: flipped axes of length 1 keep negative strides


def sides(padding: Any) -> tuple[int, int, int, int]:
    """As torch.nn.functional.pad wants it: the last axis first."""
    (top, bottom), (left, right) = padding
    return left, right, top, bottom


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


def in_torchs_domain(p: Any) -> bool:
    """PyTorch pads both sides alike and by at most half a window."""
    return all(before == after <= k // 2 for (before, after), k in zip(p.padding, p.kernel_size, strict=True))


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
    h = Fraction(1, 2**90)
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
    for mode, sides in itertools.product(TORCH_MODES, itertools.product(range(4), repeat=2)):
        for n, k, s, d in itertools.product(range(1, 6), range(1, 4), (1, 2), (1, 2)):
            axis = Window(n, k, s, d, *sides)
            if axis.fits and mode_allows(n, sides, mode):
                index = takers(axis, mode)
                seen = index[index < axis.count * axis.taps]
                assert len(set(seen.tolist())) == seen.size <= axis.count * axis.taps
                assert index.shape[1] <= most_takers(axis, mode)
