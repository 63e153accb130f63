"""Averages of windows, responses divided by those of neighbours and scaled elements, on toy machines."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convspec.conformance.compare import Truth
from convspec.reference import AvgPool2d, Dropout, LocalResponseNorm

from .toy import Array, Machine, cases, drawn, toy_format
from .toy_dots import Answer
from .toy_statistics import SUMS, machines
from .toy_sums import fused, one_by_one, random_tree


def averages(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    for p, kind in cases(random):
        count = int(random.choice([k for k in (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16) if k <= 2**p]))
        x, _ = drawn(kind, (outputs, count), toy_format(p), random)
        problem = AvgPool2d(x=x.reshape(outputs, 1, 1, count).astype(np.float32), kernel_size=(1, count), stride=(1, 1))
        value = problem.reference()
        for unit in machines(p, random):
            truth = Truth.of(value, np.zeros_like(value), problem.judgement(unit.declared))
            read, machine = unit.read(x), unit.machine
            share = machine.round(np.array(1 / count))
            for name, sum_up in SUMS.items():
                total = sum_up(read, machine, random)
                for way, y in (
                    ("the sum divided", machine.round(total / count)),
                    ("the sum times the reciprocal", machine.round(total * share)),
                    ("each divided", sum_up(machine.round(read / count), machine, random)),
                    ("each times the reciprocal", sum_up(read * share, machine, random)),
                ):
                    actual = unit.store.round(y).reshape(value.shape)
                    yield Answer(unit.label, f"{way}, {name}", actual, truth, unit.declared)
            y = unit.store.round(fused(read * share, machine, random)).reshape(value.shape)
            yield Answer(unit.label, "each times the reciprocal, fused chain", y, truth, unit.declared)


def responses(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    """x * D^-beta with D = k + alpha/size * S."""
    for p, kind in cases(random):
        channels, size = int(random.integers(1, 7)), int(random.integers(1, 8))
        x, _ = drawn(kind, (outputs, channels), toy_format(p), random)
        alpha, beta, k = (float(random.choice(a)) for a in ((1e-2, 0.5, 1.0), (0.75, 0.5, 1.0), (1.0, 2.0, 0.125)))
        problem = LocalResponseNorm(x=x[:, :, None, None].astype(np.float32), size=size, alpha=alpha, beta=beta, k=k)
        value = problem.reference()
        for unit in machines(p, random):
            truth = Truth.of(value, np.zeros_like(value), problem.judgement(unit.declared))
            read, round_ = unit.read(x), unit.machine.round
            factor = round_(np.array(alpha))
            share, part = round_(factor / size), round_(np.array(1 / size))
            for name, sum_up in (("one by one", one_by_one), ("random tree", random_tree)):
                squares = np.zeros_like(read)
                for c in range(channels):
                    window = read[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1]
                    squares[:, c] = sum_up(window * window, unit.machine, random)
                if name == "one by one":
                    scaled_squares = round_(share * squares)
                else:  # a mean, and a product
                    scaled_squares = round_(factor * round_(part * squares))
                divisor = round_(round_(np.array(k)) + scaled_squares)
                for way, power in _powers(divisor, beta, unit.machine, random):
                    for how, y in (("times", round_(read * power)), ("divided", round_(read / round_(1 / power)))):
                        if how == "times" or way != "root":
                            actual = unit.store.round(y).reshape(value.shape)
                            yield Answer(unit.label, f"{how}, {way}, {name}", actual, truth, unit.declared)


def _powers(d: Array, beta: float, machine: Machine, random: np.random.Generator) -> Iterator[tuple[str, Array]]:
    """d^-beta: rounded once; by a logarithm and an exponential good to two units in the last place; by roots."""
    yield "one rounding", machine.round(d**-beta)
    u = machine.format.unit

    def rough(exact: Array) -> Array:
        near = machine.nearest().round(exact * (1 + 3 * u * random.uniform(-1, 1, exact.shape)))
        return np.where(np.abs(near - exact) <= 4 * u * np.abs(exact), near, machine.nearest().round(exact))

    yield "logarithm", rough(np.exp(-machine.round(machine.round(np.array(beta)) * rough(np.log(d)))))
    root = machine.round(np.sqrt(d))
    if beta == 0.75:
        yield "root", machine.round(1 / machine.round(root * machine.round(np.sqrt(root))))
    elif beta == 0.5:
        yield "root", machine.round(1 / root)


def scaled(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    """x / (1 - p), all elements kept."""
    for p, kind in cases(random):
        x, _ = drawn(kind, (outputs, 4), toy_format(p), random)
        rate = float(random.choice((0.1, 0.25, 0.3, 0.5, 0.75, 0.9)))
        problem = Dropout(x=x.astype(np.float32), p=rate, training=True, seed=0).read(mask=np.ones(x.shape, bool))
        value = problem.reference()
        for unit in machines(p, random):
            truth = Truth.of(value, np.zeros_like(value), problem.judgement(unit.declared))
            round_, read = unit.machine.round, unit.read(x)
            keep = round_(np.array(1 - rate))
            for way, y in (("divided", read / keep), ("times the reciprocal", read * round_(1 / keep))):
                yield Answer(unit.label, way, unit.store.round(round_(y)), truth, unit.declared)
