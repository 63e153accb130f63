"""The grade of an operation of a backend in a dtype."""

from __future__ import annotations

from convspec.adapters import Backend
from convspec.reference import Op
from convspec.reference.rounding import Arithmetic

from .dots import grade_dots
from .form import forms
from .record import Grade


def grade(backend: Backend, op: type[Op], dtype: str) -> Grade:
    """Probe one operation in one dtype. Whatever the backend does, there is an answer: what it refuses, raises or does
    not have is told in it."""
    made = Grade(backend=backend.key, op=op.name, dtype=dtype)
    if not backend.offers(op.name) or dtype not in backend.dtypes:
        made.found = f"nothing: the backend has no {op.name}" + (f" in {dtype}" if backend.offers(op.name) else "")
        return made
    arithmetic = backend.arithmetic(op.name, dtype)
    made.declared = _declared(arithmetic)
    if forms(op):
        grade_dots(backend, op, dtype, made, arithmetic)
    made.found = f"declared {made.declared}, {made.found}"
    return made


def _declared(arithmetic: Arithmetic) -> str:
    """In words."""
    parts = [arithmetic.storage]
    parts += [f"sums in {arithmetic.accumulator}"] if arithmetic.widens else []
    parts += [f"inputs rounded to {arithmetic.input_rounding:.2g}"] if arithmetic.input_rounding else []
    parts += [f"statistics in {arithmetic.statistics}"] if arithmetic.statistics else []
    parts += ["flushes subnormals"] if arithmetic.flush_to_zero else []
    return f"{', '.join(parts)} ({arithmetic.name})"
