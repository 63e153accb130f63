"""Grades of simulated backends."""

from __future__ import annotations

from functools import cache

from convspec.adapters import Backend
from convspec.conformance.grading import Grade, grade
from convspec.reference import OPS

BY_NAME = {op.name: op for op in OPS}


@cache
def graded(cls: type, op: str, dtype: str = "") -> Grade:
    """Of one operation; in the first dtype, unless told otherwise."""
    backend = Backend.of(cls.__name__, cls(), "module")
    return grade(backend, BY_NAME[op], dtype or backend.dtypes[0])
