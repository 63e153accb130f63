"""Sums of products on toy machines, in every arithmetic that may be declared, each with its truth and its bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from convspec.conformance.compare import Truth
from convspec.reference.dot import judge_dot

from .toy import KINDS, Array, Machine, ToyArithmetic, cases, drawn, stored, toy_format
from .toy_sums import WAYS, one_by_one, positive_first, random_tree

TERMS = (1, 2, 2, 3, 3, 4, 5, 6, 8, 9, 12, 16, 25)


@dataclass(frozen=True)
class Answer:
    """What an implementation gives, what is true and what it declares."""

    arithmetic: str
    way: str
    actual: Array
    truth: Truth
    declared: ToyArithmetic


@dataclass(frozen=True)
class Dot:
    """y = sum over t of x[:, t] * w[:, t], plus b."""

    x: Array  # (outputs, terms)
    w: Array  # (outputs, terms)
    b: Array | None  # (outputs,)
    place: int  # where among the products the bias is added

    def truth(self, declared: ToyArithmetic) -> Truth:
        value = np.einsum("ij,ij->i", self.x, self.w)
        bound = judge_dot(_row_by_row, self.x, self.w, self.b, declared, np.dtype(np.float32), products=value)
        value = value if self.b is None else value + self.b
        return Truth.of(value, np.zeros_like(value), bound)

    def terms(self, x: Array | None = None, w: Array | None = None, b: Array | None = None) -> Array:
        """The exact products and the bias, of these inputs or of others in their place."""
        products = (self.x if x is None else x) * (self.w if w is None else w)
        bias = self.b if b is None else b
        return products if bias is None else np.insert(products, self.place, bias, axis=1)


def _row_by_row(x: Array, w: Array) -> Array:
    return np.asarray(np.einsum("ij,ij->i", x, w))


def draw(random: np.random.Generator, p: int, outputs: int, kind: str = "") -> Dot:
    form, count = toy_format(p), int(random.choice(TERMS))
    kind = kind or KINDS[int(random.integers(len(KINDS)))]
    x, w = drawn(kind, (outputs, count), form, random)
    b = None
    if random.random() < 0.6:
        scale = np.ldexp(np.sqrt(count), int(random.integers(-2, 3))) * (np.abs(x * w).mean() + form.spacing)
        b = random.standard_normal(outputs) * scale
        b = stored(np.rint(b) if kind == "integers" else b, form)
    place = int(random.choice((0, count, int(random.integers(count + 1)))))
    return Dot(x, w, b, place)


def dots(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    """Of every number of bits and kind of data, two problems rounded to nearest, one in each other arithmetic."""
    for p, kind in cases(random):
        for arithmetic in (_nearest, _nearest, _wider, _flushed, _directed, _rounded_inputs):
            yield from arithmetic(random, draw(random, p, outputs, kind), p)


def _nearest(random: np.random.Generator, dot: Dot, p: int) -> Iterator[Answer]:
    form = toy_format(p)
    declared, machine = ToyArithmetic.of(form), Machine(form)
    truth, terms = dot.truth(declared), dot.terms()
    for name, way in WAYS.items():
        yield Answer("to nearest", name, way(terms, machine, random), truth, declared)
    wide = Machine(
        toy_format(2 * p + int(random.integers(0, 4)), -26, 17)
    )  # as float64 is to float32: products are exact
    yield Answer(
        "to nearest", "in a wider format than declared", machine.round(one_by_one(terms, wide, random)), truth, declared
    )
    yield Answer("to nearest", "exact, rounded once", machine.round(terms.sum(axis=1)), truth, declared)


def _wider(random: np.random.Generator, dot: Dot, p: int) -> Iterator[Answer]:
    form = toy_format(p)
    least = int(random.choice((-6, -10)))
    acc = toy_format(p + int(random.integers(1, 5)), least, int(random.choice((7, 10))))
    declared, machine, store = ToyArithmetic.of(form, acc), Machine(acc), Machine(form)
    truth, terms, products = dot.truth(declared), dot.terms(), dot.x * dot.w
    for name in ("one by one", "fused chain", "random tree", "positive then negative", "worst next"):
        way = WAYS[name]
        yield Answer("wider accumulator", name, store.round(way(terms, machine, random)), truth, declared)
        if dot.b is not None:
            first = store.round(way(products, machine, random))
            after = store.round(machine.round(first + dot.b))
            yield Answer("wider accumulator, bias after rounding", name, after, truth, declared)


def _flushed(random: np.random.Generator, dot: Dot, p: int) -> Iterator[Answer]:
    """Subnormal results become zero; subnormal inputs too, by half of the machines."""
    form = toy_format(p)
    acc = form if random.random() < 0.6 else toy_format(p + int(random.integers(1, 5)))
    declared = ToyArithmetic.of(form, None if acc is form else acc, flush_to_zero=True)
    machine, store = Machine(acc, flush=True), Machine(form, flush=True)
    truth = dot.truth(declared)
    for label, floor in (("flushed results", 0.0), ("flushed results and inputs", form.smallest_normal)):
        x, w, b = (None if a is None else np.where(np.abs(a) < floor, 0.0, a) for a in (dot.x, dot.w, dot.b))
        assert x is not None
        for name in ("one by one", "fused chain", "random tree", "positive then negative", "worst next"):
            terms = dot.terms(x, w, b)
            yield Answer(label, name, store.round(WAYS[name](terms, machine, random)), truth, declared)
        if b is not None and acc is not form:
            first = store.round(random_tree(x * w, machine, random))
            after = store.round(machine.round(first + b))
            yield Answer(label, "bias after rounding", after, truth, declared)


def _directed(random: np.random.Generator, dot: Dot, p: int) -> Iterator[Answer]:
    """A unit that adds with twice the unit roundoff; from a wider format it is stored to nearest."""
    form = toy_format(p)
    acc = form if random.random() < 0.6 else toy_format(p + int(random.integers(1, 5)))
    declared = ToyArithmetic.of(form, None if acc is form else acc, unit_factor=2.0)
    truth, terms = dot.truth(declared), dot.terms()
    for direction in ("zero", "up", "down", "either"):
        machine = Machine(acc, direction, random=random)
        for name in ("one by one", "fused chain", "random tree", "positive then negative", "worst next"):
            total = WAYS[name](terms, machine, random)
            actual = total if acc is form else Machine(form).round(total)
            yield Answer(f"directed: {direction}", name, actual, truth, declared)


def _rounded_inputs(random: np.random.Generator, dot: Dot, p: int) -> Iterator[Answer]:
    """Inputs rounded to fewer bits before they are multiplied: to nearest, or cut off."""
    form, fewer = toy_format(p), p - int(random.integers(1, min(4, p - 1)))
    short = toy_format(fewer)
    for label, direction, unit, factor in (
        ("inputs rounded", "nearest", 2.0**-fewer, 1.0),
        ("inputs cut off", "zero", 2.0 ** (1 - fewer), 2.0),
    ):
        declared = ToyArithmetic.of(form, input_rounding=unit, unit_factor=factor)
        machine, shorten = (
            Machine(form, "nearest" if factor == 1 else "either", random=random),
            Machine(short, direction),
        )
        truth, terms = dot.truth(declared), dot.terms(shorten.round(dot.x), shorten.round(dot.w))
        for name in ("one by one", "fused chain", "random tree", "positive then negative", "worst next"):
            yield Answer(label, name, WAYS[name](terms, machine, random), truth, declared)


# What nobody may do, declared or not: to see that it is found.


def _dropped(dot: Dot, p: int, random: np.random.Generator) -> Array:
    """The last product that is not zero is left out."""
    x = np.array(dot.x)
    last = x.shape[1] - 1 - np.argmax((dot.x * dot.w != 0)[:, ::-1], axis=1)
    x[np.arange(len(x)), last] = 0
    return one_by_one(dot.terms(x), Machine(toy_format(p)), random)


def _shortened(dot: Dot, p: int, random: np.random.Generator) -> Array:
    """Inputs lose two bits."""
    shorten = Machine(toy_format(p - 2), "zero")
    return one_by_one(dot.terms(shorten.round(dot.x), shorten.round(dot.w)), Machine(toy_format(p)), random)


def _rounded_between(dot: Dot, p: int, random: np.random.Generator) -> Array:
    """A format three bits wider is declared, but each sum is rounded to the storage."""
    return positive_first(dot.terms(), Machine(toy_format(p)), random)


ILLEGITIMATE: dict[str, tuple[Callable[[Dot, int, np.random.Generator], Array], int]] = {
    "a dropped product": (_dropped, 0),
    "inputs shortened": (_shortened, 0),
    "every sum rounded to the storage": (_rounded_between, 3),
}


def illegitimate(random: np.random.Generator, outputs: int) -> Iterator[Answer]:
    for p, kind in cases(random):
        for name, (way, wider) in ILLEGITIMATE.items():
            dot, form = draw(random, p, outputs, kind), toy_format(p)
            declared = ToyArithmetic.of(form, toy_format(p + wider) if wider else None)
            yield Answer("illegitimate", name, way(dot, p, random), dot.truth(declared), declared)
