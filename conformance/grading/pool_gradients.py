"""Grades of the gradients of pooling: sums over the windows that hold a pixel, where windows overlap."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend
from convspec.reference import AvgPool2dBackward, MaxPool2dBackward, Op
from convspec.reference.formats import dtype_named, format_of
from convspec.reference.rounding import Arithmetic

from .ask import Silent
from .drawn import ALWAYS, SHORTEST, grade_drawn, judged, plain_of
from .products import bits
from .record import Grade
from .sums import gathered_bits

Tensor = npt.NDArray[Any]

# Windows of 4x4, one further each time, on an image of 7x7: its centre is in all 16 of them.
WINDOWS: dict[str, Any] = {"kernel_size": (4, 4), "stride": (1, 1)}
NAME = "4x4 stride 1"


def _of_average(gradient: Tensor) -> Op:
    return AvgPool2dBackward(x=np.zeros((*gradient.shape[:2], 7, 7), gradient.dtype), grad_output=gradient, **WINDOWS)


def _of_largest(gradient: Tensor) -> Op:
    """The centre is the largest of every window."""
    x = np.zeros((*gradient.shape[:2], 7, 7), gradient.dtype)
    x[:, :, 3, 3] = 1
    return MaxPool2dBackward(x=x, grad_output=gradient, **WINDOWS)


# How to build them, and what part of the gradient of a window its pixel gets: one of so many.
GRADIENTS = {AvgPool2dBackward.name: (_of_average, 16), MaxPool2dBackward.name: (_of_largest, 1)}


def grade_pool_gradient(backend: Backend, op: type[Op], dtype: str, grade: Grade, arithmetic: Arithmetic) -> None:
    """Fill in the grade: by drawn problems, and by the bits in which the sums are kept."""
    grade_drawn(backend, op, dtype, grade, arithmetic)
    if grade.grade == "-":
        return
    build, share = GRADIENTS[op.name]
    try:
        summed = gathered_bits(backend, build, dtype_named(dtype), share)
    except Silent as silent:
        grade.notes.append(f"{NAME}: {silent}")
        grade.agrees = grade.agrees and silent.refused
        return
    plain, p = plain_of(dtype, arithmetic), format_of(dtype).p
    grade.geometries.append(NAME)
    grade.agrees = grade.agrees and summed >= -math.log2(arithmetic.unit)
    kept = f"sums kept in {int(summed)} bits" if summed < plain.acc.p else ""
    if summed < p:
        # With numbers in the range of every format. Of 16 windows a sum loses up to four bits.
        seen = bits(judged(backend, op, dtype, plain, tame=True).error, p)
        if summed < SHORTEST or seen < summed - 4:
            return  # it is not by these sums, or not by them alone, that values are out of bound
        grade.grade, grade.level, grade.found = f"R({int(summed)})", kept, f"found {kept}"
    elif summed < plain.acc.p:
        if judged(backend, op, dtype, _found(plain, int(summed))).wrong:
            return
        than = "as narrow as the numbers" if summed == p else f"narrower than {plain.accumulator}"
        grade.grade, grade.level, grade.found = "A-", dtype, f"found {kept}, {than}"
    elif grade.grade in ("X", "A"):
        width = "more bits than can be seen" if math.isinf(summed) else f"{int(summed)} bits"
        grade.found = f"found {dtype}, summed in {width}" + (ALWAYS if grade.grade == "X" else "")
    grade.accumulator_bits = "wider" if summed > p else int(summed)


def _found(plain: Arithmetic, summed: int) -> Arithmetic:
    """The default arithmetic with sums of so many bits: those of the arrays' own numbers, or some more."""
    narrow = plain if summed > plain.out.p else replace(plain, accumulator=plain.storage)
    return replace(narrow, unit_factor=2.0 ** (narrow.acc.p - summed))
