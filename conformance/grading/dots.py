"""Grades of operations that are sums of products."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from convspec.adapters import Backend
from convspec.reference import Op
from convspec.reference.rounding import Arithmetic, dtype_named, format_of

from .ask import Silent
from .drawn import ALWAYS, SHORTEST, judged
from .form import Form, forms
from .neighbours import Reach, probe_neighbours
from .products import Products, bits, probe_products
from .record import Grade
from .sums import accumulator_bits, inputs_arrive

# What rounds to so many bits, beside the formats: two and three bfloat16 numbers for each float32 one.
NAMES = {
    7: "bfloat16, truncated",
    8: "bfloat16",
    10: "TF32, truncated",
    11: "TF32 or float16",
    16: "bf16x2",
    17: "bf16x2",
    24: "float32",
}

# The model of numerics (rms of error over its deviation) gives 1 for random rounding. Of 30 outputs and more, whose
# squares add up like chi-squared, a mean square of 9 has no chance that anyone will live to see (below 1e-30).
FAR_FROM_RANDOM = 3.0

ORDER = "ABCD"


@dataclass
class Finding:
    """What the probes showed of one geometry."""

    name: str
    products: Products = field(default_factory=Products)
    reach: Reach = field(default_factory=Reach)
    accumulator: float = math.inf
    silent: str = ""
    refused: bool = False

    @property
    def letter(self) -> str:
        return "D" if self.products.broken else self.reach.letter


def probe(backend: Backend, form: Form, dtype: str, arithmetic: Arithmetic) -> Finding:
    """Everything about one geometry; what is not answered is told."""
    found, numbers = Finding(form.name), dtype_named(dtype)
    try:
        probe_products(backend, form, numbers, arithmetic, found.products)
        if not found.products.broken:
            probe_neighbours(backend, form, numbers, found.reach)
        if found.letter == "A":
            found.accumulator = accumulator_bits(backend, form, numbers)
            _attribute(backend, form, numbers, found)
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


def grade_dots(backend: Backend, op: type[Op], dtype: str, grade: Grade, arithmetic: Arithmetic) -> None:
    """Fill in the grade of an operation with forms."""
    findings = [probe(backend, form, dtype, arithmetic) for form in forms(op)]
    told(findings, grade, arithmetic)
    if grade.grade[0] in "XA":
        _passing(backend, op, dtype, grade, arithmetic)


def _passing(backend: Backend, op: type[Op], dtype: str, grade: Grade, arithmetic: Arithmetic) -> None:
    """Biases, borders and whatever else drawn problems have, held to the bound of what was found."""
    narrow = grade.accumulator_bits != "wider" and dtype_named(dtype).itemsize == 2
    drawn = judged(backend, op, dtype, replace(arithmetic, accumulator=dtype) if narrow else arithmetic)
    grade.notes += sorted(set(drawn.silent))
    grade.agrees = grade.agrees and not drawn.silent and not drawn.wrong
    p = format_of(dtype).p
    kept = bits(drawn.error, p)
    if drawn.wrong and kept < SHORTEST:
        grade.grade, grade.level = "D", "broken"
        grade.found = f"found wrong values on {drawn.wrong[0].summary()}"
    elif drawn.wrong and grade.level == dtype:
        grade.grade, grade.level = f"R({kept})", f"{kept} effective bits"
        grade.found = f"found {kept} effective bits on {drawn.wrong[0].summary()}"
    elif grade.grade == "X" and not drawn.once:
        grade.grade = "A"
        grade.found = grade.found.split(ALWAYS)[0]


def told(findings: list[Finding], grade: Grade, arithmetic: Arithmetic) -> None:
    """The grade of the worst geometry, by what they showed."""
    grade.notes += [f"{f.name}: {f.silent}" for f in findings if f.silent]
    answered = [f for f in findings if not f.silent]
    grade.geometries = _named(answered)
    if not answered:
        grade.found = f"nothing: {findings[0].silent}"
        return
    out = format_of(grade.dtype)
    p, name = out.p, out.name
    letter = max((f.letter for f in answered), key=ORDER.index)
    input_error = max(f.products.input_error for f in answered)
    product_error = max(f.products.product_error for f in answered)
    summed = min(f.accumulator for f in answered)
    rms = max(f.products.rms for f in answered)
    grade.input_bits = bits(input_error, p)
    grade.product_bits = bits(max(0.0 if f.products.sums_round else f.products.product_error for f in answered), p)
    if letter == "D":
        grade.grade, grade.level = "D", "broken"
        grade.input_bits = grade.product_bits = None
        grade.found = "found sums of small integers wrong"
        return
    if letter == "A":
        grade.accumulator_bits = "wider" if summed > p else int(summed)
    grade.radius = max(f.reach.radius for f in answered)
    if letter != "A":
        _spoiled(answered, grade, letter)
    else:
        _rounded(grade, p, name, summed, rms, all(f.products.correctly_rounded for f in answered))
    if any(f.products.short_range for f in answered):
        grade.found += "; numbers far from 1 are lost: the exponents of a shorter format"
        grade.notes.append("range")
    grade.agrees = (
        letter == "A"
        and not any(f.silent and not f.refused for f in findings)
        and "range" not in grade.notes
        and input_error <= _allowed(arithmetic, 1)
        and product_error <= _allowed(arithmetic, 2)
        and summed >= -math.log2(arithmetic.unit)
    )


def _named(answered: list[Finding]) -> list[str]:
    differ = len({f.letter for f in answered}) > 1
    return [f"{f.name}: {f.letter}" if differ else f.name for f in answered]


def _allowed(arithmetic: Arithmetic, factors: int) -> float:
    """The relative error of a single product, one or two factors of which need rounding: the bound of one term. Where
    only one does, the product itself is exact, unless the factor was rounded."""
    q = (1 + arithmetic.input_rounding) ** factors - 1
    u = 0.0 if factors == 1 and not q else arithmetic.unit
    error = u + q + u * q
    return error + (arithmetic.out.unit * (1 + error) if arithmetic.widens and error else 0.0)


def _spoiled(answered: list[Finding], grade: Grade, letter: str) -> None:
    """Of sums that are made of more than their own terms the errors are told apart no further."""
    assert grade.input_bits is not None
    assert grade.product_bits is not None
    effective = min(grade.input_bits, grade.product_bits)
    grade.grade, grade.level = letter, f"{effective} effective bits"
    mixes = sorted({kind for f in answered for kind in f.reach.mixes})
    leaks = ", and where nothing is added up they are not zero" if any(f.reach.leaks for f in answered) else ""
    if letter == "B":
        off = f"up to {grade.radius} rows or columns off" if grade.radius else "where its weight is zero"
        where = f"{off}: a tiled transform (Winograd, FFT)"
    elif mixes:
        where = f"in other {', '.join(mixes)}: Strassen, shared exponents"
    else:
        where = "in the whole image: FFT"
    grade.found = f"found errors of a large number in outputs {where}{leaks}; {effective} effective bits"


def _rounded(grade: Grade, p: int, name: str, summed: float, rms: float, once: bool) -> None:
    """Class A: which of inputs, products and sums are narrower than they should be.

    Truncated or faithful rounding costs a bit, so p - 1 is no shortage. A number of p - 1 bits taken as two of q bits
    each, 2q + 1 >= p - 1, is emulated: the product of the two low parts is left out, 2^-2q of the whole, and the low
    parts are rounded, twice 2^-(p-1): 2^-(p-3) together, so that products of p - 3 bits are those of the emulation.
    """
    inputs, products = grade.input_bits, grade.product_bits
    assert inputs is not None
    assert products is not None
    short = []
    if inputs < p - 1:
        short.append((inputs, f"inputs rounded to {inputs} bits", NAMES.get(inputs, "")))
    elif products < p - 3:
        short.append((products, f"products of {products} bits", NAMES.get(products, "")))
    if summed < p:
        short.append((int(summed), f"sums kept in {int(summed)} bits", NAMES.get(int(summed), "").split(" or ")[-1]))
    if short:
        fewest = min(bits for bits, _, _ in short)
        grade.grade, grade.level = f"R({fewest})", ", ".join(what for _, what, _ in short)
        grade.found = "found " + ", ".join(what + (f": {of}" if of else "") for _, what, of in short)
        return
    remarks = []
    grade.level = name
    if products < p - 1:
        grade.level = f"emulated {name} ({products} bits)"
        remarks.append(f"products to {products} bits: emulated {name}")
    elif min(inputs, products) < p:
        remarks.append(f"{min(inputs, products)} bits: truncated or faithful rounding")
    wide = Arithmetic.ieee(name).acc.p
    if summed < wide:
        remarks.append(f"sums kept in {int(summed)} bits, as narrow as the numbers")
    elif not rms <= FAR_FROM_RANDOM:
        remarks.append(f"errors {rms:.0f} times those of random rounding")
    grade.grade = "A-" if remarks else "X" if once else "A"
    width = "more bits than can be seen" if math.isinf(summed) else f"{int(summed)} bits"
    grade.found = f"found {'; '.join(remarks)}" if remarks else f"found {name}, summed in {width}"
    if grade.grade == "X":
        grade.found += ALWAYS
