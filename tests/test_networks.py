"""Networks: geometry and counts against the lecture's numbers, bounds against rounding, references against loops."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from convspec.reference import NETWORKS, Composition, Conv2d, InvalidProblem, LeNet5, MaxPool2d, Op, Stack, counts
from convspec.reference.between import Distances, Scaled, Squash
from convspec.reference.field import Field, along, field, reach, sizes
from convspec.reference.formats import FORMATS, dtype_named, format_of, round_to
from convspec.reference.lenet5 import TABLE, connected
from convspec.reference.pick import RandomPick
from convspec.reference.rounding import Arithmetic
from convspec.reference.window import Window

from . import loops
from .broken.legal_sums import AddsBackwards, AddsInPairs, AddsTheLargestFirst

Array = npt.NDArray[np.float64]


def layer(taps: int, stride: int = 1, dilation: int = 1, pad: int = 0) -> Window:
    return Window(0, taps, stride, dilation, pad, pad)


# Receptive fields.


@pytest.mark.parametrize(
    ("layers", "fields", "jumps"),
    [
        ([layer(3)] * 3, [3, 5, 7], [1, 1, 1]),
        ([layer(3, 2)] * 3, [3, 7, 15], [2, 4, 8]),
        ([layer(3, 1, d) for d in (1, 2, 4)], [3, 7, 15], [1, 1, 1]),
        ([layer(5), layer(2, 2), layer(5), layer(2, 2), layer(5)], [5, 6, 14, 16, 32], [1, 2, 2, 4, 4]),
        ([layer(1, 3), layer(1)], [1, 1], [3, 3]),
    ],
)
def test_fields_are_those_of_the_tables(layers: list[Window], fields: list[int], jumps: list[int]) -> None:
    """RF-04, F10, F12, NET-05; RF-05: the first layer's size does not depend on its stride."""
    found = [field(layers[: k + 1]) for k in range(len(layers))]
    assert [f.size for f in found] == fields
    assert [f.jump for f in found] == jumps


def test_a_centre_is_in_half_pixels() -> None:
    """RF-03: a window of 3 with padding 1 is centred on its own pixel, one of 2 between two."""
    assert [field([layer(3, pad=1)]).centre(i) for i in range(3)] == [0.0, 1.0, 2.0]
    assert field([layer(2, 2)]).centre(1) == 2.5
    assert Field().centre(4) == 4.0


def test_sizes_of_lenet() -> None:
    assert sizes(32, [layer(5), layer(2, 2), layer(5), layer(2, 2), layer(5)]) == (28, 14, 10, 5, 1)


def by_walking(length: int, layers: list[Window], output: int) -> set[int]:
    """The inputs of one output: from the last layer back, one set of positions mapped to another (RF-01)."""
    placed = along(length, layers)
    seen = {output}
    for window in reversed(placed):
        under = {i * window.stride - window.before + r * window.dilation for i in seen for r in range(window.taps)}
        seen = {p for p in under if 0 <= p < window.length}
    return seen


def test_the_exact_set_is_what_walking_back_gives_and_lies_in_the_hull() -> None:
    random = np.random.default_rng(3)
    compared = attained = 0
    for _ in range(300):
        layers = [
            Window(0, *(int(v) for v in random.integers(1, 4, 3)), *(int(v) for v in random.integers(0, 3, 2)))
            for _ in range(random.integers(1, 4))
        ]
        length = int(random.integers(1, 24))
        at, fits = length, True
        for window in layers:
            fits = fits and at + window.before + window.after >= window.span
            at = (at + window.before + window.after - window.span) // window.stride + 1
        if not fits:
            continue
        hull, seen = field(layers), reach(length, layers)
        for output in range(len(seen)):
            found = set(np.flatnonzero(seen[output]).tolist())
            assert found == by_walking(length, layers, output)
            first, last = hull.ends(output, length)
            assert all(first <= p <= last for p in found)
            if not any(w.before or w.after for w in layers):
                assert (min(found), max(found)) == (first, last)
                attained += 1
            compared += 1
    assert compared > 500
    assert attained > 20


# Counts.


def test_counts_are_the_lectures() -> None:
    """L003, L004, L021, L022, L052 with E05, E06, E12, E29."""
    assert counts.elements(480, 640, 3) == 921_600
    assert counts.linear(921_600, 10) == 9_216_010
    assert counts.linear(200 * 200, 40_000, bias=False) == 1_600_000_000
    assert counts.linear(200 * 200, 40_000) == 1_600_040_000
    assert counts.locally_connected((200, 200), 1, 1, (10, 10), bias=False) == 4_000_000
    assert counts.locally_connected((191, 191), 1, 1, (10, 10), bias=False) == 3_648_100
    assert sizes(200, [layer(10)]) == (191,)
    assert counts.conv2d(1, 1, (10, 10), bias=False) == 100
    assert counts.conv2d(1, 100, (10, 10), bias=False) == 10_000
    assert counts.linear(16 * 24 * 24, 120, bias=False) == 1_105_920
    assert counts.linear(16 * 5 * 5, 120, bias=False) == 48_000
    assert counts.conv2d(6, 12, (3, 3), groups=3) == 12 * 2 * 9 + 12
    assert counts.batch_norm2d(16) == (32, 32)
    assert counts.group_norm(16) == 32
    assert counts.layer_norm(16, 5, 5) == 800
    with pytest.raises(ValueError, match="4 groups do not divide 6 channels"):
        counts.conv2d(6, 8, (3, 3), groups=4)


def test_lenets_parameters_and_connections_are_the_published_ones() -> None:
    """NET-01 and NET-03."""
    five = (5, 5)
    table = counts.table_parameters(TABLE, five)
    trained = [counts.conv2d(1, 6, five), 2 * 6, table, 2 * 16, counts.linear(400, 120), counts.linear(120, 84)]
    assert trained == [156, 12, 1_516, 32, 48_120, 10_164]
    assert sum(trained) == 60_000
    made = [
        counts.convolution_connections((28, 28), 1, 6, five),
        6 * 14 * 14 * (4 + 1),
        counts.table_connections((10, 10), TABLE, five),
        16 * 5 * 5 * (4 + 1),
        counts.linear(400, 120),
        counts.linear(120, 84),
        84 * 10,
    ]
    assert made == [122_304, 5_880, 151_600, 2_000, 48_120, 10_164, 840]
    assert sum(made) == 340_908
    modern = [156, counts.conv2d(6, 16, five), 48_120, 10_164, counts.linear(84, 10)]
    assert modern == [156, 2_416, 48_120, 10_164, 850]
    assert sum(modern) == 61_706


def test_the_table_of_connections_is_the_published_one() -> None:
    rows = ["XXX___", "_XXX__", "__XXX_", "___XXX", "X___XX", "XX___X", "XXXX__", "_XXXX_", "__XXXX", "X__XXX",
            "XX__XX", "XXX__X", "XX_XX_", "_XX_XX", "X_XX_X", "XXXXXX"]  # fmt: skip
    assert connected(16, 6)[:, :, 0, 0].tolist() == [[mark == "X" for mark in row] for row in rows]


@pytest.mark.parametrize("form", ["modern", "1998"])
@pytest.mark.parametrize("side", [32, 28])
def test_lenets_arrays_and_shapes_are_the_published_ones(form: str, side: int) -> None:
    problem = LeNet5.made(np.dtype("float32"), 0, form=form, side=side)
    shapes = [p.shape() for p in problem.layers() if p.name != "relu"]
    c5 = (1, 120) if form == "modern" else (1, 120, 1, 1)
    last = [(1, 84), (1, 10)] if form == "modern" else [(1, 84)]
    assert shapes == [(1, 6, 28, 28), (1, 6, 14, 14), (1, 16, 10, 10), (1, 16, 5, 5), c5, *last]
    assert problem.shape() == (1, 10)
    arrays = problem.arrays()
    kept = connected(16, 6).mean() if form == "1998" else 1.0
    count = sum(a.size * (kept if k == "c3" else 1) for k, a in arrays.items() if k != "x")
    assert count == (60_000 + 840 if form == "1998" else 61_706)


# Bounds.


def simulated(problem: Op, random: np.random.Generator, widest: bool) -> Any:
    """An answer of a layer in its dtype by some legal order of summation, or off by as much as its bound allows."""
    if problem.name in ("conv2d", "linear", "avg_pool2d") and not widest:
        adds = random.choice([AddsBackwards, AddsInPairs, AddsTheLargestFirst])()
        if problem.name != "avg_pool2d" and problem.dtype.itemsize >= 4:
            return getattr(adds, problem.name)(problem)
    bound = problem.judgements(Arithmetic.ieee(problem.dtype))[problem.outputs[0]]
    hi, lo = problem.truths()[problem.outputs[0]]
    sign = random.choice((-1.0, 1.0), hi.shape) if random.random() < 0.7 else random.choice((-1.0, 1.0))
    best = round_to(hi, format_of(problem.dtype))
    off = round_to(hi + sign * np.where(np.isfinite(bound.tolerance), bound.tolerance, 0), format_of(problem.dtype))
    legal = ~bound.forced & (np.abs((off - hi) - lo) <= bound.tolerance)
    return np.where(legal, off, best).astype(problem.dtype)


@pytest.mark.parametrize("dtype", tuple(FORMATS))
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_no_rounding_of_the_layers_exceeds_the_bound_of_the_network(network: type[Composition], dtype: str) -> None:
    random = np.random.default_rng(11)
    largest = 0.0
    for i in range(25 if network is LeNet5 else 60):
        problem = network.draw(RandomPick(f"sound {network.name} {i}", dtype_named(dtype), 20_000))
        with np.errstate(all="ignore"):
            bound = problem.judgement(Arithmetic.ieee(dtype))
            for widest in (False, True):
                y = np.asarray(problem.follow(lambda p, w=widest: simulated(p, random, w)), np.float64)
                error = np.abs(y - problem.reference())
                ok = (error <= bound.tolerance) | (y == problem.reference()) | bound.overflows
                assert ok.all(), (problem, widest, (error / bound.tolerance).max())
                ratio = np.where(error == 0, 0, error / bound.tolerance)
                largest = max(largest, float(ratio[np.isfinite(ratio)].max(initial=0.0)))
    # Not far above what can happen; for float64 it holds the reference's own roundings too.
    assert largest > (0.1 if dtype == "float64" else 0.3)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_integers_leave_no_room(network: type[Composition]) -> None:
    """Where every layer is exact, so is the network: a bound of zero, and forced."""
    forced = 0
    for i in range(40):
        problem = network.draw(RandomPick(f"exact {network.name} {i}", np.dtype("float32"), 20_000))
        bound = problem.judgement(Arithmetic.ieee("float32"))
        assert np.all(bound.tolerance[bound.forced] == 0)
        forced += bool(bound.forced.all())
    assert forced >= 5


def test_the_model_of_rounding_is_of_the_right_size() -> None:
    """Errors of summing in a plain order, over the modelled deviations: near 1, and far above it for 11 bits."""
    right, rounded = [], []
    for i in range(12):
        problem = LeNet5.made(np.dtype("float32"), i, n=2)
        spread = problem.spread(Arithmetic.ieee("float32"))

        def ask(p: Op, bits: int = 0) -> Any:
            if bits and p.name in ("conv2d", "linear"):
                p = p.but(x=round_to(np.asarray(p.arrays()["x"], np.float64), FORMATS["float16"]).astype(np.float32))
            return p.expected().astype(np.float32) if p.name not in ("conv2d", "linear") else AddsInPairs.conv2d(
                AddsInPairs(), p
            )  # fmt: skip

        for found, bits in ((right, 0), (rounded, 11)):
            y = np.asarray(problem.follow(lambda p, b=bits: ask(p, b)), np.float64)
            error = y - problem.reference()
            found.append(float(np.sqrt(np.mean((error / spread) ** 2))))
    assert 0.2 < np.median(right) < 3
    assert max(right) < 10
    assert min(rounded) > 50


@pytest.mark.parametrize(
    "between",
    [Squash(), Scaled(np.array([0.5, -2.0]), np.array([1.0, 0.0])), Distances(np.ones((3, 8)))],
    ids=lambda b: type(b).__name__,
)
@pytest.mark.parametrize("dtype", tuple(FORMATS))
def test_what_is_between_layers_moves_no_further_than_it_says(between: Any, dtype: str) -> None:
    random = np.random.default_rng(7)
    shape = (5, 8) if isinstance(between, Distances) else (5, 2, 2, 2)
    for size in (0.0, 1e-3, 1.0, 30.0):
        x = random.standard_normal(shape) * 2
        off = np.abs(random.standard_normal(shape)) * size
        bound = between.passed_on(x, off, dtype_named(dtype))
        for sign in (-1.0, 1.0, random.choice((-1.0, 1.0), shape)):
            moved = np.asarray(between.applied((x + sign * off).astype(dtype_named(dtype))), np.float64)
            came = np.abs(np.asarray((x + sign * off).astype(dtype_named(dtype)), np.float64) - x)
            bound = between.passed_on(x, np.maximum(off, came), dtype_named(dtype))
            assert np.all(np.abs(moved - between.value(x)) <= bound)


# References.


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_the_reference_is_its_layers_by_loops(network: type[Composition]) -> None:
    """Each layer as plain loops in float64, one after another: apart by no more than two float64 bounds."""
    compared = 0
    for i in itertools.count():
        problem = network.draw(RandomPick(f"loops {network.name} {i}", np.dtype("float64"), 20_000))
        if sum(loops.work(p) for p in problem.layers()) > (60_000 if network is LeNet5 else 6_000):
            continue

        def ask(p: Op) -> Any:
            return np.asarray(loops.compute(p, loops.rounded), np.float64)

        due, bound = problem.follow(ask), problem.judgement(Arithmetic.ieee("float64"))
        assert np.all(np.abs(problem.expected() - due) <= 2 * bound.tolerance), problem
        compared += 1
        if compared == (2 if network is LeNet5 else 15):
            return


def test_an_invalid_layer_is_refused_in_words() -> None:
    x, weight = np.ones((1, 2, 4, 4)), np.ones((1, 2, 3, 3))
    plan: Any = ({"op": "conv2d"}, {"op": "max_pool2d", "kernel_size": (3, 3), "stride": (1, 1)})
    problem = Stack(x=x, weight1=weight, plan=plan)
    assert problem.broken_rules() == ("max_pool2d",)
    for refuse in (problem.shape, problem.expected, problem.validate):
        with pytest.raises(InvalidProblem, match="stack: max_pool2d: The padded image is at least as long"):
            refuse()
    assert Stack(x=x, weight1=weight, plan=plan[:1]).broken_rules() == ()


def test_a_network_is_read_as_its_layers_are() -> None:
    """A declared convention reaches the layers that it is about, and nothing else is made new."""
    x = np.arange(5.0).reshape(1, 1, 1, 5)
    over: dict[str, Any] = {"op": "avg_pool2d", "kernel_size": (1, 2), "stride": (1, 2), "ceil_mode": True}
    problem = Stack(x=x, plan=(over,))
    assert problem.expected().tolist() == [[[[0.5, 2.5, 4.0]]]]
    assert problem.declared({"avg_divisor": "full"}).reference().tolist() == [[[[0.5, 2.5, 2.0]]]]
    assert problem.declared({"relu_nan": "ignore"}) is problem


def test_arithmetics_are_taken_together_by_the_loosest() -> None:
    ieee = Arithmetic.ieee("float32")
    assert Arithmetic.loosest([ieee, ieee]) == ieee
    both = Arithmetic.loosest([ieee, Arithmetic.named("tf32", "float32")])
    assert (both.name, both.input_rounding, both.unit_factor) == ("tf32", 2.0**-10, 2.0)


def test_a_stack_is_one_operation_where_it_has_one_layer() -> None:
    for i in range(30):
        problem = Stack.draw(RandomPick(f"one {i}", np.dtype("float64"), 1000))
        first = problem.layers()[0]
        assert isinstance(first, Op)
        if isinstance(first, (Conv2d, MaxPool2d)) and len(problem.plan) == 1:
            assert np.array_equal(problem.expected(), first.but(x=problem.x).expected())
