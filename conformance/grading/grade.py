"""The grade of an operation of a backend in a dtype."""

from __future__ import annotations

from convspec.adapters import Backend
from convspec.reference import AvgPool2d, Op
from convspec.reference.rounding import Arithmetic

from .dots import grade_dots
from .drawn import ALWAYS, grade_drawn
from .geometries import forms
from .norms import grade_norm
from .pool_gradients import GRADIENTS, grade_pool_gradient
from .pools import grade_pool
from .record import Grade
from .sets import NORMS
from .subnormals import INCONSISTENT, flush
from .zeros import zeros


def grade(backend: Backend, op: type[Op], dtype: str) -> Grade:
    """Probe one operation in one dtype. Whatever the backend does, there is an answer: what it refuses, raises or does
    not have is told in it."""
    made = Grade(backend=backend.key, op=op.name, dtype=dtype)
    if not backend.offers(op.name) or dtype not in backend.dtypes:
        made.found = f"nothing: the backend has no {op.name}" + (f" in {dtype}" if backend.offers(op.name) else "")
        return made
    arithmetic = backend.arithmetic(op.name, dtype)
    made.declared = _declared(arithmetic)
    way = grade_dots if forms(op) else grade_norm if op.name in NORMS else grade_drawn
    way = grade_pool if op is AvgPool2d else grade_pool_gradient if op.name in GRADIENTS else way
    way(backend, op, dtype, made, arithmetic)
    if made.grade not in ("D", "-") and "range" not in made.notes:  # which has neither the numbers nor a say
        made.flush = flush(backend, op, dtype)
    if made.grade[0] in "XAR" and "range" not in made.notes:  # of others a NaN anywhere says nothing about zeros
        made.zeros = zeros(backend, op, dtype)
    if made.flush not in ("keeps", ""):
        made.agrees = made.agrees and arithmetic.flush_to_zero and made.flush != INCONSISTENT
        if made.grade == "X":
            made.grade, made.found = "A", made.found.replace(ALWAYS, "")
        made.found += f"; subnormal numbers: {made.flush}"
    made.found = f"declared {made.declared}, {made.found}"
    return made


def _declared(arithmetic: Arithmetic) -> str:
    """In words."""
    parts = [arithmetic.storage]
    parts += [f"sums in {arithmetic.accumulator}"] if arithmetic.widens else []
    parts += [f"inputs rounded to {arithmetic.input_rounding:.2g}"] if arithmetic.input_rounding else []
    parts += [f"statistics in {arithmetic.statistics}"] if arithmetic.statistics else []
    transforms = arithmetic.algorithm != "direct"
    parts += [f"{arithmetic.algorithm} transform that grows {arithmetic.growth:g} times"] if transforms else []
    parts += ["flushes subnormals"] if arithmetic.flush_to_zero else []
    return f"{', '.join(parts)} ({arithmetic.name})"
