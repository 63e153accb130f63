"""Grades of normalizations: where eps and m - 1 are, how the variance was summed, how the output is formed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend
from convspec.conformance.compare import Truth, accepted
from convspec.reference import Op
from convspec.reference.formats import dtype_named, format_of, round_to
from convspec.reference.rounding import Arithmetic
from convspec.reference.sets import found_in

from .ask import Silent, ask
from .drawn import SHORTEST, Judged, judged, plain_of
from .products import bits
from .record import Grade
from .sets import NORMS, Fit, fit, folded, scales, whole_sets

Array = npt.NDArray[np.float64]

CLASSES = ("V-A", "V-B", "V-C")
PASSES = {"V-A": "two passes", "V-B": "a running mean", "V-C": "one pass"}


@dataclass
class Seen:
    """What the probes of a normalization showed."""

    wrong: str = ""  # what it does instead
    ok: bool = True  # everything within the bound that one pass and folding have
    once: bool = True  # every answer was the truth rounded once
    error: float = 0.0  # the largest error about a mean of zero, over the largest output
    variance: str = "V-A"
    form: str = "F-0"
    first: str = ""  # what was first out of bound


def grade_norm(backend: Backend, op: type[Op], dtype: str, grade: Grade, arithmetic: Arithmetic) -> None:
    """Fill in the grade."""
    plain = plain_of(dtype, arithmetic)
    answers: list[tuple[str, Any, dict[str, Array]]] = []
    silent: list[str] = []
    for name, problem in _probes(op, dtype):
        try:
            answers.append((name, problem, ask(backend, problem)))
        except Silent as none:
            silent.append(f"{name}: {none}")
    grade.geometries = list(dict.fromkeys(name for name, _, _ in answers))
    grade.notes += sorted(set(silent))
    if not answers:
        grade.found = f"nothing: {silent[0]}"
        return
    seen = _seen(backend, answers, plain)
    narrow = ""
    if not seen.ok and not seen.wrong and format_of(dtype).p < 24:
        stored = _seen(backend, answers, replace(plain, statistics=dtype))
        if stored.ok:
            seen, narrow = stored, "S16"
    held = replace(plain, statistics=dtype) if narrow else plain
    drawn = judged(backend, op, dtype, held)
    grade.notes += sorted(set(drawn.silent))
    grade.variance, grade.output_form, grade.statistics = seen.variance, seen.form, narrow
    _told(seen, drawn, grade)
    # What is declared may be looser than what was found, or stricter.
    ok, wrong = seen.ok, drawn.wrong
    if arithmetic != held:
        ok, wrong = _seen(backend, answers, arithmetic).ok, judged(backend, op, dtype, arithmetic).wrong
    grade.agrees = ok and not seen.wrong and not wrong and not silent and not drawn.silent


def _told(seen: Seen, drawn: Judged, grade: Grade) -> None:
    """The grade by what was seen."""
    p = format_of(grade.dtype).p
    kept = bits(seen.error, p)
    first = seen.first or (drawn.wrong[0].summary() if drawn.wrong else "")
    if seen.wrong:
        grade.grade, grade.level, grade.found = "D", "broken", f"found {seen.wrong}"
    elif not seen.ok and SHORTEST <= kept < p - 4:
        # 5u of root and eps, 3u of products, u of the sum: 9u < 2^4 u leave p - 4 bits.
        grade.grade, grade.level = f"R({kept})", f"{kept} effective bits"
        grade.found = f"found deviations or statistics of {kept} bits"
    elif not seen.ok or drawn.wrong:
        kept = min(kept, bits(drawn.error, p))
        grade.grade, grade.level = ("D", "broken") if kept < SHORTEST else (f"R({kept})", f"{kept} effective bits")
        grade.found = f"found values out of bound: {first}"
    else:
        remarks = ["mean and deviation kept in 16 bits"] if grade.statistics else []
        remarks += ["the variance in one pass"] if seen.variance == "V-C" else []
        grade.grade = "A-" if remarks else "X" if seen.once and drawn.once else "A"
        grade.level = grade.dtype
        form = "centred" if seen.form == "F-0" else "folded into x*a + b"
        grade.found = f"found {grade.dtype}, the variance in {PASSES[seen.variance]}, {form}"
        grade.found += f"; {remarks[0]}" if grade.statistics else ""
        return
    grade.variance = grade.output_form = ""


# Probes.

EPS = 1e-5
MEANS = (0, 50, 500, 5_000, 50_000)  # 10 to 10^4 deviations, which are about 5


def _probes(op: type[Op], dtype: str) -> list[tuple[str, Any]]:
    """With exact sums: deviations about eps and few elements; no mean; larger and larger means."""
    random, numbers, p = np.random.default_rng(14), dtype_named(dtype), format_of(dtype).p
    build, made = NORMS[op.name], []
    for m in (2, 4, 8, 16):
        rows = whole_sets(random, 6, m, 0)
        # Times a power of two such that the variances lie from eps/16 to 16 eps, and twice so far from it.
        deviation = np.sqrt(np.square(rows).mean(axis=1))
        wanted = np.sqrt(EPS) * 4.0 ** np.array([-1, -0.5, 0, 0.5, 1, 8])
        rows = rows * (2.0 ** np.rint(np.log2(wanted / deviation)))[:, None]
        made.append((f"eps, m = {m}", build(rows.astype(numbers), EPS)))
    m = 64
    for mean in MEANS:
        # Numbers of the format, whose sum is one of the usual accumulator's.
        at = min(mean, 2 ** (p - 1) - 8, 2 ** (Arithmetic.ieee(dtype).acc.p - 1) // m - 8)
        rows = whole_sets(random, 24, m, at)
        made.append((f"mean {at}, m = {m}", build(rows.astype(numbers), EPS)))
    return made


def _seen(backend: Backend, answers: list[tuple[str, Any, dict[str, Array]]], arithmetic: Arithmetic) -> Seen:
    """What the answers say in this arithmetic."""
    seen = Seen()
    fits = []
    for name, problem, answer in answers:
        read = problem.declared(backend.conventions)
        truths, bounds = read.truths(), read.judgements(arithmetic)
        for output, (hi, lo) in truths.items():
            ok, _ = accepted(answer[output], Truth.of(hi, lo, bounds[output]), arithmetic)
            if not ok.all():
                seen.ok, seen.first = False, seen.first or f"{output} of {name}"
            due = round_to(hi, format_of(problem.dtype))
            seen.once &= bool(np.all(answer[output] == due))
        rows = problem.sets.rows
        hi, lo = truths["y"]
        fits.append((name, problem, fit(rows(answer["y"]), rows(hi), rows(lo))))
        if found_in(problem).mean.any():
            continue
        with np.errstate(invalid="ignore"):
            error = np.abs(rows(answer["y"] - hi)).max(axis=1) / fits[-1][2].size
        seen.error = max(seen.error, float(np.where(np.isnan(error), np.inf, error).max()))
    seen.wrong = _instead(fits) or _remembered(backend, answers)
    if not seen.wrong:
        seen.variance, seen.form = _classes(fits, arithmetic)
    return seen


def _classes(fits: list[tuple[str, Any, Fit]], arithmetic: Arithmetic) -> tuple[str, str]:
    """The best class of the variance that all sets are in, and of the output.

    Where outputs are centred, no output is off by more than 4u (two products, a difference, a sum) beside what all of a
    set share; where they are folded, x*a is rounded, which is as many deviations large as the mean.
    """
    worst, form = 0, "F-0"
    last = arithmetic.out.unit if arithmetic.widens else 0.0
    for _, problem, found in fits:
        allowed, single = scales(problem, arithmetic), found.rest
        if not np.all(found.rest <= (4 * arithmetic.unit + last) * found.size * found.spread):
            form, single = "F-1", folded(problem, arithmetic)
        held = [k for k, n in enumerate(CLASSES) if np.all(np.abs(found.scale) <= allowed[n] + single * found.lever)]
        worst = max(worst, held[0] if held else len(CLASSES) - 1)
    return CLASSES[worst], form


# What is done instead, told by the deviation that the outputs were divided by: rsqrt of these.
INSTEAD: dict[str, Any] = {
    "eps outside the root": lambda v, m, eps: (np.sqrt(v) + eps) ** 2,
    "eps missing": lambda v, m, eps: v,
    "eps twice": lambda v, m, eps: v + 2 * eps,
    "eps squared": lambda v, m, eps: v + eps**2,
    "the variance over m - 1": lambda v, m, eps: v * m / (m - 1) + eps,
    "the sum of squares in place of the variance": lambda v, m, eps: v * m + eps,
    "the variance in place of its root": lambda v, m, eps: (v + eps) ** 2,
}


def _instead(fits: list[tuple[str, Any, Fit]]) -> str:
    """The formula that explains the deviations best, if it is not the right one, to the bits of the shortest format."""

    def off(formula: Any) -> float:
        worst = 0.0
        for _, problem, found in fits:
            v, m, eps = found_in(problem).variance.ravel(), problem.sets.count, problem.eps
            factor = 1.0 if formula is None else np.sqrt((v + eps) / formula(v, m, eps))
            error = np.abs((1 + found.scale) / factor - 1)
            worst = max(worst, float(np.where(np.isnan(error), np.inf, error).max()))
        return worst

    name, formula = min({"": None, **INSTEAD}.items(), key=lambda item: off(item[1]))
    return name if off(formula) <= 2.0**-SHORTEST else ""


def _remembered(backend: Backend, answers: list[tuple[str, Any, dict[str, Array]]]) -> str:
    """Whether the variance that is remembered is the other one: over m or over m - 1."""
    near, right, other = 2.0**-SHORTEST, True, True
    for _, problem, answer in answers:
        if "running_var" not in answer or problem.sets.count > 16:  # further up there is no telling
            continue
        read = problem.declared(backend.conventions)
        due, m = read.references()["running_var"], problem.sets.count
        biased = read.reading.get("stored_variance") == "biased"
        swapped = due * m / (m - 1) if biased else due * (m - 1) / m
        with np.errstate(invalid="ignore"):
            right &= bool(np.all(np.abs(answer["running_var"] - due) <= near * due))
            other &= bool(np.all(np.abs(answer["running_var"] - swapped) <= near * due))
    if right or not other:
        return ""
    return "the remembered variance over m" + ("" if not biased else " - 1")
