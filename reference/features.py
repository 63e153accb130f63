"""What is told of a problem: classes of its sizes and parameters, of which the sweep draws every pair.

A class is measured on the problem, whatever choices it was drawn from, so that what is counted is what was handed to a
backend. The features here are those that several operations share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from .formats import name_of
from .window import STRETCHED, WIDE, Window

Combination = frozenset[tuple[str, str]]  # of a feature and its class, each


@dataclass(frozen=True)
class Feature:
    """A question about a problem, and the answers that the rules of its operation allow.

    `of(problem)` is the class, or None where the question does not arise. Every class is drawn; with every class of
    another feature too, unless the feature stands `alone`. `formats`: the dtypes in which it is asked, if not in all.
    """

    name: str
    classes: tuple[str, ...]
    of: Callable[[Any], str | None]
    alone: bool = False
    formats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exclusion:
    """A combination of classes that no valid problem has, and why; or one that is `left_out`: valid, but not drawn."""

    combination: Combination
    why: str
    left_out: bool = False


def excluded(*lines: tuple[str, str]) -> tuple[Exclusion, ...]:
    """Exclusions out of lines such as ("rows.taps=1 rows.stride=within|kernel", why): each of the alternatives."""
    made = []
    for text, why in lines:
        terms = [[(name, one) for one in classes.split("|")] for name, classes in (t.split("=") for t in text.split())]
        made += [Exclusion(frozenset(terms), why) for terms in product(*terms)]
    return tuple(made)


def left_out(*lines: tuple[str, str]) -> tuple[Exclusion, ...]:
    """Lines as those of `excluded`, of what valid problems have, but none that is drawn: it is tried elsewhere."""
    return tuple(replace(exclusion, left_out=True) for exclusion in excluded(*lines))


# How many.


def amount(number: int) -> str:
    """One, a few, or as many as fill a vector register."""
    return "1" if number == 1 else "few" if number < 8 else "many"


def how_many(name: str, of: Callable[[Any], int]) -> Feature:
    return Feature(name, ("1", "few", "many"), lambda problem: amount(of(problem)))


def one_or_more(name: str, of: Callable[[Any], int]) -> Feature:
    return Feature(name, ("1", "more"), lambda problem: "1" if of(problem) == 1 else "more")


def given(name: str, of: Callable[[Any], object]) -> Feature:
    """Is there one, or is it true?"""
    return Feature(name, ("no", "yes"), lambda problem: "yes" if of(problem) is not None else "no")


def flag(name: str, of: Callable[[Any], bool]) -> Feature:
    return Feature(name, ("no", "yes"), lambda problem: "yes" if of(problem) else "no")


def sizes(name: str, of: Callable[[Any], int], wanted: tuple[int, ...] = STRETCHED) -> Feature:
    """Each of the sizes at which kernels change their ways."""
    known = {size: str(size) for size in wanted}
    return Feature(f"tile.{name}", tuple(known.values()), lambda problem: known.get(of(problem)), alone=True)


# Sizes that leave as much over of 4, 8 and 16, behind a block at least.
REST = ((15, 31), (16, 32), (17, 33))


def left_over(name: str, of: Callable[[Any], int | None], lines: tuple[tuple[int, ...], ...] = REST) -> Feature:
    """One of the sizes of each line, at which loops over blocks leave something over."""
    named = {size: ",".join(map(str, line)) for line in lines for size in line}
    return Feature(name, tuple(dict.fromkeys(named.values())), lambda problem: named.get(of(problem) or 0), alone=True)


def batches(name: str, asked: Callable[[Any], bool]) -> Feature:
    """Numbers of images of problems of a sort whose images act on each other: of the others a check puts images into
    batches of every size. Of several channels, of which one may have a weight of zero."""

    def images(problem: Any) -> int | None:
        n, c = problem.x.shape[:2]
        return int(n) if c > 1 and asked(problem) else None

    return left_over(f"{name}.images", images)


def stratum(name: str, of: Callable[[Any], bool]) -> Feature:
    """A rare sort of problem that kernels treat apart: it is drawn."""
    return Feature(f"sort.{name}", ("yes",), lambda problem: "yes" if of(problem) else None, alone=True)


def padded_as_same(*, grouped: bool = False, dilated: bool = False) -> tuple[Feature, ...]:
    """Padding that gives as many windows as there are steps on the input, which libraries compute by formulas of their
    own: with an even window, with strides and an odd rest, with holes between the taps, and of a single row or column
    on a tiny image."""

    def same(problem: Any, further: Callable[[Window], bool]) -> bool:
        axes = axes_of(problem)
        plain = getattr(problem, "padding_mode", "zeros") == "zeros" and not getattr(problem, "ceil_mode", False)
        padded = any(axis.before + axis.after for axis in axes)
        return plain and padded and all(axis.is_same() and further(axis) for axis in axes)

    def thin(problem: Any) -> bool:
        taps = sorted(axis.taps for axis in axes_of(problem))
        return taps[0] == 1 < taps[1] and same(problem, lambda axis: axis.stride == 2 and axis.length <= 4)

    sorts = {
        "even": lambda p: same(p, lambda axis: axis.taps % 2 == 0 and axis.stride == 1),
        "strided": lambda p: same(p, lambda axis: axis.stride > 1 and axis.before != axis.after),
        "thin": thin,
    }
    if dilated:
        sorts["dilated"] = lambda p: same(p, lambda axis: axis.dilation > 1 and axis.taps > 1)
    if grouped:
        sorts["thin_depthwise"] = lambda p: 1 < p.groups == p.x.shape[1] and thin(p)
    return tuple(stratum(f"same_{name}", of) for name, of in sorts.items())


def of_any_shape() -> tuple[Feature, ...]:
    """Of an array whose elements are treated alone: its rank, how long its last axis is, and how many elements."""
    return (
        Feature("rank", ("1", "2", "3", "4", "5"), lambda p: str(p.x.ndim)),
        how_many("last", lambda p: p.x.shape[-1]),
        how_many("elements", lambda p: p.x.size),
        sizes("last", lambda p: p.x.shape[-1], WIDE),
        sizes("elements", lambda p: p.x.size),
    )


NOT_OF_ANY_SHAPE = excluded(
    ("rank=1 last=1 elements=few|many", "there is one axis"),
    ("rank=1 last=few elements=1|many", "there is one axis"),
    ("rank=1 last=many elements=1|few", "there is one axis"),
    ("last=few elements=1", "an axis is as long as the elements at most"),
    ("last=many elements=1|few", "an axis is as long as the elements at most"),
)


def of_forward(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """The same of the forward problem of a backward one."""

    def asked(feature: Feature) -> Feature:
        return replace(feature, of=lambda problem: feature.of(problem.forward))

    return tuple(asked(feature) for feature in features)


# Windows along rows and columns.

AXES = ("rows", "columns")


def axes_of(problem: Any) -> tuple[Window, Window]:
    """The windows of a problem, made once."""
    made: tuple[Window, Window] | None = vars(problem).get("_axes")
    if made is None:
        made = vars(problem)["_axes"] = problem.axes
    return made


def _taps(window: Window) -> str:
    taps = window.taps
    return str(taps) if taps in (1, 3) else "odd" if taps % 2 else "even"


def _stride(window: Window) -> str:
    stride, taps = window.stride, window.taps
    return "1" if stride == 1 else "within" if stride < taps else "kernel" if stride == taps else "beyond"


def _padding(window: Window) -> str:
    before, after = window.before, window.after
    if max(before, after) >= window.span:
        return "beyond"
    return "unequal" if before != after else "equal" if before else "none"


def _length(window: Window) -> str:
    if window.length == 1:
        return "1"
    return "short" if window.length < window.span else "kernel" if window.length == window.span else "longer"


def _residue(window: Window) -> str | None:
    """What is left over behind the last window; of strides beyond four whether it is none, all that can be, or some."""
    if window.stride == 1:
        return None
    if window.stride <= 4:
        return f"{window.slack}/{window.stride}"
    return f"{'none' if not window.slack else 'all' if window.slack == window.stride - 1 else 'some'}/5+"


def _large(window: Window) -> str | None:
    """The taps of a large kernel, if a window has all of them on the input: one that is left out would show."""
    large = window.taps if window.taps in LARGE else 0
    return str(large) if large and window.inside.all(axis=1).any() else None


LARGE = (6, 7, 8, 9)  # loops over taps are written out up to five, and are in blocks of eight
_RESIDUES = (
    *(f"{left}/{stride}" for stride in (2, 3, 4) for left in range(stride)),
    *("none/5+", "some/5+", "all/5+"),
)


def along(axis: int, *, dilated: bool) -> tuple[Feature, ...]:
    """Of the windows along one axis: taps, stride (within the kernel, equal to it, beyond), dilation, padding (beyond:
    of a whole window or more), what is left over behind the last window, the length of the input against the span of
    the kernel, and the number of windows.

    The lengths of inputs are told beside those of outputs, as kernels block either; up to 33 on both axes, so that they
    go with rows that are there for something else."""
    name = AXES[axis]

    def asked(what: str, classes: tuple[str, ...], of: Callable[[Window], str | None], alone: bool = False) -> Feature:
        return Feature(f"{name}.{what}", classes, lambda problem: of(axes_of(problem)[axis]), alone)

    more = [asked("dilation", ("1", "more"), lambda w: "1" if w.dilation == 1 else "more")] if dilated else []
    return (
        asked("taps", ("1", "3", "odd", "even"), _taps),
        asked("stride", ("1", "within", "kernel", "beyond"), _stride),
        *more,
        asked("padding", ("none", "equal", "unequal", "beyond"), _padding),
        asked("slack", ("none", "some"), lambda w: "some" if w.slack else "none"),
        asked("length", ("1", "short", "kernel", "longer"), _length),
        asked("outputs", ("1", "more"), lambda w: "1" if w.count == 1 else "more"),
        asked("residue", _RESIDUES, _residue, alone=True),
        asked("large", tuple(map(str, LARGE)), _large, alone=True),
        sizes(name, lambda problem: int(axes_of(problem)[axis].count), (STRETCHED, WIDE)[axis]),
        sizes(f"input_{name}", lambda problem: int(axes_of(problem)[axis].length)),
    )


def not_along(axis: int) -> tuple[Exclusion, ...]:
    """What the windows along an axis cannot be."""
    a = AXES[axis]
    return excluded(
        (f"{a}.taps=1 {a}.stride=within|kernel", "no stride but 1 is within a kernel of one tap, or equal to it"),
        (f"{a}.taps=1 {a}.length=short|kernel", "an input longer than one element is longer than one tap"),
        (f"{a}.taps=1 {a}.padding=equal|unequal", "any padding is as long as a kernel of one tap"),
        (f"{a}.stride=1 {a}.slack=some", "a stride of 1 leaves nothing over"),
        (f"{a}.padding=none {a}.length=short", "without padding a kernel longer than its input does not fit"),
        (f"{a}.padding=none {a}.length=1 {a}.taps=3|odd|even", "nor over an input of one element"),
        (f"{a}.padding=none {a}.length=1 {a}.stride=within|kernel", "which takes a kernel of one tap"),
        (f"{a}.padding=none {a}.length=1|kernel {a}.slack=some", "the kernel covers the input"),
        (f"{a}.padding=none {a}.length=1|kernel {a}.outputs=more", "the kernel covers the input"),
    )


def not_rounded_down(axis: int) -> tuple[Exclusion, ...]:
    """What windows along an axis cannot be where their number is rounded down."""
    a = AXES[axis]
    return excluded(
        (f"{a}.padding=beyond {a}.slack=none {a}.outputs=1", "padding of a window makes room for another"),
        (f"{a}.padding=beyond {a}.stride=1 {a}.outputs=1", "padding of a window makes room for another"),
        (f"{a}.length=longer {a}.slack=none {a}.outputs=1", "an input longer than the kernel has something left over"),
        (f"{a}.length=longer {a}.stride=1 {a}.outputs=1", "an input longer than the kernel has room for another"),
    )


def not_padded(axis: int) -> tuple[Exclusion, ...]:
    """What the modes of padding make impossible, along an axis."""
    a = AXES[axis]
    one, mirrored = f"padding_mode=reflect {a}.length=1", "there is nothing to mirror in one element"
    return excluded(
        (f"{one} {a}.padding=equal|unequal|beyond", mirrored),
        (f"{one} {a}.taps=3|odd|even", mirrored),
        (f"{one} {a}.stride=within|kernel", mirrored),
        (f"{one} {a}.slack=some", mirrored),
        (f"{one} {a}.outputs=more", mirrored),
        (f"padding_mode=reflect {a}.padding=beyond {a}.length=short|kernel", "padding is shorter than the input"),
        (f"padding_mode=circular {a}.padding=beyond {a}.length=short", "padding is no longer than the input"),
        (f"padding_mode=circular {a}.length=1 {a}.taps=odd", "with its padding the input is no longer than three"),
    )


def classes_of(problem: Any) -> tuple[str | None, ...]:
    """The class of every feature of a problem, in their order."""
    dtype = name_of(problem.dtype)
    return tuple(f.of(problem) if not f.formats or dtype in f.formats else None for f in problem.features)
