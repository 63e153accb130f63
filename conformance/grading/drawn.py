"""Grades of operations that no probe was made for: by a few drawn problems and the bound."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from convspec.adapters import Backend
from convspec.conformance.compare import Truth, accepted
from convspec.reference import Op
from convspec.reference.data import KINDS
from convspec.reference.formats import FORMATS, dtype_named, format_of, round_to
from convspec.reference.pick import RandomPick
from convspec.reference.rounding import Arithmetic

from .ask import Silent, ask
from .products import bits
from .record import Grade
from .sets import NORMS

ALWAYS = "; every answer was the truth rounded once"

PROBLEMS, BUDGET = 12, 20_000

# bfloat16 is the shortest format there is. Two factors that are cut off to it are off by 2^-7 each, their product by a
# little more than 2^-6: with fewer bits than this it is no matter of precision any more.
SHORTEST = format_of("bfloat16").p - 3

# What becomes of subnormal numbers has a probe of its own (subnormals.py) and is no matter of precision. Neither are
# the last few numbers of the range, where parts of an emulated format overflow; the suite draws both.
ENDS = ("tiny", "huge")
_WEIGHTS = tuple(0 if kind.name in ENDS else kind.weight for kind in KINDS)


class _Within(RandomPick):
    """A seeded generator that leaves out the data of the ends of the range."""

    def kind(self) -> int:
        return self.choose(len(KINDS), _WEIGHTS)


@dataclass
class Judged:
    """What drawn problems showed."""

    asked: int = 0
    answered: int = 0
    once: bool = True  # every answer was the truth rounded once, or as free as it may be
    wrong: list[Op] = field(default_factory=list)
    error: float = 0.0  # the largest error over the largest partial sum, half of |y| and of the absolute terms
    silent: list[str] = field(default_factory=list)
    refusal: str = ""  # the first


def judged(backend: Backend, op: type[Op], dtype: str, arithmetic: Arithmetic, tame: bool = False) -> Judged:
    """Problems drawn from the backend's domain, answered and held to the bound.

    `tame`: with normal random numbers, which are in the range of every format.
    """
    found = Judged()
    for index in range(PROBLEMS):
        problem: Op = op.draw(_Within(f"grade/{op.name}/{dtype}/{index}", dtype_named(dtype), BUDGET))
        if tame:
            random = np.random.default_rng(index)
            normal = {k: random.standard_normal(a.shape).astype(a.dtype) for k, a in problem.arrays().items()}
            problem = problem.but(**normal)
        try:
            found.asked += 1
            answers = ask(backend, problem)
        except Silent as silent:
            if silent.refused:
                found.refusal = found.refusal or str(silent)
            else:
                found.silent.append(str(silent))
            continue
        found.answered += 1
        answer = answers[problem.outputs[0]].astype(problem.dtype)
        _judge(problem.settled(answer).declared(backend.conventions), answers, arithmetic, found)
    return found


def _judge(problem: Op, answers: dict[str, np.ndarray], arithmetic: Arithmetic, found: Judged) -> None:
    bounds = problem.judgements(arithmetic)
    for name, (hi, lo) in problem.truths().items():
        answer, bound = answers[name], bounds[name]
        ok, _ = accepted(answer, Truth.of(hi, lo, bound), arithmetic)
        due = round_to(hi, arithmetic.out)
        found.once &= bool(np.all((answer == due) | (np.isnan(answer) & np.isnan(due)) | bound.overflows))
        if ok.all():
            continue
        found.wrong += [] if found.wrong and found.wrong[-1] is problem else [problem]
        size = np.where(np.isfinite(bound.size) & (bound.size > 0), bound.size, 2 * np.abs(hi))
        with np.errstate(invalid="ignore", divide="ignore"):
            error = (2 * np.abs((answer - hi) - lo) / size)[~ok]
        found.error = max(found.error, float(np.where(np.isnan(error), np.inf, error).max()))


def grade_drawn(backend: Backend, op: type[Op], dtype: str, grade: Grade, arithmetic: Arithmetic) -> None:
    """Fill in the grade by drawn problems alone: held to the default arithmetic, and where that is not kept, to what is
    declared."""
    plain = plain_of(dtype, arithmetic)
    found = judged(backend, op, dtype, plain)
    grade.geometries = [f"{found.answered} drawn problems"]
    grade.notes += sorted(set(found.silent))
    if not found.answered:
        grade.found = f"nothing: {(found.silent or [found.refusal])[0]}"
        return
    declared = found if arithmetic == plain else judged(backend, op, dtype, arithmetic)
    grade.agrees = not declared.wrong and not found.silent
    kept = bits(found.error, format_of(dtype).p)
    if not found.wrong:
        grade.grade, grade.level = ("X" if found.once else "A"), dtype
        grade.found = f"found {dtype}" + (ALWAYS if found.once else "")
    elif not declared.wrong and _as_narrow(arithmetic):
        grade.grade, grade.level = "A-", dtype
        problems = f"{len(found.wrong)} of {found.answered} problems"
        grade.found = (
            f"found {dtype} no better than declared: {problems} beyond the bound of {plain.accumulator} inside"
        )
        if op.name.removesuffix("_backward") in NORMS:
            grade.notes.append("no probe tells which step of a gradient is the narrow one")
    elif kept >= SHORTEST:
        grade.grade, grade.level = f"R({kept})", f"{kept} effective bits"
        grade.found = f"found {kept} effective bits, on {len(found.wrong)} of {found.answered} problems"
    else:
        grade.grade, grade.level = "D", "broken"
        first = found.wrong[0]
        grade.found = f"found wrong values on {len(found.wrong)} of {found.answered} problems: {first.summary()}"


def plain_of(dtype: str, arithmetic: Arithmetic) -> Arithmetic:
    """The default arithmetic, with subnormal numbers as declared: these have a probe of their own."""
    return replace(Arithmetic.ieee(dtype), flush_to_zero=arithmetic.flush_to_zero, name=arithmetic.name)


def _as_narrow(arithmetic: Arithmetic) -> bool:
    """Is everything inside declared to be as exact as the numbers of the storage, but for one bit, which truncation
    costs? Two of a rounded input: that of an emulated format."""
    unit = arithmetic.out.unit
    return (
        arithmetic.unit <= 2 * unit
        and arithmetic.input_rounding <= 4 * unit
        and (not arithmetic.statistics or FORMATS[arithmetic.statistics].unit <= unit)
    )
