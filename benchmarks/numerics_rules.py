"""Tables of docs/numerics.md about rules: what of right and of wrong sums of products each rejects and accepts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from convspec.conformance.compare import Truth, accepted
from convspec.reference import Conv2d
from convspec.reference.data import Data
from convspec.reference.passing import spread_on
from convspec.reference.rounding import Arithmetic
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


@dataclass(frozen=True)
class Due:
    """What is true of a problem: its value and bound, how many products an output has, how far it would be off if
    roundings were random."""

    truth: Truth
    terms: int
    spread: Array

    @classmethod
    def of(cls, problem: Conv2d) -> Due:
        truth = Truth.of(*problem.truth(), problem.judgement(FLOAT32))
        spread = spread_on(problem, np.zeros(problem.x.shape), FLOAT32)
        return cls(truth, int(np.prod(problem.weight.shape[1:])), spread)

    def off(self, y: Array) -> float:
        """The root mean square of error over spread."""
        some = self.spread > 0
        return float(np.sqrt(np.mean(((y - self.truth.hi)[some] / self.spread[some]) ** 2)))


Rule = Callable[[Array, Due], bool]


def _close(relative: float, absolute: float) -> Rule:
    return lambda y, due: bool(np.all(np.abs(y - due.truth.hi) <= absolute + relative * np.abs(due.truth.hi)))


def _ulps(y: Array, due: Due) -> bool:
    """2n units in the last place of the result."""
    truth = due.truth.hi
    return bool(np.all(np.abs(y - truth) <= 2 * due.terms * np.spacing(np.abs(truth).astype(np.float32))))


def _ours(y: Array, due: Due) -> bool:
    return bool(accepted(y, due.truth, FLOAT32)[0].all())


WARNS = 3.0

# The defaults of numpy.allclose and of torch.testing.assert_close for float32, as installed.
RULES: dict[str, Rule] = {
    "allclose": _close(1e-5, 1e-8),
    "torch": _close(1.3e-6, 1e-5),
    "1e-2": _close(1e-2, 1e-2),
    "2n ULP": _ulps,
    "ours": _ours,
    "ours, no warning": lambda y, due: _ours(y, due) and due.off(y) <= WARNS,
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
            problem = _layer(family, c, 10_000 * seed + c)
            due = Due.of(problem)
            for y in _right(problem):
                found[family][0] += [not RULES[rule](y, due) for rule in rules]
            for k, backend in enumerate(ROUNDED.values()):
                y = backend().conv2d(problem).astype(np.float64)
                found[family][1 + k] += [RULES[rule](y, due) for rule in rules]
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


MODELLED = ("normal", "uniform in [-1, 1]", "positive, uniform in [0, 1]", "one dominant tap", "constant, 0.1 and 0.3")


def warning(channels: tuple[int, ...] = CHANNELS, seeds: int = SEEDS) -> Rows:
    """The root mean square of errors over the deviations that the model of random rounding gives."""
    made = [["data", "right: at most", *(f"{name}: at least" for name in ROUNDED)]]
    for family in MODELLED:
        right, rounded = [], {name: list[float]() for name in ROUNDED}
        for c, seed in product(channels, range(seeds)):
            problem = _layer(family, c, 10_000 * seed + c)
            due = Due.of(problem)
            right += [due.off(y) for y in _right(problem)]
            for name, backend in ROUNDED.items():
                rounded[name].append(due.off(backend().conv2d(problem).astype(np.float64)))
        made.append([family, f"{max(right):.2g}", *(f"{min(found):.2g}" for found in rounded.values())])
    return made
