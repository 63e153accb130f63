"""Grades of operations that are sums of products: every geometry probed, the findings put together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from convspec.adapters import Backend
from convspec.reference import Op
from convspec.reference.formats import dtype_named, format_of
from convspec.reference.rounding import Arithmetic

from .ask import Silent
from .drawn import ALWAYS, SHORTEST, judged
from .emulation import emulation
from .form import Form
from .geometries import forms
from .neighbours import probe_neighbours
from .products import bits, probe_products
from .record import Grade
from .sums import accumulator_bits, inputs_arrive
from .verdict import Finding, told


def grade_dots(backend: Backend, op: type[Op], dtype: str, grade: Grade, arithmetic: Arithmetic) -> None:
    """Fill in the grade of an operation with forms."""
    findings = [probe(backend, form, dtype, arithmetic) for form in forms(op)]
    told(findings, grade, arithmetic)
    if grade.grade[0] in "XAR":
        _passing(backend, op, dtype, grade, arithmetic)


def probe(backend: Backend, form: Form, dtype: str, arithmetic: Arithmetic) -> Finding:
    """Everything about one geometry; what is not answered is told."""
    found, numbers = Finding(form.name, spatial=form.space is not None), dtype_named(dtype)
    try:
        probe_products(backend, form, numbers, arithmetic, found.products)
        if not found.products.broken:
            probe_neighbours(backend, form, numbers, found.reach)
        if found.letter == "A":
            found.accumulator = accumulator_bits(backend, form, numbers)
            _attribute(backend, form, numbers, found)
            if bits(found.products.product_error, format_of(dtype).p) < format_of(dtype).p:
                found.emulation = emulation(backend, form, numbers)
    except Silent as silent:
        found.silent, found.refused = str(silent), silent.refused
    return found


def _attribute(backend: Backend, form: Form, dtype: Any, found: Finding) -> None:
    """A sum kept in few bits, or a result rounded to few, rounds single products too, whichever factor has the bits.
    If filters arrive in full where less is left of the product, then it is that."""
    p = format_of(dtype).p
    seen = bits(found.products.filter_error, p)
    if 0 < seen < p - 1 and inputs_arrive(backend, form, dtype, seen):
        found.products.sums_round = True
        found.accumulator = min(found.accumulator, seen)


def _passing(backend: Backend, op: type[Op], dtype: str, grade: Grade, arithmetic: Arithmetic) -> None:
    """Biases, borders and whatever else drawn problems have, held to the bound of the arithmetic that was found."""
    held = _found(grade, arithmetic)
    drawn = judged(backend, op, dtype, held, tame=grade.grade[0] == "R")
    grade.notes += sorted(set(drawn.silent))
    as_found = held == arithmetic or grade.level.startswith("emulated")
    declared = drawn if as_found else judged(backend, op, dtype, arithmetic)
    grade.agrees = grade.agrees and not drawn.silent and not declared.wrong
    kept = bits(drawn.error, format_of(dtype).p)
    if drawn.wrong and kept < SHORTEST:
        grade.grade, grade.level = "D", "broken"
        grade.found = f"found wrong values on {drawn.wrong[0].summary()}"
    elif drawn.wrong and grade.grade[0] != "R":
        grade.grade, grade.level = f"R({kept})", f"{kept} effective bits"
        grade.found = f"found {kept} effective bits on {drawn.wrong[0].summary()}"
    elif grade.grade == "X" and not drawn.once:
        grade.grade = "A"
        grade.found = grade.found.split(ALWAYS)[0]


def _found(grade: Grade, arithmetic: Arithmetic) -> Arithmetic:
    """The arithmetic with the bits that were found, where they are fewer. That of a product of p - 1 bits is truncated,
    or faithful; one of fewer is that of rounded factors, each with half of its error."""
    assert grade.input_bits is not None
    assert grade.product_bits is not None
    plain = Arithmetic.ieee(grade.dtype)
    p = plain.out.p
    factor = 2.0 if min(grade.input_bits, grade.product_bits) < p else 1.0
    if isinstance(grade.accumulator_bits, int) and plain.widens:
        plain = replace(plain, accumulator=grade.dtype)  # with its subnormal numbers
    if isinstance(grade.accumulator_bits, int):
        factor *= 2.0 ** max(0, plain.acc.p - grade.accumulator_bits)
    rounding = 2.0**-grade.input_bits if grade.input_bits < p else 0.0
    if grade.product_bits < p - 1:
        rounding = max(rounding, 2.0 ** -(grade.product_bits + 1))
    return replace(
        plain,
        name=arithmetic.name,
        unit_factor=factor,
        input_rounding=rounding,
        flush_to_zero=arithmetic.flush_to_zero,
    )
