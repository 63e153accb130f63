"""The bundled C kernel: its answers against the reference, and what it refuses."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convspec.adapters import c, c_interface
from convspec.adapters.errors import Unsupported
from convspec.reference import OPS, Conv2d, GroupNorm, LayerNorm, Op, Relu
from convspec.reference.pick import RandomPick
from convspec.reference.rounding import Arithmetic

OPERATIONS = {op.name: op for op in OPS}


@pytest.fixture(scope="module")
def kernel() -> c.CKernel:
    return c.CKernel()


def outputs(answer: Any) -> tuple[Any, ...]:
    return answer if isinstance(answer, tuple) else (answer,)


@pytest.mark.parametrize("dtype", c_interface.SUFFIXES)
@pytest.mark.parametrize("op", OPERATIONS.values(), ids=lambda op: op.name)
def test_kernel_is_within_the_bound(kernel: c.CKernel, op: type[Op], dtype: str) -> None:
    for seed in range(25):
        problem = op.draw(RandomPick(f"{op.name} {dtype} {seed}", np.dtype(dtype), 100_000))
        answer = getattr(kernel, op.name)(problem)
        problem = problem.settled(outputs(answer)[0])
        bounds = problem.judgements(Arithmetic.ieee(dtype))
        for name, actual, expected in zip(problem.outputs, *map(outputs, (answer, problem.expected())), strict=True):
            assert (actual is None) == (expected is None)
            if actual is not None:
                bound = bounds[name].tolerance
                assert actual.shape == expected.shape
                assert actual.dtype == problem.dtype
                same = (actual == expected) | (np.isnan(actual) & np.isnan(expected)) | bounds[name].overflows
                with np.errstate(over="ignore"):
                    same |= np.isinf(actual) & (actual == expected.astype(actual.dtype))  # the truth rounds to it
                assert np.all((np.abs(actual - expected) <= bound) | same), problem


@pytest.mark.parametrize("op", OPERATIONS.values(), ids=lambda op: op.name)
def test_every_broken_rule_is_refused(kernel: c.CKernel, op: type[Op]) -> None:
    rules = [clause for clause in op.clauses if clause.kind == "rule"]
    for seed in range(10):
        pick = RandomPick(f"{op.name} {seed}", np.dtype("float32"), 10_000)
        problem = op.draw(pick)
        for clause in rules:
            assert clause.broken is not None
            invalid = clause.broken(problem, pick)
            with pytest.raises((ValueError, TypeError)):
                getattr(kernel, op.name)(invalid)


def test_refusals_name_the_status(kernel: c.CKernel) -> None:
    x = np.ones((1, 1, 2, 2), np.float32)
    with pytest.raises(ValueError, match=re.escape("conv2d: refused, status 1 (invalid problem)")):
        kernel.conv2d(Conv2d(x=x, weight=np.ones((1, 1, 3, 3), np.float32)))
    with pytest.raises(ValueError, match="does not fit 64 bits"):
        kernel.conv2d(Conv2d(x=x, weight=x, stride=2**70))
    with pytest.raises(TypeError, match="weight is float64; it must be float32"):
        kernel.conv2d(Conv2d(x=x, weight=x.astype(np.float64)))
    with pytest.raises(Unsupported, match="no float16 version"):
        kernel.relu(Relu(x=x.astype(np.float16)))


def test_huge_numbers_do_not_overflow(kernel: c.CKernel) -> None:
    x, one, three = (np.ones((1, 1, n, n), np.float32) for n in (5, 1, 3))
    most = 2**63 - 1
    assert kernel.conv2d(Conv2d(x=x, weight=three, stride=most)).tolist() == [[[[9.0]]]]
    assert kernel.conv2d(Conv2d(x=x, weight=one, dilation=most)).sum() == 25
    with pytest.raises(ValueError, match="status 1"):
        kernel.conv2d(Conv2d(x=x, weight=three, dilation=most))
    with pytest.raises(Unsupported):
        kernel.conv2d(Conv2d(x=x, weight=three, padding=most))
    with pytest.raises(MemoryError):
        kernel.conv2d(Conv2d(x=x, weight=one, padding=((2**60, 0), (2**60, 0)), stride=2**60))


def test_numbers_that_are_not_whole_must_be_numbers(kernel: c.CKernel) -> None:
    x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    for eps in ("0.5", None, 1j):
        with pytest.raises(ValueError, match=r"eps is .*; it must be a number"):
            kernel.group_norm(GroupNorm(x=x, groups=1, eps=eps))  # type: ignore[arg-type]
    same = [kernel.group_norm(GroupNorm(x=x, groups=1, eps=eps)) for eps in (0.5, np.float32(0.5), np.float64(0.5))]  # type: ignore[arg-type]
    assert np.array_equal(same[0], same[1])
    assert np.array_equal(same[0], same[2])


def test_layer_norm_shapes_are_checked_before_they_are_flattened(kernel: c.CKernel) -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    with pytest.raises(ValueError, match=re.escape("weight has the shape (3, 2, 2); it must be (2, 3, 2)")):
        kernel.layer_norm(LayerNorm(x=x, weight=np.ones((3, 2, 2), np.float32)))
    with pytest.raises(ValueError, match="axes is 4; it must be from 1 to 3"):
        kernel.layer_norm(LayerNorm(x=x, axes=4))


# Batch normalization: x = 1, 2, 3, 6 has the mean 3 and the variances 3.5 and 14/3; with eps = 0.5 the root is 2.

PIXELS = np.array([1.0, 2, 3, 6]).reshape(4, 1, 1, 1)
STANDARD = [-1.0, -0.5, 0.0, 1.5]


def batch(**changes: Any) -> SimpleNamespace:
    found: dict[str, Any] = {
        "x": PIXELS.astype(np.float32),
        "weight": None,
        "bias": None,
        "running_mean": np.zeros(1, np.float32),
        "running_var": np.ones(1, np.float32),
        "training": True,
        "momentum": 0.5,
        "eps": 0.5,
        "shards": (4,),
    }
    return SimpleNamespace(**found | changes)


@pytest.mark.parametrize("shards", [(4,), (1, 3), (2, 2), (0, 3, 0, 1), (1, 1, 1, 1)])
def test_batch_norm_learns_from_all_shards(kernel: c.CKernel, shards: tuple[int, ...]) -> None:
    for answer in (kernel.batch_norm2d(batch()), kernel.sync_batch_norm2d(batch(shards=shards))):
        y, mean, variance = answer
        assert y.ravel().tolist() == STANDARD
        assert mean.tolist() == [1.5]
        assert variance.tolist() == [float(np.float32((1 + 14 / 3) / 2))]
        assert {a.dtype for a in answer} == {np.dtype("float32")}


def test_batch_norm_without_running_statistics_returns_none(kernel: c.CKernel) -> None:
    absent = batch(running_mean=None, running_var=None)
    for y, *others in (kernel.batch_norm2d(absent), kernel.sync_batch_norm2d(absent)):
        assert y.ravel().tolist() == STANDARD
        assert others == [None, None]


def test_batch_norm_keeps_its_statistics_to_the_bit(kernel: c.CKernel) -> None:
    mean, variance = np.array([0.1, -0.0], np.float32), np.array([0.3, 1e-40], np.float32)
    x = np.ones((2, 2, 1, 3), np.float32)
    running = {"running_mean": mean, "running_var": variance}
    for problem in (batch(x=x, training=False, **running), batch(x=x[:0], **running, shards=(0, 0))):
        for function in (kernel.batch_norm2d, kernel.sync_batch_norm2d)[: 1 + problem.training]:
            y, *kept = function(problem)
            assert y.shape == problem.x.shape
            assert [a.tobytes() for a in kept] == [mean.tobytes(), variance.tobytes()]


ONE = np.ones(1, np.float32)


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": np.ones(2, np.float32)},
        {"bias": np.ones(2, np.float32)},
        {"running_mean": np.ones(2, np.float32)},
        {"running_mean": None},
        {"running_var": None},
        {"momentum": -0.1},
        {"momentum": 1.1},
        {"momentum": float("nan")},
        {"eps": -1e-5},
        {"eps": float("nan")},
        {"x": PIXELS[:1].astype(np.float32), "shards": (1,)},
        {"x": np.ones((4, 1, 1, 1), np.float32), "eps": 0.0},
        {"training": False, "running_mean": None, "running_var": None, "shards": ()},
        {"training": False, "running_var": -ONE, "shards": ()},
        {"training": False, "running_var": 0 * ONE, "eps": 0.0, "shards": ()},
    ],
    ids=repr,
)
def test_batch_norm_refuses(kernel: c.CKernel, wrong: dict[str, Any]) -> None:
    for function in (kernel.batch_norm2d, kernel.sync_batch_norm2d):
        with pytest.raises(ValueError, match="status 1"):
            function(batch(**wrong))


@pytest.mark.parametrize(
    "shards", [(), (3,), (5,), (5, -1), (2**62, 2**62, 2**62, 2**62, 4), (4.0,), [4], (2**64 + 4,)]
)
def test_shards_must_hold_all_images(kernel: c.CKernel, shards: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        kernel.sync_batch_norm2d(batch(shards=shards))


def test_every_unit_of_a_locally_connected_layer_has_filters_of_its_own(kernel: c.CKernel) -> None:
    random = np.random.default_rng(5)
    x = random.integers(-4, 5, (2, 3, 5, 20)).astype(np.float32)
    weight = random.integers(-4, 5, (3, 8, 4, 3, 3, 6)).astype(np.float32)
    bias = random.integers(-4, 5, (4, 3, 8)).astype(np.float32)
    layer = SimpleNamespace(x=x, weight=weight, bias=bias, stride=(2, 3), padding=((1, 2), (7, 0)))
    padded = np.pad(x, ((0, 0), (0, 0), *layer.padding))
    y = kernel.locally_connected2d(layer)
    assert y.shape == (2, 4, 3, 8)
    for i, j in np.ndindex(3, 8):
        window = padded[:, :, 2 * i : 2 * i + 3, 3 * j : 3 * j + 6]
        assert np.array_equal(y[:, :, i, j], np.einsum("ncrs,kcrs->nk", window, weight[i, j]) + bias[:, i, j])
    for changes in (
        {"weight": weight[:2]},
        {"weight": weight[:, :7]},
        {"weight": weight[:, :, :, :2]},
        {"bias": bias[:1]},
        {"bias": bias[:, :1]},
        {"bias": bias[:, :, :1]},
        {"stride": (0, 3)},
        {"stride": (1, 3)},
        {"padding": ((1, 2), (-1, 8))},
    ):
        with pytest.raises(ValueError, match="status 1"):
            kernel.locally_connected2d(SimpleNamespace(**vars(layer) | changes))


def dropped(kernel: c.CKernel, x: Any, p: float, seed: int = 0, training: bool = True, channels: bool = False) -> Any:
    function = kernel.dropout2d if channels else kernel.dropout
    return function(SimpleNamespace(x=np.asarray(x, np.float32), p=p, seed=seed, training=training))


@pytest.mark.parametrize("channels", [False, True])
def test_dropout_at_its_limits(kernel: c.CKernel, channels: bool) -> None:
    x = np.array([1.0, -0.0, np.nan, np.inf, 5, 6]).reshape(1, 3, 2, 1).astype(np.float32)
    for p, training in ((0.0, True), (0.7, False), (1.0, False)):
        assert dropped(kernel, x, p, 3, training, channels).tobytes() == x.tobytes()
    assert dropped(kernel, x, 1.0, channels=channels).tobytes() == np.zeros_like(x).tobytes()  # no NaN, no -0
    for p, seed in ((-0.1, 0), (1.1, 0), (float("nan"), 0), (0.5, -1)):
        with pytest.raises(ValueError, match="status 1"):
            dropped(kernel, x, p, seed, channels=channels)
    function = kernel.dropout2d if channels else kernel.dropout
    with pytest.raises(TypeError, match="x is int64; it must be floating-point numbers"):
        function(SimpleNamespace(x=np.ones((1, 1, 2, 2), np.int64), p=0.5, seed=0, training=True))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_a_share_of_p(kernel: c.CKernel, p: float) -> None:
    """By Hoeffding, the share of 10^6 independent draws is off by 0.004 with a probability below 3e-14."""
    x = np.full((1000, 1000), 3.0)
    y = dropped(kernel, x, p, seed=11)
    assert abs((y == 0).mean() - p) < 0.004
    assert set(np.unique(y).tolist()) == {0.0, float(np.float32(3 / (1 - p)))}
    per_channel = dropped(kernel, x[:, :, None, None] * np.ones((1, 2)), p, seed=11, channels=True)
    assert abs((per_channel == 0).mean() - p) < 0.004
    assert np.array_equal(per_channel[..., 0], per_channel[..., 1])


def test_dropout_of_neighbouring_seeds_is_independent(kernel: c.CKernel) -> None:
    """Independent fair masks of 10^6 agree on a share off 1/2 by 0.004 with a probability below 3e-14, and so does a
    mask with itself shifted."""
    masks = [dropped(kernel, np.ones(10**6), 0.5, seed) == 0 for seed in range(4)]
    assert np.array_equal(masks[2], dropped(kernel, np.full(10**6, -7.0), 0.5, 2) == 0)
    for a, b in ((0, 1), (1, 2), (0, 2), (2, 3), (0, 0), (1, 1)):
        for shift in (-2, -1, 1, 2, 256, 0)[: 5 + (a != b)]:
            assert abs((np.roll(masks[a], shift) == masks[b]).mean() - 0.5) < 0.004, (a, b, shift)
