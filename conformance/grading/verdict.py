"""What the findings of all geometries amount to: the grade, its figures and its sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from convspec.reference.formats import format_of
from convspec.reference.rounding import ALGORITHMS, Arithmetic
from convspec.reports.record import FAR_FROM_RANDOM

from .drawn import ALWAYS, SHORTEST
from .emulation import NAMES as MADE_OF
from .neighbours import Reach
from .products import Products, bits
from .record import Grade
from .tiles import Tile

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

# Of an emulated float32: the clauses hold whoever declares nothing to single products that are rounded once.
DECLARE = "a run holds it to plain float32: declare it, as an Arithmetic with an input_rounding of 2**-22"

ORDER = "ABCD"  # the first three are what ALGORITHMS come to


@dataclass
class Finding:
    """What the probes showed of one geometry."""

    name: str
    products: Products = field(default_factory=Products)
    reach: Reach = field(default_factory=Reach)
    accumulator: float = math.inf
    emulation: str = ""  # what float32 is made of
    silent: str = ""
    refused: bool = False
    spatial: bool = True  # whether errors could have reached neighbours

    @property
    def letter(self) -> str:
        return "D" if self.products.broken else self.reach.letter

    def short(self, p: int) -> list[tuple[int, str, str]]:
        """What is narrower than p bits by more than truncated or faithful rounding costs, which is one: how many bits
        it has, in words, and what has so many.

        A number of p - 1 bits taken as two of q bits each, 2q + 1 >= p - 1, is emulated: the product of the two low
        parts is left out, 2^-(p-2) of the whole, the low parts are rounded, twice 2^-(p-1), and so is the sum of the
        other products, 2^-p: together 2^-(p-3) + 2^-p.
        """
        found = []
        seen = self.products
        inputs, products = bits(seen.input_error, p), bits(seen.product_error, p)
        if inputs < p - 1:
            # Of both, if the other is not better by two bits: truncation costs one.
            one = min(seen.image_error, seen.filter_error) <= max(seen.image_error, seen.filter_error) / 4
            which = ("filters alone" if seen.filter_error > seen.image_error else "images alone") if one else "inputs"
            found.append((inputs, f"{which} rounded to {inputs} bits", NAMES.get(inputs, "")))
        elif not seen.sums_round and not seen.product_error <= 2.0 ** -(p - 3) + 2.0**-p:
            found.append((products, f"products of {products} bits", NAMES.get(products, "")))
        if self.accumulator < p:
            kept = int(self.accumulator)
            found.append((kept, f"sums kept in {kept} bits", NAMES.get(kept, "").split(" or ")[-1]))
        return found

    def emulated(self, p: int) -> bool:
        """Is the format made of several shorter numbers, as far as can be seen?"""
        if self.letter != "A" or self.short(p):
            return False
        return bool(self.emulation) or bits(0.0 if self.products.sums_round else self.products.product_error, p) < p - 1

    def label(self, p: int) -> str:
        """The grade of this geometry alone, as far as it goes."""
        fewest = min((kept for kept, _, _ in self.short(p)), default=None)
        return self.letter if self.letter != "A" or fewest is None else f"R({fewest})"


def told(findings: list[Finding], grade: Grade, arithmetic: Arithmetic) -> None:
    """The grade of the worst geometry, by what they showed."""
    grade.notes += [f"{f.name}: {f.silent}" for f in findings if f.silent]
    answered = [f for f in findings if not f.silent]
    p, name = format_of(grade.dtype).p, format_of(grade.dtype).name
    labels = [f.label(p) for f in answered]
    differ = len(set(labels)) > 1
    grade.geometries = [f"{f.name}: {label}" if differ else f.name for f, label in zip(answered, labels, strict=True)]
    if not answered:
        grade.found = f"nothing: {findings[0].silent}"
        return
    letter = max((f.letter for f in answered), key=ORDER.index)
    input_error = max(f.products.input_error for f in answered)
    summed = min(f.accumulator for f in answered)
    grade.input_bits = bits(input_error, p)
    grade.product_bits = bits(max(0.0 if f.products.sums_round else f.products.product_error for f in answered), p)
    if letter == "D":
        grade.grade, grade.level = "D", "broken"
        grade.input_bits = grade.product_bits = None
        where = ", ".join(f.name for f in answered if f.letter == "D")
        grade.found = "found sums of small integers wrong" + (f": {where}" if differ else "")
        return
    if letter == "A":
        grade.accumulator_bits = "wider" if summed > p else int(summed)
    grade.radius = max((f.reach.radius for f in answered if f.spatial), default=None)
    if letter != "A":
        _spoiled(answered, grade, letter)
    else:
        _rounded(answered, grade, p, name, summed)
        if p == 24 and grade.level.startswith("emulated") and not arithmetic.input_rounding:
            grade.notes.append(DECLARE)
    if any(f.products.short_range for f in answered):
        grade.found += "; numbers far from 1 are lost: the exponents of a shorter format"
        grade.notes.append("range")
    # A format made of several shorter numbers passes as that format.
    plain = [f.products for f in answered if not f.emulated(p)]
    as_exact = (
        all(of.input_error <= _allowed(arithmetic, 1) for of in plain)
        and all(of.product_error <= _allowed(arithmetic, 2) for of in plain)
        and summed >= -math.log2(arithmetic.unit)
    )
    grade.agrees = (
        ORDER.index(letter) <= ALGORITHMS.index(arithmetic.algorithm)
        and not any(f.silent and not f.refused for f in findings)
        and "range" not in grade.notes
        and (as_exact or letter != "A")  # what a transform leaves of single products is no part of its declaration
    )


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
        off = f"up to {grade.radius} rows or columns off" if grade.radius else "that see it with a weight of zero"
        where = f"{off}: {_tiled([f.reach.tile for f in answered if f.letter == 'B'])}"
    elif mixes:
        where = f"in other {', '.join(mixes)}: Strassen, shared exponents"
    else:
        where = "in the whole image: FFT"
    grade.found = f"found errors of a large number in outputs {where}{leaks}; {effective} effective bits"


def _tiled(tiles: list[Tile | None]) -> str:
    """Of what size, and which algorithm that is, as far as they are told."""
    seen = sorted({tile for tile in tiles if tile is not None}, key=lambda tile: -min(tile.rows, tile.columns))
    named = [tile for tile in seen if tile.name]
    # An image of one row shows one side of a tile alone.
    whole = [tile for tile in named if min(tile.rows, tile.columns) > 1] or named
    if whole:
        return ", ".join(f"a tiled transform of {tile.outputs}: {tile.name}" for tile in whole)
    return f"a tiled transform{f' of {seen[0].outputs}' if seen else ''} (Winograd, FFT)"


def _rounded(answered: list[Finding], grade: Grade, p: int, name: str, summed: float) -> None:
    """Class A: which of inputs, products and sums are narrower than they should be."""
    inputs, products = grade.input_bits, grade.product_bits
    assert inputs is not None
    assert products is not None
    short = sorted({one for f in answered for one in f.short(p)})
    if short:
        fewest = short[0][0]
        grade.grade, grade.level = f"R({fewest})", ", ".join(what for _, what, _ in short)
        grade.found = "found " + ", ".join(what + (f": {of}" if of else "") for _, what, of in short)
        if fewest < SHORTEST:
            grade.grade, grade.level, grade.found = "D", "broken", "found single products or sums of three terms wrong"
        return
    remarks = []
    grade.level = name
    if any(f.emulated(p) for f in answered):
        of = " and ".join(sorted({f.emulation for f in answered if f.emulation})) or (MADE_OF if p == 24 else "")
        grade.level = f"emulated {name} ({products} bits)"
        remarks.append(f"products to {products} bits: emulated {name}" + (f", {of}" if of else ""))
    elif min(inputs, products) < p:
        remarks.append(f"products to {min(inputs, products)} bits: truncated, faithful or emulated")
    rms = max(f.products.rms for f in answered)
    if summed < Arithmetic.ieee(name).acc.p:
        remarks.append(f"sums kept in {int(summed)} bits, as narrow as the numbers")
    elif not rms <= FAR_FROM_RANDOM:
        remarks.append(f"errors {rms:.0f} times those of random rounding")
    if any(f.products.rounds_twice for f in answered):
        remarks.append("biases added to what has been rounded")
    once = all(f.products.correctly_rounded for f in answered)
    grade.grade = "A-" if remarks else "X" if once else "A"
    width = "more bits than can be seen" if math.isinf(summed) else f"{int(summed)} bits"
    grade.found = f"found {'; '.join(remarks)}" if remarks else f"found {name}, summed in {width}"
    if grade.grade == "X":
        grade.found += ALWAYS
