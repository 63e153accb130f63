"""Grades of average pooling: a sum without products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend
from convspec.reference import AvgPool2d, Op
from convspec.reference.formats import dtype_named, format_of
from convspec.reference.rounding import Arithmetic

from .ask import Silent, ask
from .drawn import ALWAYS, SHORTEST, judged
from .form import SPIKES, Form
from .neighbours import Reach, probe_neighbours
from .products import bits
from .record import Grade
from .sums import pooled_bits

Tensor = npt.NDArray[Any]

# Windows of eight elements, so that the division is exact.
WINDOWS = Form(
    name="2x4 stride 1",
    build=lambda x, one: AvgPool2d(x=x * one[0], kernel_size=(2, 4), stride=(1, 1)),
    a=(2, 3, 9, 10),
    b=(1,),
    rows=(),
    apart=0,
    alone=True,
    step=1 / 8,
    spread=(SPIKES, 2, 24, 25),
    space=(2, 3),
)


def grade_pool(backend: Backend, op: type[Op], dtype: str, grade: Grade, arithmetic: Arithmetic) -> None:
    """Fill in the grade."""
    numbers, p = dtype_named(dtype), format_of(dtype).p
    reach = Reach()
    grade.geometries = [WINDOWS.name, "4x4"]
    try:
        broken = _broken(backend, numbers)
        if not broken:
            probe_neighbours(backend, WINDOWS, numbers, reach)
            summed = pooled_bits(backend, numbers)
    except Silent as silent:
        grade.notes.append(str(silent))
        grade.found = f"nothing: {silent}"
        return
    found = judged(backend, op, dtype, arithmetic)
    grade.notes += sorted(set(found.silent))
    kept = bits(found.error, p)
    explained = not broken and (reach.letter != "A" or summed < -math.log2(arithmetic.unit))
    if broken or (kept < SHORTEST and not explained):
        grade.grade, grade.level = "D", "broken"
        grade.found = f"found wrong values on {found.wrong[0].summary()}" if found.wrong else "found wrong sums"
        return
    grade.radius = reach.radius
    if reach.letter != "A":
        grade.grade, grade.level = reach.letter, f"{kept} effective bits"
        grade.found = (
            f"found errors of a large number in outputs up to {reach.radius} rows or columns off: "
            "sums carried over from window to window"
        )
        return
    grade.accumulator_bits = "wider" if summed > p else int(summed)
    width = "more bits than can be seen" if math.isinf(summed) else f"{int(summed)} bits"
    if summed < p:
        grade.grade, grade.level = f"R({int(summed)})", f"sums kept in {width}"
        grade.found = f"found sums kept in {width}"
    elif found.wrong and summed >= -math.log2(arithmetic.unit):
        grade.grade, grade.level = f"R({kept})", f"{kept} effective bits"
        grade.found = f"found {kept} effective bits on {found.wrong[0].summary()}"
    elif summed < Arithmetic.ieee(dtype).acc.p:
        grade.grade, grade.level = "A-", dtype
        grade.found = f"found sums kept in {width}, as narrow as the numbers"
    else:
        grade.grade, grade.level = ("X" if found.once else "A"), dtype
        grade.found = f"found {dtype}, summed in {width}"
        grade.found += ALWAYS if found.once else ""
    grade.agrees = not found.wrong and not found.silent and summed >= -math.log2(arithmetic.unit)


def _broken(backend: Backend, dtype: Any) -> bool:
    """Are means of four and of 16 small integers, times four and 16, not even these integers after rounding?"""
    random = np.random.default_rng(7)
    for side in (2, 4):
        x = random.integers(-1, 2, (2, 3, 11, 13)).astype(dtype)
        problem = AvgPool2d(x=x, kernel_size=(side, side), stride=(1, 2))
        answer = ask(backend, problem)["y"] * side**2
        with np.errstate(invalid="ignore"):
            if not np.all(np.rint(answer) == problem.reference() * side**2):
                return True
    return False
