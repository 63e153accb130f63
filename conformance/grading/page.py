"""The page of grades: for each backend a table, and what was found wherever that is not all that could be wished."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np

from convspec.conformance.session import environment
from convspec.reference.formats import FORMATS

from .drawn import ALWAYS
from .figures import Graded, table
from .record import Grade

# As in the docstring of Grade.
KEY = {
    "X": "every answer was the truth rounded once",
    "A": "every output is as exact as its own terms allow, in the format of the arrays",
    "A-": "as A, with a remark: narrow sums or statistics of 16-bit numbers, truncation, an emulated format, "
    "a variance in one pass, biases added to what has been rounded, errors larger than those of random rounding",
    "R(b)": "as A, but in b bits: inputs, products or sums are narrower than the format",
    "B": "a large number spoils its neighbours within a tile: Winograd, tiled FFT",
    "C": "a large number spoils outputs anywhere: FFT, Strassen, shared exponents",
    "D": "wrong",
    "-": "nothing found: refused, or no answer",
}


def page(done: list[Graded]) -> str:
    """In Markdown."""
    return "\n".join(_lines(done))


HEAD = """# Grades

How well each backend computes, measured from outside: huge numbers beside small ones show what is mixed into an output,
single products how many bits of the factors arrive, sums of three terms how many a sum is kept in, sets of exact mean
and variance how a normalization sums them. `convspec grade BACKEND` does the same for yours.

| grade | means |
|---|---|"""

FIGURES = """
Next to a grade stand the bits in which sums are kept, `wide` if more than can be seen; for normalizations whether the
variance is taken in two passes (V-A), with a running mean (V-B) or in one (V-C), and whether the output is centred
(F-0) or `x*a + b` (F-1); their gradients have no such classes and are graded by drawn problems alone. A grade in
**bold** is less than what the backend declares. float32 that is made of several shorter numbers (bf16x3, 3xTF32) passes
as float32, A-.

The second table has all figures: the bits of the inputs that arrive in a product, of products, and of sums, `wider` if
more than the dtype has; how many rows or columns off a large number spoils outputs; the class of the variance, with S16
where mean and deviation are kept in 16 bits; the form of the output; what becomes of subnormal numbers (inconsistent:
now kept, now flushed, which agrees with no declaration); and of zero times infinity, in filters, images and padding,
where it is not computed but skipped. The last is no part of the grade."""

TAIL = """
Libraries choose their kernels by the processor: another machine may show other grades. `make grades` writes this page.
"""


def _lines(done: list[Graded]) -> Iterator[str]:
    yield HEAD
    yield from (f"| {letter} | {meaning} |" for letter, meaning in KEY.items())
    yield FIGURES
    for graded in done:
        yield from _backend(graded)
    facts = environment()
    yield "\n## Measured on\n"
    machine = facts["operating system"].split()[-1]
    yield f"{facts['processor']}, {machine}{_vectors()}, Python {facts['python']}."
    yield TAIL


def _vectors() -> str:
    """The vectors of the processor, by which libraries choose their kernels: the widest that NumPy found."""
    has = cast(dict[str, dict[str, list[str]]], np.show_config(mode="dicts"))["SIMD Extensions"]
    found = [*has.get("baseline", []), *has.get("found", [])]
    return f" with vectors up to {found[-1]}" if found else ""


def _backend(graded: Graded) -> Iterator[str]:
    dtypes = [name for name in FORMATS if any(made.dtype == name for made in graded.grades)]
    yield f"\n## {graded.backend}\n"
    yield f"{', '.join(part for part in (graded.version, graded.device) if part)}\n"
    yield f"| operation | {' | '.join(dtypes)} |\n|---|{'---|' * len(dtypes)}"
    for op in dict.fromkeys(made.op for made in graded.grades):
        of = {made.dtype: _cell(made) for made in graded.grades if made.op == op}
        yield f"| {op} | {' | '.join(of.get(dtype, '') for dtype in dtypes)} |"
    figures = list(table(graded))
    yield from ("", *figures) if figures else ()
    remarks: dict[str, list[str]] = {}
    for made in graded.grades:
        if _remarkable(made):
            remarks.setdefault(_remark(made), []).append(f"{made.op} ({made.dtype})")
    if remarks:
        yield ""
    yield from (f"- {', '.join(where)}: {remark}" for remark, where in remarks.items())


def _cell(made: Grade) -> str:
    """The grade, and the figure that goes with it."""
    grade = made.grade if made.agrees or made.grade == "-" else f"**{made.grade}**"
    summed = made.found.removesuffix(ALWAYS).partition(", summed in ")[2].partition(";")[0]
    sums = "wide" if summed.startswith("more") else summed
    parts = [grade, sums or _sums(made), made.variance, made.output_form, made.statistics]
    return " ".join(part for part in parts if part)


def _sums(made: Grade) -> str:
    return f"{made.accumulator_bits} bits" if isinstance(made.accumulator_bits, int) else ""


def _remarkable(made: Grade) -> bool:
    """More than a table can tell: what is declared, what is relaxed, what becomes of subnormal numbers, refusals."""
    fine = made.grade in ("X", "A") and made.agrees and "(ieee)" in made.declared
    return not fine or made.flush not in ("keeps", "") or bool(made.notes)


def _remark(made: Grade) -> str:
    parts = [made.found]
    if made.flush not in ("keeps", "") and f"subnormal numbers: {made.flush}" not in made.found:
        parts.append(f"subnormal numbers: {made.flush}")
    parts += [note for note in made.notes if note not in made.found]
    return "; ".join(parts)
