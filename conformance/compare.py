"""The only place where numbers are judged and messages are made.

Accept only what is proven good: every test is written `error <= bound`, which NaN does not pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import Op
from convspec.reference.measured import Measured
from convspec.reference.rounding import Arithmetic, Bound

from .growth import Growth

Tensor = npt.NDArray[Any]
Array = npt.NDArray[np.float64]


@dataclass
class Evidence:
    """One wrong answer: the call, what came, what was due and how far it might have been off."""

    problem: Op
    actual: Tensor | None = None
    expected: Array | None = None
    bound: Array | None = None
    worst: tuple[int, ...] | None = None
    wrong: int = 0
    direct: bool = True  # `expected` is the truth of `problem`; otherwise the other side of a law
    output: str = ""  # which output of the operation this is; the first, if none is named

    def __post_init__(self) -> None:
        self.output = self.output or self.problem.outputs[0]


class Violation(Exception):
    """A clause does not hold. `cause` is short and the same for failures alike; the message says what was seen."""

    def __init__(self, cause: str, message: str, evidence: Evidence | None = None, status: str = "fail") -> None:
        super().__init__(message)
        self.status = status  # fail, crash or timeout
        self.cause = cause
        self.message = message
        self.evidence = evidence
        self.case: Any = None  # the case on which it was seen, with its calls


class Inapplicable(Exception):
    """The case has nothing for this clause to look at."""


class Vacuous(Inapplicable):
    """The bound of every element is so large that any answer would keep it: the case proves nothing."""

    def __init__(self) -> None:
        super().__init__("the bound says nothing about any element")


@dataclass(frozen=True)
class Truth:
    """The value of a problem as hi + lo, and how far an answer in some arithmetic may be from it.

    The bound is made when it is asked for: an answer that is the value itself needs none.
    """

    hi: Array
    lo: Array
    bounded: Callable[[], Bound]

    @classmethod
    def of(cls, hi: Array, lo: Array, bound: Bound) -> Truth:
        """One whose bound is known."""
        return cls(hi, lo, lambda: bound)

    @cached_property
    def bound(self) -> Bound:
        return self.bounded()

    def told(self) -> tuple[Array, Array]:
        """What is due and how far off it may be, so that nothing else is accepted: of a forced element the one result,
        or the middle of two that are neighbours, in place of the value that they are rounded from."""
        due, most = self.hi, self.bound.tolerance
        if not self.bound.results:
            return due, most
        low, high = np.min(self.bound.results, axis=0), np.max(self.bound.results, axis=0)
        forced = self.bound.forced
        with np.errstate(invalid="ignore"):
            return np.where(forced, (low + high) / 2, due), np.where(forced, (high - low) / 2, most)


@dataclass
class Tally:
    """The largest error over bound seen, and where; the same of errors over what a model makes of them, by the root of
    their mean square; and errors by the number of terms."""

    worst: float | None = None
    where: str = ""
    rms: float | None = None
    rms_where: str = ""
    growth: Growth = field(default_factory=Growth)

    def add(self, ratio: float, where: str) -> None:
        if self.worst is None or ratio > self.worst:
            self.worst, self.where = ratio, where

    def add_rms(self, ratio: float, where: str) -> None:
        if self.rms is None or ratio > self.rms:
            self.rms, self.rms_where = ratio, where


def formed(problem: Op, answer: Any, *, shape: bool = True, dtype: bool = True) -> dict[str, Tensor]:
    """What came back, output by output, if each is an array of the right dtype and shape. Raises Violation otherwise.

    Several outputs come back as a tuple, in their order, with None for an absent one.
    """
    names, shapes = problem.outputs, problem.output_shapes()
    if len(names) == 1:
        return {names[0]: _formed(problem, names[0], answer, shapes[names[0]] if shape else None, dtype)}
    if not isinstance(answer, (tuple, list)) or len(answer) != len(names):
        size = f" of {len(answer)}" if isinstance(answer, (tuple, list)) else ""
        message = f"returned {_kind(answer)}{size}, not a tuple of {len(names)}: {', '.join(names)}"
        raise Violation("not a tuple of outputs", message, Evidence(problem))
    for name, one in zip(names, answer, strict=True):
        if name not in shapes and one is not None:
            message = f"returned {_kind(one)} for {name}, which this problem does not have: None is due"
            raise Violation("an output too many", message, Evidence(problem, output=name))
    return {
        name: _formed(problem, name, one, shapes[name] if shape else None, dtype)
        for name, one in zip(names, answer, strict=True)
        if name in shapes
    }


def _formed(problem: Op, name: str, answer: Any, shape: tuple[int, ...] | None, dtype: bool) -> Tensor:
    """One output as an array."""
    of = f" for {name}" if len(problem.outputs) > 1 else ""

    def wrong(cause: str, message: str, actual: Tensor | None = None) -> Violation:
        return Violation(cause, message, Evidence(problem, actual, _expected(problem, name), output=name))

    if not isinstance(answer, np.ndarray) and not (isinstance(answer, np.generic) and shape == ()):
        raise wrong("not an array", f"returned {_kind(answer)}{of}, not a NumPy array")
    result = np.asarray(answer)
    if dtype and result.dtype != problem.dtype:
        raise wrong("wrong dtype", f"returned {result.dtype}{of}, but x is {problem.dtype}", result)
    if shape is not None and result.shape != shape:
        raise wrong("wrong shape", f"returned shape {result.shape}{of}, the formula gives {shape}", result)
    return result


def _kind(answer: Any) -> str:
    """What something is, in words."""
    if answer is None:
        return "None"
    return f"a {type(answer).__module__}.{type(answer).__qualname__}".replace("builtins.", "").replace(
        "a numpy.ndarray", "an array"
    )


def accepted(actual: Tensor, truth: Truth, arithmetic: Arithmetic) -> tuple[npt.NDArray[np.bool_], Array]:
    """Which elements are accepted, and the error over the bound of each (0 where both are 0).

    In this order: within the tolerance, and one of the results that it stands for where they are forced; a flushed
    subnormal, if flushing is declared; an overflow of the true value; anything not finite where some legal order of
    summation overflows.
    """
    bound, out = truth.bound, arithmetic.out
    value = np.asarray(actual, np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        error = np.abs((value - truth.hi) - truth.lo)
        within = error <= bound.tolerance
        if bound.results:
            within &= ~bound.forced | np.any([value == result for result in bound.results], axis=0)
        same = _equal(value, truth.hi)
        limit = out.largest * (1 + 2.0**-out.p / (2 - 2.0 ** (1 - out.p)))  # half a step above the largest number
        overflow = (
            np.isinf(value) & (np.sign(value) == np.sign(truth.hi)) & (np.abs(truth.hi) + bound.tolerance >= limit)
        )
        ok = within | same | overflow | (bound.overflows & ~np.isfinite(value))
        if arithmetic.flush_to_zero:
            ok |= (value == 0) & (np.abs(truth.hi) - bound.tolerance < out.smallest_normal)
        ratio = np.where(error == 0, 0.0, error / bound.tolerance)
    return ok, np.where(same | ~np.isfinite(value), 0.0, ratio)


def _equal(left: Array, right: Array) -> npt.NDArray[np.bool_]:
    """Where both have the same value, or both NaN."""
    same: npt.NDArray[np.bool_] = left == right
    return same if same.all() else same | (np.isnan(left) & np.isnan(right))


def judge(
    problem: Op,
    actual: dict[str, Tensor],
    truths: dict[str, Truth],
    arithmetic: Arithmetic,
    where: dict[str, npt.NDArray[np.bool_]] | None = None,
) -> float:
    """The largest error over bound among accepted elements (those in `where`). Raises Violation unless all are.

    Every output is judged on its own, in their order.
    """
    worst = 0.0
    for name, truth in truths.items():
        if _equal(np.asarray(actual[name], np.float64), truth.hi).all():
            continue
        ok, ratio = accepted(actual[name], truth, arithmetic)
        looked = np.ones(ok.shape, bool) if where is None else where[name]
        if not np.all(ok[looked]):
            raise wrong_values(problem, actual[name], *truth.told(), looked & ~ok, output=name)
        worst = max(worst, float(ratio[looked].max(initial=0.0)))
    return worst


def wrong_values(
    problem: Op,
    actual: Tensor,
    expected: Array,
    bound: Array,
    bad: npt.NDArray[np.bool_],
    what: str = "expected",
    output: str = "",
) -> Violation:
    """The violation that these elements make, told by the one that is furthest off."""
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(np.asarray(actual, np.float64) - expected)
    order = np.where(bad, np.where(np.isnan(error), np.inf, error), -1.0)
    worst = tuple(int(k) for k in np.unravel_index(int(np.argmax(order)), bad.shape))
    got, due, most = float(actual[worst]), float(expected[worst]), float(bound[worst])
    cause = "NaN where a number is due" if np.isnan(got) and not np.isnan(due) else "wrong values"
    place = f"{output or 'y'}[{','.join(map(str, worst))}]"
    off = _off(got, due, most)
    message = f"{place}: got {show(got)}, {what} {show(due)}; {off}; {int(bad.sum())} of {bad.size} elements differ"
    evidence = Evidence(problem, actual, expected, bound, worst, int(bad.sum()), output=output)
    return Violation(cause, message, evidence)


def _off(got: float, due: float, bound: float) -> str:
    """How far apart two numbers are that differ by more than they may, where that is a number."""
    if np.isnan(got) or np.isnan(due):
        return "NaN on one side only"
    if np.isinf(got) and np.isinf(due):
        return "opposite infinities"
    if np.isinf(got) or np.isinf(due):
        return "infinite on one side only"
    return "must be exact" if bound == 0 else f"off by {abs(got - due):.3g}, bound {bound:.3g}"


def says_nothing(truths: dict[str, Truth], actual: dict[str, Tensor] | None = None) -> bool:
    """Are there elements, and a bound for each of them that any answer would keep? Of answers that are given, an output
    that is the value itself says something without any bound."""
    for name, answer in (actual or {}).items():
        if name in truths and answer.size and _equal(np.asarray(answer, np.float64), truths[name].hi).all():
            return False
    vacuous = [truth.bound.vacuous for truth in truths.values()]
    return any(where.size for where in vacuous) and all(where.all() for where in vacuous)


def agree(problem: Op, left: Measured | Array, right: Measured | Array, output: str = "", flushed: float = 0.0) -> None:
    """Both sides of a law must agree within what each of them may be off. Raises Violation otherwise, and Vacuous where
    that says nothing: both sides differ and may be off without limit in every element.

    Numbers on both sides that are smaller than `flushed` may have become zero on either.
    """
    left = left if isinstance(left, Measured) else Measured(left)
    right = right if isinstance(right, Measured) else Measured(right)
    if left.shape != right.shape:
        raise Violation(
            "wrong shape", f"one side has shape {left.shape}, the other {right.shape}", Evidence(problem, direct=False)
        )
    same = _equal(left.value, right.value)
    if same.all():
        return
    bound = left.tolerance + right.tolerance
    with np.errstate(invalid="ignore"):
        ok = same | np.isposinf(bound) | (np.abs(left.value - right.value) <= bound)
        ok |= np.maximum(np.abs(left.value), np.abs(right.value)) < flushed
    if not np.all(ok):
        violation = wrong_values(problem, left.value, right.value, bound, ~ok, "the other side gives", output)
        assert violation.evidence is not None
        violation.evidence.direct = False
        raise violation
    if np.isposinf(bound).all():
        raise Vacuous


def show(value: float) -> str:
    """A number for a person: short where that is exact, with its hexadecimal form where it is not."""
    if value == int(value) if np.isfinite(value) and abs(value) < 1e15 else False:
        return str(int(value))
    if not np.isfinite(value):
        return str(value)
    short = f"{value:.9g}"
    return short if float(short) == value else f"{short} ({value.hex()})"


def _expected(problem: Op, output: str) -> Array | None:
    """The truth of an output, where the problem is valid and its truth is not a matter of chance."""
    return None if problem.random or problem.broken_rules() else problem.references().get(output)
