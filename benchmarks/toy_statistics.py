"""Means and variances of sets on toy machines, and what is made of them: normalized outputs, running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convspec.conformance.compare import Truth
from convspec.reference import BatchNorm2d, InstanceNorm2d
from convspec.reference.rounding import Bound
from convspec.reference.sets import errors, statistics

from .toy import Array, Machine, ToyArithmetic, cases, drawn, stored, toy_format
from .toy_dots import Answer
from .toy_sums import Way, fused, one_by_one, positive_first, random_tree, worst_next

COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16)
SUMS: dict[str, Way] = {
    "one by one": one_by_one,
    "random tree": random_tree,
    "positive then negative": positive_first,
    "worst next": worst_next,
}


@dataclass(frozen=True)
class Machines:
    """What is declared, what accumulates, what stores, and the inputs as they are read."""

    label: str
    declared: ToyArithmetic
    machine: Machine
    store: Machine
    least: float  # smaller inputs are read as zero

    def read(self, x: Array) -> Array:
        return np.where(np.abs(x) < self.least, 0.0, x)


def machines(p: int, random: np.random.Generator) -> Iterator[Machines]:
    """One of each arithmetic, over a storage of p bits."""
    form, wide = toy_format(p), toy_format(p + int(random.integers(1, 5)), *random.choice(((-6, 7), (-10, 10))))
    store = Machine(form)
    yield Machines("to nearest", ToyArithmetic.of(form), store, store, 0.0)
    yield Machines("wider accumulator", ToyArithmetic.of(form, wide), Machine(wide), store, 0.0)
    flush, declared = Machine(form, flush=True), ToyArithmetic.of(form, flush_to_zero=True)
    least = float(random.choice((0.0, form.smallest_normal)))
    yield Machines("flushed", declared, flush, flush, least)
    either = Machine(form, str(random.choice(("zero", "up", "down", "either"))), random=random)
    yield Machines("directed", ToyArithmetic.of(form, unit_factor=2.0), either, either, 0.0)


def sets_of(random: np.random.Generator, p: int, outputs: int, kind: str) -> Array:
    """Elements of sets, (sets, m); every third time far from zero, so that their variance is lost by cancellation."""
    form = toy_format(p)
    m = int(random.choice([m for m in COUNTS if m <= 2**p]))
    x, _ = drawn(kind, (outputs, m), form, random)
    if random.random() < 0.33:
        x = stored(x / 4 + random.choice((-4.0, 1.0, 2.0, 8.0)), form)
    return x


# Every way to take a mean and a variance, in the format of the accumulator.


def moments(x: Array, machine: Machine, random: np.random.Generator) -> Iterator[tuple[str, Array, Array]]:
    """The name of a way, the means and the variances."""
    name = str(random.choice(list(SUMS)))
    for divide in ("divided", "times the reciprocal", "each divided"):
        yield (f"two passes, {divide}", *_two_passes(x, machine, random, SUMS[name], divide))
        yield (f"one pass, {divide}", *_one_pass(x, machine, random, SUMS[name], divide))
    yield ("two passes, fused squares", *_two_passes(x, machine, random, fused, "divided"))
    yield ("one pass, of sums", *_one_pass_of_sums(x, machine, random, SUMS[name]))
    yield ("running, divided", *running(x, machine, reciprocal=False))
    yield ("running, times the reciprocal", *running(x, machine, reciprocal=True))


def _mean(terms: Array, machine: Machine, random: np.random.Generator, sum_up: Way, divide: str) -> Array:
    m = terms.shape[1]
    if divide == "each divided":
        return sum_up(machine.round(machine.round(terms) / m), machine, random)
    total = sum_up(terms, machine, random)
    if divide == "divided":
        return machine.round(total / m)
    return machine.round(total * machine.round(np.array(1 / m)))


def _two_passes(x: Array, machine: Machine, random: np.random.Generator, way: Way, divide: str) -> tuple[Array, Array]:
    mean = _mean(x, machine, random, way, divide)
    centred = machine.round(x - mean[:, None])
    return mean, _mean(centred * centred, machine, random, way, divide)


def _one_pass(x: Array, machine: Machine, random: np.random.Generator, way: Way, divide: str) -> tuple[Array, Array]:
    mean = _mean(x, machine, random, way, divide)
    squares = _mean(x * x, machine, random, way, divide)
    return mean, np.maximum(machine.round(squares - machine.round(mean * mean)), 0.0)


def _one_pass_of_sums(x: Array, machine: Machine, random: np.random.Generator, way: Way) -> tuple[Array, Array]:
    m, total = x.shape[1], way(x, machine, random)
    mean = machine.round(total / m)
    left = machine.round(way(x * x, machine, random) - machine.round(total * mean))
    return mean, np.maximum(machine.round(left / m), 0.0)


def running(x: Array, machine: Machine, *, reciprocal: bool) -> tuple[Array, Array]:
    """Welford: each element moves the mean by its share, and adds to the squares the product of both differences."""
    mean, squares = np.zeros(len(x)), np.zeros(len(x))

    def over(values: Array, k: int) -> Array:
        return machine.round(values * machine.round(np.array(1 / k)) if reciprocal else values / k)

    for k in range(1, x.shape[1] + 1):
        before = machine.round(x[:, k - 1] - mean)
        mean = machine.round(mean + over(before, k))
        after = machine.round(x[:, k - 1] - mean)
        squares = machine.round(squares + machine.round(before * after))
    return mean, over(squares, x.shape[1])


def means_and_variances(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    for p, kind in cases(random):
        x = sets_of(random, p, outputs, kind)
        found = statistics(x, (1,))
        mu, v = found.mean[:, 0], found.variance[:, 0]
        for unit in machines(p, random):
            dmu, dv = (d[:, 0] for d in errors(found, x.shape[1], unit.declared))
            beyond = ~(x.shape[1] * (v + mu**2 + dv) < unit.declared.acc.largest / 2)
            no, size = np.zeros(mu.shape, bool), np.full(mu.shape, np.inf)
            of_mean, of_variance = (
                Truth.of(value, np.zeros_like(value), Bound(np.where(beyond, np.inf, d), no, beyond, size))
                for value, d in ((mu, dmu), (v, dv))
            )
            for way, mean, variance in moments(unit.read(x), unit.machine, random):
                yield Answer(unit.label, f"mean: {way}", mean, of_mean, unit.declared)
                yield Answer(unit.label, f"variance: {way}", variance, of_variance, unit.declared)


# Normalized outputs and running statistics.


def reciprocal_root(v: Array, eps: float, machine: Machine, random: np.random.Generator) -> Array:
    """(v + eps)^-1/2 by a root and a division, or by one function good to two units in the last place."""
    shifted = machine.round(v + machine.round(np.array(eps)))
    if random.random() < 0.5:
        return machine.round(1 / machine.round(np.sqrt(shifted)))
    r = shifted**-0.5
    u = machine.format.unit
    rough = machine.nearest().round(r * (1 + 3 * u * random.uniform(-1, 1, r.shape)))
    return np.where(np.abs(rough - r) <= 4 * u * r, rough, machine.nearest().round(r))


def normalized(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    for p, kind in cases(random):
        x, form = sets_of(random, p, max(4, outputs // 4), kind), toy_format(p)
        n, m = x.shape
        eps = float(random.choice((0.02, 0.1, 0.5, 2.0**-5)))
        w, b = (stored(random.standard_normal(n) * 2.0 ** random.integers(-4, 2), form) for _ in "wb")
        narrow = np.float32
        problem = InstanceNorm2d(
            x=x.reshape(1, n, 1, m).astype(narrow), weight=w.astype(narrow), bias=b.astype(narrow), eps=eps
        )
        for unit in machines(p, random):
            truth = _seen(problem.reference(), problem.judgement(unit.declared), (n, m))
            for way, mean, variance in moments(unit.read(x), unit.machine, random):
                r = reciprocal_root(variance, eps, unit.machine, random)
                for form_, y in applied(unit.read(x), mean, r, unit.read(w), unit.read(b), unit.machine):
                    statistic = way.split(",")[0]
                    yield Answer(unit.label, f"{form_}, {statistic}", unit.store.round(y), truth, unit.declared)


def _seen(value: Array, bound: Bound, shape: tuple[int, ...]) -> Truth:
    """A truth and its bound in another shape."""
    parts = (bound.tolerance, bound.forced, bound.overflows, bound.size)
    return Truth.of(value.reshape(shape), np.zeros(shape), Bound(*(np.reshape(a, shape) for a in parts)))


def applied(x: Array, mean: Array, r: Array, w: Array, b: Array, machine: Machine) -> Iterator[tuple[str, Array]]:
    mean, r, w, b = (a[:, None] for a in (mean, r, w, b))
    round_, centred = machine.round, machine.round(x - mean)
    yield "centred", round_(round_(round_(centred * r) * w) + b)
    yield "centred, one factor", round_(round_(centred * round_(r * w)) + b)
    a = round_(r * w)
    shift = round_(b - round_(mean * a))
    yield "folded", round_(round_(x * a) + shift)
    yield "folded, fused", round_(x * a + shift)


def running_statistics(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    for p, kind in cases(random):
        x, form = sets_of(random, p, outputs, kind), toy_format(p)
        n, m = x.shape
        if m == 1:
            continue
        before = {
            "running_mean": stored(random.standard_normal(n) * 2.0 ** random.integers(-2, 4), form),
            "running_var": stored(np.abs(random.standard_normal(n)) * 2.0 ** random.integers(-2, 4), form),
        }
        a = float(random.choice((0.1, 0.5, 0.9, 1.0, 0.99)))
        held: dict[str, Any] = {name: values.astype(np.float32) for name, values in before.items()}
        problem = BatchNorm2d(x=x.reshape(1, n, 1, m).astype(np.float32), training=True, momentum=a, **held)
        due = problem.references()
        for unit in machines(p, random):
            bounds = problem.judgements(unit.declared)
            for way, mean, variance in moments(unit.read(x), unit.machine, random):
                unbiased = unit.machine.round(variance * unit.machine.round(np.array(m / (m - 1))))
                for name, statistic in (("running_mean", mean), ("running_var", unbiased)):
                    truth = _seen(due[name], bounds[name], (n,))
                    for update, new in updated(unit.read(before[name]), statistic, a, unit.machine):
                        title = f"{name}: {update}, {way.split(',')[0]}"
                        yield Answer(unit.label, title, unit.store.round(new), truth, unit.declared)


def updated(before: Array, statistic: Array, a: float, machine: Machine) -> Iterator[tuple[str, Array]]:
    share = machine.round(np.array(a))
    rest = machine.round(1 - share)
    yield "two shares", machine.round(machine.round(rest * before) + machine.round(share * statistic))
    yield "a step", machine.round(before + machine.round(share * machine.round(statistic - before)))
