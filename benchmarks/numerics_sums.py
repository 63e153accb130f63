"""Tables of docs/numerics.md about sums of products: how much of the bound is used, what sets of integers show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isqrt
from typing import Any

import numpy as np

from convspec.adapters import load
from convspec.conformance.compare import Truth, accepted
from convspec.reference import Conv2d, Linear, Op
from convspec.reference.formats import dtype_named
from tests import simulated

from .numerics_rules import FAMILIES, FLOAT32, Array, Random, Rows

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
            bound = problem.kept("bound", lambda problem=problem: problem.judgement(FLOAT32))
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
