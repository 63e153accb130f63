"""Tables of docs/numerics.md about sums of products: what other rules reject and accept, how much of the bound is used,
what sets of integers show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from math import isqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from convspec.adapters import load
from convspec.conformance.compare import Truth, accepted
from convspec.reference import Conv2d, Linear, Op
from convspec.reference.data import Data
from convspec.reference.rounding import Arithmetic, dtype_named
from tests import simulated

Tensor = npt.NDArray[Any]
Array = npt.NDArray[np.float64]
Rows = list[list[str]]  # the first is the heading
Random = np.random.Generator
Sum = Callable[[Tensor], Tensor]

FLOAT32 = Arithmetic.ieee("float32")


# What other rules say of right and of wrong kernels.


def _of(kind: str) -> Callable[[Random, tuple[int, ...], str], Array]:
    """A kind of data of the suite."""

    def make(random: Random, shape: tuple[int, ...], role: str) -> Array:
        terms = int(np.prod(shape[1:]))
        array: Array = Data(kind, int(random.integers(2**31)), np.dtype("float32"), terms).array(shape, role)
        return array.astype(np.float64)

    return make


FAMILIES: dict[str, Callable[[Random, tuple[int, ...], str], Array]] = {
    "normal": _of("normal"),
    "uniform in [-1, 1]": lambda random, shape, role: random.uniform(-1, 1, shape),
    "positive, uniform in [0, 1]": lambda random, shape, role: random.uniform(0, 1, shape),
    "wide range, 2^-20 to 2^20": _of("spread"),
    "cancellation": _of("cancel"),
    "sparse, a tenth": lambda random, shape, role: random.standard_normal(shape) * (random.random(shape) < 0.1),
    "constant, 0.1 and 0.3": _of("constant"),
    "one dominant tap": _of("dominant"),
    "large mean": _of("offset"),
    "tiny: subnormal": _of("tiny"),
}


def in_order(products: Tensor) -> Tensor:
    """(outputs, terms): one after the other."""
    total = np.zeros(len(products), products.dtype)
    for column in products.T:
        total = total + column
    return total


def lanes(products: Tensor) -> Tensor:
    """Eight running sums, then these."""
    return in_order(np.stack([in_order(products[:, lane::8]) for lane in range(8)], axis=1))


SUMS: dict[str, Sum] = {
    "in order": in_order,
    "backwards": lambda products: in_order(products[:, ::-1]),
    "eight lanes": lanes,
    "pairwise": lambda products: np.sum(products, axis=1),
}


def _close(relative: float, absolute: float) -> Callable[[Array, Truth, int], bool]:
    return lambda y, truth, terms: bool(np.all(np.abs(y - truth.hi) <= absolute + relative * np.abs(truth.hi)))


def _ulps(y: Array, truth: Truth, terms: int) -> bool:
    """2n units in the last place of the result."""
    return bool(np.all(np.abs(y - truth.hi) <= 2 * terms * np.spacing(np.abs(truth.hi).astype(np.float32))))


def _ours(y: Array, truth: Truth, terms: int) -> bool:
    return bool(accepted(y, truth, FLOAT32)[0].all())


# The defaults of numpy.allclose and of torch.testing.assert_close for float32, as installed.
RULES: dict[str, Callable[[Array, Truth, int], bool]] = {
    "allclose": _close(1e-5, 1e-8),
    "torch": _close(1.3e-6, 1e-5),
    "1e-2": _close(1e-2, 1e-2),
    "2n ULP": _ulps,
    "ours": _ours,
}


def _layer(family: str, channels: int, seed: int) -> Conv2d:
    """One image of 6x6, sixteen 3x3 filters: 256 outputs."""
    random = np.random.default_rng(seed)
    x = FAMILIES[family](random, (1, channels, 6, 6), "x").astype(np.float32)
    return Conv2d(x=x, weight=FAMILIES[family](random, (16, channels, 3, 3), "weight").astype(np.float32))


def _right(problem: Conv2d) -> Iterator[Array]:
    """Correct answers in float32: numpy in several orders, its BLAS, torch."""
    columns = problem.columns(problem.x.astype(np.float64)).astype(np.float32)[0, 0]  # (T, M)
    filters = problem.weight.reshape(16, -1)
    products = (filters[:, None] * columns.T).reshape(-1, len(columns))
    for sum_up in SUMS.values():
        yield sum_up(products).astype(np.float64).reshape(problem.shape())
    yield np.matmul(filters, columns).astype(np.float64).reshape(problem.shape())
    made = torch.nn.functional.conv2d(torch.from_numpy(problem.x), torch.from_numpy(problem.weight))
    yield made.numpy().astype(np.float64)


WAYS = len(SUMS) + 2
ROUNDED = {"TF32": simulated.Tf32, "bf16": simulated.Bf16Inputs}


@cache
def _judged_by(rules: tuple[str, ...], channels: tuple[int, ...], seeds: int) -> tuple[int, dict[str, Array]]:
    """How many problems a family has; of each, how many right answers every rule rejects, then on how many problems it
    accepts TF32 and bf16 inputs: (3, rules)."""
    found = {}
    for family in FAMILIES:
        found[family] = np.zeros((1 + len(ROUNDED), len(rules)))
        for c, seed in product(channels, range(seeds)):
            problem, terms = _layer(family, c, 10_000 * seed + c), 9 * c
            truth = Truth.of(*problem.truth(), problem.judgement(FLOAT32))
            for y in _right(problem):
                found[family][0] += [not RULES[rule](y, truth, terms) for rule in rules]
            for k, backend in enumerate(ROUNDED.values()):
                y = backend().conv2d(problem).astype(np.float64)
                found[family][1 + k] += [RULES[rule](y, truth, terms) for rule in rules]
    return len(channels) * seeds, found


CHANNELS, SEEDS = (16, 256), 5  # 144 and 2304 products


def rejected(channels: tuple[int, ...] = CHANNELS, seeds: int = SEEDS) -> Rows:
    """How many right answers each rule rejects, by the data."""
    many, found = _judged_by(tuple(RULES), channels, seeds)
    made = [["data", "right answers", *RULES]]
    made += [[family, str(many * WAYS), *(f"{n:.0f}" for n in counts[0])] for family, counts in found.items()]
    total = sum(counts[0] for counts in found.values())
    return [*made, ["**all**", str(many * WAYS * len(found)), *(f"**{n:.0f}**" for n in total)]]


def passed(channels: tuple[int, ...] = CHANNELS, seeds: int = SEEDS) -> Rows:
    """On how many problems each rule accepts inputs rounded to TF32, and to bfloat16."""
    many, found = _judged_by(tuple(RULES), channels, seeds)
    made = [["data", "problems", *RULES]]
    for family, counts in found.items():
        made.append([family, str(many), *(f"{a:.0f}, {b:.0f}" for a, b in zip(*counts[1:], strict=True))])
    total = sum(counts[1:] for counts in found.values())
    cells = [f"**{a:.0f}**, **{b:.0f}**" for a, b in zip(*np.asarray(total), strict=True)]
    return [*made, ["**all**", str(many * len(found)), *cells]]


# How much of the bound is used.

BINS = ((1, 1), (2, 7), (8, 31), (32, 127), (128, 511), (512, 2048))
USED = ("normal", "uniform in [-1, 1]", "positive, uniform in [0, 1]", "one dominant tap", "cancellation", "large mean")


def _problem(op: str, terms: int, family: str, dtype: str, seed: int) -> Op:
    random, kind = np.random.default_rng(seed), dtype_named(dtype)
    make = FAMILIES[family]
    bias = random.standard_normal(8).astype(kind) if seed % 2 else None
    if op == "linear":
        x, weight = make(random, (8, terms), "x"), make(random, (8, terms), "weight")
        return Linear(x=x.astype(kind), weight=weight.astype(kind), bias=bias)
    taps = 3 if terms >= 9 else 1
    channels = max(1, terms // taps**2)
    x, weight = make(random, (1, channels, 5, 6), "x"), make(random, (8, channels, taps, taps), "weight")
    return Conv2d(x=x.astype(kind), weight=weight.astype(kind), bias=bias)


def by_terms(problems: int = 36, bins: Sequence[tuple[int, int]] = BINS, backends: Sequence[str] = ()) -> Rows:
    """Largest and median error over bound of the bundled backends, by the number of products of an output."""
    made = [["operation", "dtype", "backend", *(f"{a}" if a == b else f"{a} to {b}" for a, b in bins)]]
    loaded = {name: load(name) for name in backends or ("numpy", "c", "torch")}
    for op in ("conv2d", "linear"):
        for dtype in ("float32", "float64", "float16", "bfloat16"):
            cells: dict[str, list[str]] = {name: [] for name, one in loaded.items() if dtype in one.dtypes}
            for place, (least, most) in enumerate(bins):
                found: dict[str, list[Array]] = {name: [] for name in cells}
                random = np.random.default_rng(place)
                for k in range(problems):
                    problem = _problem(op, int(random.integers(least, most + 1)), USED[k % len(USED)], dtype, k)
                    for name in cells:
                        found[name].append(_ratios(loaded[name], problem))
                for name, ratios in found.items():
                    every = np.concatenate(ratios)
                    cells[name].append(f"{_digits(every.max())} / {_digits(float(np.median(every)))}")
            made += [[op, dtype, name, *row] for name, row in cells.items()]
    return made


def _ratios(backend: Any, problem: Op) -> Array:
    """Error over bound, where an error is possible at all. An answer out of bound ends the benchmark."""
    arithmetic = backend.arithmetic_of(problem)
    hi, lo = problem.kept("truth", problem.truth)
    bound = problem.kept(f"bound {arithmetic}", lambda: problem.judgement(arithmetic))
    with np.errstate(over="ignore"):
        answer = np.asarray(backend.call(problem), np.float64)
    if not accepted(answer, Truth.of(hi, lo, bound), arithmetic)[0].all():
        raise SystemExit(f"{backend.key} is out of bound on {problem}")
    looked = ~bound.forced & ~bound.overflows & np.isfinite(answer)
    return np.abs((answer - hi) - lo)[looked] / bound.tolerance[looked]


def _digits(value: float) -> str:
    """Two digits: 0.99, 0.056, 3e-05."""
    return f"{value:.2g}" if value >= 1e-4 or value == 0 else f"{value:.0e}"


# What sets of integers show.


def _odd(random: Random, shape: tuple[int, ...], bits: int) -> Array:
    """Odd integers of so many bits, signed."""
    half = 2 ** (bits - 1)
    return np.asarray((2 * random.integers(half // 2, half, shape) + 1.0) * random.choice((-1.0, 1.0), shape))


def _few(random: Random, shape: tuple[int, ...], values: Array) -> Array:
    """Filters that are zero but for these values (filters, taps), each somewhere."""
    flat = np.zeros((shape[0], int(np.prod(shape[1:]))))
    for row, some in zip(flat, values, strict=True):
        row[random.choice(len(row), len(some), replace=False)] = some
    return flat.reshape(shape)


X, W = (2, 16, 12, 12), (8, 16, 3, 3)
LARGEST = int(np.sqrt(2**24 / np.prod(W[1:])))  # of 144 products every partial sum is below 2^24

SETS: dict[str, Callable[[Random], tuple[Array, Array]]] = {
    "{-1, 0, 1}": lambda random: (1.0 * random.integers(-1, 2, X), 1.0 * random.integers(-1, 2, W)),
    "[-32, 32]": lambda random: (1.0 * random.integers(-32, 33, X), 1.0 * random.integers(-32, 33, W)),
    f"[-{LARGEST}, {LARGEST}], the largest": lambda random: (
        1.0 * random.integers(-LARGEST, LARGEST + 1, X),
        1.0 * random.integers(-LARGEST, LARGEST + 1, W),
    ),
    "13 bits odd; 8 of ±1": lambda random: (
        _odd(random, X, 13),
        _few(random, W, random.choice((-1.0, 1.0), (W[0], 8))),
    ),
    "12 bits odd; one of 12 bits odd": lambda random: (
        _odd(random, X, 12),
        _few(random, W, _odd(random, (W[0], 1), 12)),
    ),
    "24 bits odd; one of ±1": lambda random: (
        _odd(random, X, 24),
        _few(random, W, random.choice((-1.0, 1.0), (W[0], 1))),
    ),
}

SIMULATED = {
    "float32": "Plain",
    "TF32": "Tf32",
    "bf16 inputs": "Bf16Inputs",
    "f16 sums": "F16Sums",
    "bf16x2": "Bf16x2",
    "bf16x3": "Bf16x3",
    "3xTF32": "Tf32x3",
    "F(2,3)": "Winograd2",
    "F(4,3)": "Winograd4",
    "FFT": "Fft",
    "Strassen": "Strassen",
    "last product dropped": "DropsTheLastProduct",
}


def integers(backends: Sequence[str] = tuple(SIMULATED)) -> Rows:
    """The fraction of outputs that are right to the bit."""
    made = [["kernel", *(name.replace("|", "") for name in SETS)]]
    random = np.random.default_rng(3)
    problems = []
    for make in SETS.values():
        x, weight = make(random)
        problems.append(Conv2d(x=x.astype(np.float32), weight=weight.astype(np.float32)))
    for name in backends:
        backend = getattr(simulated, SIMULATED[name])()
        row = []
        for problem in problems:
            bound = problem.kept("bound", lambda problem=problem: problem.judgement(FLOAT32))  # type: ignore[misc]
            assert bound.forced.all(), "every order of summation is exact"
            with np.errstate(over="ignore", invalid="ignore"):
                answer = backend.conv2d(problem)
            row.append(_digits(float(np.mean(answer == problem.reference()))))
        made.append([name, *row])
    return made


def largest(
    terms: Sequence[int] = (1, 9, 27, 144, 576, 1152, 4608, 16384), bits: Sequence[int] = (8, 11, 24, 53)
) -> Rows:
    """The largest X for which n products of integers of [-X, X] are summed exactly in every order, in p bits."""
    made = [["n", *(f"p = {p}" for p in bits)]]
    return made + [[str(n), *(str(isqrt(2**p // n)) for p in bits)] for n in terms]
