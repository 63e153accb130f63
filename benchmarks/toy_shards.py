"""Statistics merged from those of several devices, on toy machines, and what is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from convspec.conformance.compare import Truth
from convspec.reference import SyncBatchNorm2d
from convspec.reference.rounding import Bound
from convspec.reference.sets import found_in
from convspec.reference.shards import slices

from .toy import Array, Machine, cases, drawn, stored, toy_format
from .toy_dots import Answer
from .toy_gradients import truths_of, with_wider_flushed
from .toy_statistics import SUMS, Machines, applied, moments, reciprocal_root, updated

Shard = tuple[int, Array, Array]  # how many elements of each channel, their means, their variances


def merged_statistics(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    """Means and variances of the whole batch, and outputs and running statistics made of them."""
    for p, kind in cases(random):
        problem = _problem(random, p, max(4, outputs // 4), kind)
        due = problem.references()
        for unit in with_wider_flushed(p, random):
            truths = truths_of(due, problem.judgements(unit.declared)) | _statistics(problem, unit)
            for way, mean, variance in _merged(problem, unit, random):
                for output, form, actual in _made(problem, unit, random, mean, variance):
                    truth = truths[output]
                    yield Answer(
                        unit.label, f"{output}: {way}, {form}", actual.reshape(truth.hi.shape), truth, unit.declared
                    )


def _problem(random: np.random.Generator, p: int, channels: int, kind: str) -> Any:
    """Images of one pixel or two, shared out among up to five devices; every third time far from zero."""
    form, pixels = toy_format(p), int(random.integers(1, 3))
    most = max(2**p // pixels, 2)
    shards = [int(random.integers(0, 5)) for _ in range(int(random.integers(1, 6)))]
    while sum(shards) > most:
        shards.pop()
    shards = shards if sum(shards) > 1 else [1, 1]
    n = sum(shards)
    x, _ = drawn(kind, (channels, n * pixels), form, random)
    if random.random() < 0.33:
        x = stored(x / 4 + random.choice((-4.0, 1.0, 2.0, 8.0)), form)
    fields = {
        "weight": stored(random.standard_normal(channels) * 2.0 ** random.integers(-4, 2), form),
        "bias": stored(random.standard_normal(channels) * 2.0 ** random.integers(-4, 2), form),
        "running_mean": stored(random.standard_normal(channels) * 2.0 ** random.integers(-2, 4), form),
        "running_var": stored(np.abs(random.standard_normal(channels)) * 2.0 ** random.integers(-2, 4), form),
    }
    return SyncBatchNorm2d(
        x=np.ascontiguousarray(x.reshape(channels, n, 1, pixels).transpose(1, 0, 2, 3)).astype(np.float32),
        shards=tuple(shards),
        momentum=float(random.choice((0.1, 0.5, 0.9, 1.0))),
        eps=float(random.choice((0.02, 0.1, 0.5, 2.0**-5))),
        **{name: values.astype(np.float32) for name, values in fields.items()},
    )


def _statistics(problem: Any, unit: Machines) -> dict[str, Truth]:
    """The truth of mean and variance of the channels, and how far they may be off."""
    found, m = found_in(problem), problem.sets.count
    mean, variance = found.mean.ravel(), found.variance.ravel()
    dmu, dv = (d.ravel() for d in problem.errors(unit.declared))
    beyond = ~(m * (variance + mean**2 + dv) < unit.declared.acc.largest / 2)
    no, size = np.zeros(mean.shape, bool), np.full(mean.shape, np.inf)
    return {
        name: Truth.of(value, np.zeros_like(value), Bound(np.where(beyond, np.inf, d), no, beyond, size))
        for name, value, d in (("mean", mean, dmu), ("variance", variance, dv))
    }


def _made(
    problem: Any, unit: Machines, random: np.random.Generator, mean: Array, variance: Array
) -> Iterator[tuple[str, str, Array]]:
    """The statistics themselves, both updates and, now and then, as they are many, the outputs in every form."""
    yield "mean", "", mean
    yield "variance", "", variance
    machine, m = unit.machine, problem.sets.count
    unbiased = machine.round(variance * machine.round(np.array(m / (m - 1))))
    for name, statistic in (("running_mean", mean), ("running_var", unbiased)):
        before = unit.read(np.asarray(getattr(problem, name), np.float64))
        for update, new in updated(before, statistic, problem.momentum, machine):
            yield name, update, unit.store.round(new)
    if random.random() < 0.8:
        return
    x, w, b = (unit.read(np.asarray(a, np.float64)) for a in (_rows(problem.x), problem.weight, problem.bias))
    r = reciprocal_root(variance, problem.eps, machine, random)
    for form, y in applied(x, mean, r, w, b, machine):
        n, c, h, pixels = problem.x.shape
        yield "y", form, unit.store.round(y).reshape(c, n, h, pixels).transpose(1, 0, 2, 3)


def _rows(x: Any) -> Array:
    """(N, C, H, W) -> (C, N*H*W)."""
    return np.asarray(x, np.float64).transpose(1, 0, 2, 3).reshape(x.shape[1], -1)


# Every way to merge: all at once, or two at a time in any order; of variances, of sums of squares, of roots.


def _merged(problem: Any, unit: Machines, random: np.random.Generator) -> Iterator[tuple[str, Array, Array]]:
    rows, pixels = unit.read(_rows(problem.x)), problem.x.shape[2] * problem.x.shape[3]
    parts = [rows[:, s.start * pixels : s.stop * pixels] for s in slices(problem) if s.stop > s.start]
    sent = [_sent(part, unit.machine, random) for part in parts]
    rooted = [(m, mean, _through_a_root(v, problem.eps, unit.machine, random)) for m, mean, v in sent]
    for title, shards in (("variances", sent), ("roots", rooted)):
        for weigh in ("shares", "counts"):
            yield (f"at once, {title} by {weigh}", *_at_once(shards, weigh, unit.machine, random))
        yield (f"two at a time, {title}", *_two_at_a_time(shards, unit.machine, random))
    yield ("two at a time, squares", *_squares(sent, unit.machine, random))


def _sent(part: Array, machine: Machine, random: np.random.Generator) -> Shard:
    """What a device sends, in one of all ways to take statistics."""
    ways = list(moments(part, machine, random))
    _, mean, variance = ways[int(random.integers(len(ways)))]
    return part.shape[1], mean, variance


def _through_a_root(variance: Array, eps: float, machine: Machine, random: np.random.Generator) -> Array:
    """The variance taken back from (v + eps)^-1/2, never below zero."""
    r = reciprocal_root(variance, eps, machine, random)
    back = machine.round(1 / machine.round(r * r))
    return np.maximum(machine.round(back - machine.round(np.array(eps))), 0.0)


def _at_once(shards: list[Shard], weigh: str, machine: Machine, random: np.random.Generator) -> tuple[Array, Array]:
    """Averages over the shards, weighed by a share of each or divided by all counts at the end."""
    counts = np.array([m for m, _, _ in shards], np.float64)
    means, variances = (np.stack([shard[k] for shard in shards], axis=1) for k in (1, 2))
    way, round_ = SUMS[str(random.choice(list(SUMS)))], machine.round

    def average(values: Array) -> Array:
        if weigh == "shares":
            return way(values * round_(counts / counts.sum()), machine, random)
        return round_(way(values * counts, machine, random) / counts.sum())

    mean = average(means)
    off = round_(means - mean[:, None])
    return mean, average(round_(variances + round_(off * off)))


def _two_at_a_time(shards: list[Shard], machine: Machine, random: np.random.Generator) -> tuple[Array, Array]:
    """mean_a + (mean_b - mean_a) * m_b/m_ab; the variances weighed, and the square of the difference."""
    left, round_ = list(shards), machine.round
    while len(left) > 1:
        (a, mean_a, va), (b, mean_b, vb) = (left.pop(int(random.integers(len(left)))) for _ in "ab")
        off, rest, share = round_(mean_b - mean_a), round_(np.array(a / (a + b))), round_(np.array(b / (a + b)))
        mean = round_(mean_a + round_(off * share))
        within = round_(round_(va * rest) + round_(vb * share))
        left.append((a + b, mean, round_(within + round_(round_(round_(off * off) * rest) * share))))
    return left[0][1:]


def _squares(shards: list[Shard], machine: Machine, random: np.random.Generator) -> tuple[Array, Array]:
    """Sums of squares about the means, one device after another (Chan, Golub and LeVeque)."""
    round_ = machine.round
    count, mean, squares = shards[0][0], shards[0][1], round_(shards[0][2] * shards[0][0])
    for k in random.permutation(len(shards) - 1) + 1:
        m, own, variance = shards[k]
        off, whole = round_(own - mean), count + m
        squares = round_(squares + round_(variance * m))
        squares = round_(squares + round_(round_(off * off) * round_(np.array(count * m / whole))))
        mean = round_(mean + round_(off * round_(np.array(m / whole))))
        count = whole
    return mean, round_(squares / count)
