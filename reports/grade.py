"""What is said of an operation of a backend in a dtype."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Grade(msgspec.Struct, kw_only=True):
    """How well one operation is computed in one dtype: measured from outside, and compared with what is declared.

    grade:
        X      every answer was the truth rounded once
        A      every output is as exact as its own terms allow, in the declared format
        A-     as A, with a remark: narrow sums of 16-bit numbers, truncation, an emulated format, a one-pass variance,
               16-bit statistics, or errors larger than the model of random rounding has them
        R(b)   as A, but in b bits: inputs, products or sums are narrower than the format
        B      a large number spoils its neighbours within a tile: Winograd, tiled FFT
        C      a large number spoils outputs anywhere: FFT, Strassen, shared exponents
        D      wrong
        -      nothing found: the backend has it not, refuses it or gives no answer
    """

    backend: str
    op: str
    dtype: str
    grade: str = "-"
    level: str = ""  # "float32", "emulated float32 (22 bits)", "inputs rounded to 11 bits", "18 effective bits"
    input_bits: int | None = None  # of each factor that arrive in a product
    product_bits: int | None = None
    accumulator_bits: int | str | None = None  # of partial sums; "wider" than the storage format
    radius: int | None = None  # rows or columns by which an error spreads to neighbours
    variance: str = ""  # V-A two passes, V-B running (Welford), V-C one pass
    output_form: str = ""  # F-0 centred, F-1 folded into x*a + b
    statistics: str = ""  # S16: mean and deviation kept in 16 bits
    flush: str = ""  # of subnormals: keeps, flushes outputs, flushes inputs too, flushes, inconsistent
    zeros: dict[str, str] = {}  # times infinity, of filters, images and padding: computed, skipped or both
    geometries: list[str] = []  # what was probed; with its letter, where geometries differ
    declared: str = ""
    found: str = ""  # one sentence
    agrees: bool = False  # what was found is at least what is declared
    notes: list[str] = []  # what was refused, raised, or seen beside the point

    @property
    def zeros_told(self) -> str:
        """All in a word, or those that are not computed."""
        others = [f"{where} {how}" for where, how in self.zeros.items() if how != "computed"]
        return ", ".join(others) or ("computed" if self.zeros else "")

    @property
    def falls_short(self) -> bool:
        """Was less found than is declared?"""
        return not self.agrees and self.grade != "-"


def alike(grades: Iterable[Grade]) -> list[tuple[str, str, list[Grade]]]:
    """Backend, what was found, and the grades of which that is said: of all that fall short."""
    told: dict[tuple[str, str], list[Grade]] = {}
    for made in grades:
        if made.falls_short:
            told.setdefault((made.backend, made.found), []).append(made)
    return [(backend, found, those) for (backend, found), those in told.items()]


def where(grades: Iterable[Grade]) -> str:
    """The operations and dtypes of grades: `conv2d, linear (float32)`."""
    of: dict[str, list[str]] = {}
    for made in grades:
        of.setdefault(made.dtype, []).append(made.op)
    return "; ".join(f"{', '.join(ops)} ({dtype})" for dtype, ops in of.items())
