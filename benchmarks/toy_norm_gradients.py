"""The gradients of normalizations on toy machines: every form of the formula, with every way to take statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from convspec.reference import BatchNorm2dBackward, GroupNormBackward, LayerNormBackward

from .toy import Array, Machine, cases, drawn, stored, toy_format
from .toy_dots import Answer
from .toy_gradients import truths_of, with_wider_flushed
from .toy_statistics import SUMS, Machines, moments, reciprocal_root, sets_of
from .toy_sums import Way


def normalizations(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    for p, kind in cases(random):
        for problem in _problems(random, p, max(4, outputs // 8), kind):
            due = problem.references()
            for unit in with_wider_flushed(p, random):
                truths = truths_of(due, problem.judgements(unit.declared))
                for gradient, way, y in _gradients(problem, unit, random):
                    truth = truths[gradient]
                    actual = unit.store.round(y).reshape(truth.hi.shape)
                    title = f"{problem.name.removesuffix('_backward')} {gradient}, {way}"
                    yield Answer(unit.label, title, actual, truth, unit.declared)


def _problems(random: np.random.Generator, p: int, sets: int, kind: str) -> Iterator[Any]:
    """One of each operation, on the same sets."""
    form = toy_format(p)
    rows = sets_of(random, p, sets, kind)
    n, m = rows.shape
    grad = (
        drawn(kind, (n, m), form, random)[1] if random.random() < 0.5 else stored(random.standard_normal((n, m)), form)
    )

    def parameters(count: int) -> dict[str, Any]:
        weight = stored(random.standard_normal(count) * 2.0 ** random.integers(-4, 2), form)
        return {"weight": weight.astype(np.float32), "bias": np.zeros(count, np.float32), "eps": eps}

    def images(*shape: int) -> dict[str, Any]:
        return {name: a.reshape(shape).astype(np.float32) for name, a in (("x", rows), ("grad_output", grad))}

    eps = float(random.choice((0.02, 0.1, 0.5, 2.0**-5)))
    yield LayerNormBackward(**images(n, m), **parameters(m), axes=1)
    channels = int(random.choice([c for c in (1, 2, 3, 4) if m % c == 0]))
    groups = int(random.choice([g for g in (1, 2) if n % g == 0]))
    shape = n // groups, groups * channels, 1, m // channels
    yield GroupNormBackward(**images(*shape), **parameters(groups * channels), groups=groups)
    given = {
        "running_mean": stored(random.standard_normal(n) * 2.0 ** random.integers(-2, 4), form).astype(np.float32),
        "running_var": stored(random.random(n) * 2.0 ** random.integers(-2, 4), form).astype(np.float32),
    }
    held: dict[str, Any] = given | {"training": False} if random.random() < 0.4 or m == 1 else {}
    yield BatchNorm2dBackward(**images(1, n, 1, m), **parameters(n), **held)


def _gradients(problem: Any, unit: Machines, random: np.random.Generator) -> Iterator[tuple[str, str, Array]]:
    """The name of a gradient, of a way to it, and what comes out, set by set or parameter by parameter."""
    sets, users, shape = problem.sets, problem.users, problem.x.shape
    round_, way = unit.machine.round, SUMS[str(random.choice(list(SUMS)))]
    affine = np.broadcast_to(problem.weight.reshape(sets.affine), sets.shape).reshape(shape)
    x, g, w = (unit.read(np.asarray(sets.rows(a), np.float64)) for a in (problem.x, problem.grad_output, affine))

    def by_parameter(rows: Array) -> Array:
        return np.asarray(users.rows(sets.whole(rows, shape)))

    for statistic, mean, variance in _statistics(problem, x, unit, random):
        r = reciprocal_root(variance, problem.eps, unit.machine, random)[:, None]
        mu = mean[:, None]
        if problem.held is None:
            for form, y in _forms(x, g, w, mu, r, unit.machine, random, way):
                yield "grad_x", f"{form}, {statistic}", sets.whole(y, shape)
        else:
            for form, y in (("weight and deviation", g * round_(w * r)), ("one by one", round_(g * w) * r)):
                yield "grad_x", f"{form}, {statistic}", sets.whole(round_(y), shape)
        hats = {"centred": round_(round_(x - mu) * r), "folded": round_(round_(r * x) + round_(-round_(r * mu)))}
        for form, hat in hats.items():
            yield "grad_weight", f"{form}, {statistic}", way(by_parameter(g * hat), unit.machine, random)
        if problem.x.ndim == 4:
            images = (sets.whole(np.broadcast_to(a, x.shape), shape).reshape(*shape[:2], -1) for a in (x, g, mu, r))
            yield "grad_weight", f"of sums, {statistic}", _of_sums(*images, unit.machine, random, way)
    for name, sum_up in SUMS.items():
        yield "grad_bias", name, sum_up(by_parameter(g), unit.machine, random)


def _of_sums(x: Array, g: Array, mu: Array, r: Array, machine: Machine, random: np.random.Generator, way: Way) -> Array:
    """The sum over images of (sum g*x - mu * sum g) * r, the sums those of a channel; all arrays (N, C, pixels)."""
    (n, c, pixels), round_ = x.shape, machine.round
    products, plain = (way(a.reshape(n * c, pixels), machine, random).reshape(n, c) for a in (g * x, g))
    parts = round_(round_(products - round_(mu[..., 0] * plain)) * r[..., 0])
    return way(parts.T, machine, random)


def _statistics(
    problem: Any, x: Array, unit: Machines, random: np.random.Generator
) -> Iterator[tuple[str, Array, Array]]:
    """Of each set mean and variance, three of all ways to them; those that are given, where they are."""
    if problem.held is not None:
        mean, variance = (unit.read(np.asarray(a, np.float64).ravel()) for a in problem.held)
        yield "given", mean, variance
        return
    ways = list(moments(x, unit.machine, random))
    for k in random.permutation(len(ways))[:3]:
        way, mean, variance = ways[k]
        yield way.split(",")[0], mean, variance


def _forms(
    x: Array, g: Array, w: Array, mu: Array, r: Array, machine: Machine, random: np.random.Generator, way: Way
) -> Iterator[tuple[str, Array]]:
    """r * (h - mean h - x_hat * mean(h * x_hat)) of sets (sets, m), in the ways of libraries."""
    m, round_ = x.shape[1], machine.round
    h, centred = round_(g * w), round_(x - mu)
    hat = round_(centred * r)

    def total(terms: Array) -> Array:
        return way(terms, machine, random)[:, None]

    sum_h, along = total(h), total(h * hat)
    inner = round_(round_(h - round_(sum_h / m)) - round_(hat * round_(along / m)))
    yield "centred", round_(r * inner)
    whole = round_(round_(round_(m * h) - sum_h) - round_(hat * along))
    yield "divided last", round_(whole * round_(r / m))
    of_products = total(h * x)
    left = round_(round_(sum_h * mu) - of_products)
    b = round_(round_(round_(round_(left * r) * r) * r) / m)
    c = round_(-round_(b * mu) - round_(round_(sum_h * r) / m))
    yield "three terms", round_(round_(round_(round_(r * w) * g) + round_(b * x)) + c)
    yield "three terms, fused", round_(round_(round_(r * w) * g + round_(b * x)) + c)
    cubed = round_(round_(r * r) * r)
    of_variance = round_(round_(total(h * centred) * cubed) * -0.5)
    of_centred = round_(round_(h * r) + round_(round_(round_(of_variance / m) * 2) * centred))
    yield "step by step", round_(of_centred - round_(total(of_centred) / m))
