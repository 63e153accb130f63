"""Errors over the number of terms, drawn: a plot with two logarithmic axes for each operation and dtype.

The plots are SVG without script. Points of a backend are one path, so that a page of all operations stays small; the
numbers stand in a table beneath each plot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from convspec.reports.record import BackendInfo, Cell, GrowthBin

WIDTH, HEIGHT = 280, 170  # of the area of the points
LEFT, TOP = 44, 8  # beside and above it
BELOW = 0.02  # the smallest error that has a place of its own; smaller ones, and none at all, stand at the bottom

# The ways in which points are told apart beside their colour, drawn around (0, 0); more backends begin anew.
MARKS = ("m-3-3h6v6h-6z", "m0-4l4 7h-8z", "m-3-3l6 6m0-6l-6 6", "m0-4l4 4-4 4-4-4z", "m-4 0h8m-4-4v8", "m-2-4h4v8h-4z")


@dataclass
class Curve:
    """One backend in a plot: the root mean squares as marks on a line, the largest errors as a line of dashes."""

    backend: str
    number: int
    line: str
    marks: str
    dashes: str


@dataclass
class Tick:
    at: int
    text: str


@dataclass
class Guide:
    """The line of a power of n, and where its name stands."""

    line: str
    x: int
    y: int
    name: str


@dataclass
class Row:
    """Of outputs with so many terms: for each backend the two numbers, or nothing."""

    terms: str
    cells: list[str]


@dataclass
class Plot:
    """One operation and dtype."""

    dtype: str
    across: list[Tick]
    up: list[Tick]
    guides: list[Guide]
    curves: list[Curve]
    backends: list[str]
    rows: list[Row]


@dataclass
class Key:
    """What stands for a backend in the plots."""

    name: str
    number: int
    mark: str


@dataclass
class GrowthOp:
    op: str
    plots: list[Plot]


def plotted(cells: Iterable[Cell], backends: list[BackendInfo]) -> list[GrowthOp]:
    """The plots of a run, in the order of its cells."""
    found: dict[str, dict[str, dict[str, list[GrowthBin]]]] = {}
    for cell in cells:
        bins = [one for one in cell.growth if one.terms > 0]
        if any(one.outputs > one.exact for one in bins):
            found.setdefault(cell.op, {}).setdefault(cell.dtype, {})[cell.backend] = bins
    return [
        GrowthOp(op, [_plot(dtype, by_backend, backends) for dtype, by_backend in by_dtype.items()])
        for op, by_dtype in found.items()
    ]


def keys(backends: list[BackendInfo]) -> list[Key]:
    """What stands for each backend, in their order."""
    return [Key(b.name, number % len(MARKS), MARKS[number % len(MARKS)]) for number, b in enumerate(backends)]


def _plot(dtype: str, by_backend: dict[str, list[GrowthBin]], backends: list[BackendInfo]) -> Plot:
    every = [one for bins in by_backend.values() for one in bins]
    right = max(2, *(math.frexp(one.terms)[1] for one in every))  # the classes end at 2^right terms
    top = max(1, math.ceil(math.log10(max(1.0, *(one.largest for one in every)))))
    bottom = math.log10(BELOW)

    def x(log_terms: float) -> float:
        return LEFT + WIDTH * log_terms / right

    def y(error: float) -> float:
        log = min(max(math.log10(error) if error > 0 else bottom, bottom), top)
        return TOP + HEIGHT * (top - log) / (top - bottom)

    def guide(power: float, name: str) -> Guide:
        end = min(right, top / power / math.log10(2))
        to, up = round(x(end)), round(y(2 ** (end * power)))
        return Guide(f"M{x(0):.0f} {y(1):.0f}L{to} {up}", to + 3, up + (4 if end == right else 10), name)

    curves = []
    for number, backend in enumerate(backends):
        bins = by_backend.get(backend.key, [])
        at = [x(math.log2(one.terms) + 0.5) for one in bins]
        rms = [(a, y(one.rms)) for a, one in zip(at, bins, strict=True)]
        largest = [(a, y(one.largest)) for a, one in zip(at, bins, strict=True)]
        if rms:
            mark = MARKS[number % len(MARKS)]
            marks = "".join(f"M{a:.0f} {b:.0f}{mark}" for a, b in rms)
            curves.append(Curve(backend.name, number % len(MARKS), _line(rms), marks, _line(largest)))
    shown = [backend for backend in backends if backend.key in by_backend]
    by_terms = {key: {one.terms: one for one in bins} for key, bins in by_backend.items()}
    return Plot(
        dtype=dtype,
        across=[Tick(round(x(k)), str(2**k) if k < 14 else f"2^{k}") for k in range(0, right + 1, 1 + right // 7)],
        up=[Tick(round(y(10.0**k)), f"{10.0**k:g}" if k < 5 else f"1e{k}") for k in range(-1, top + 1, 1 + top // 5)],
        guides=[guide(1.0, "n"), guide(0.5, "√n")],
        curves=curves,
        backends=[backend.name for backend in shown],
        rows=[
            Row(_span(terms), [_numbers(by_terms[backend.key].get(terms)) for backend in shown])
            for terms in sorted({one.terms for one in every})
        ],
    )


def _line(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{a:.0f} {b:.0f}" for a, b in points)


def _span(terms: int) -> str:
    return "1" if terms == 1 else f"{terms:,}–{2 * terms - 1:,}"


def _numbers(one: GrowthBin | None) -> str:
    return "" if one is None else f"{one.rms:.2g} / {one.largest:.2g}"
