"""float32 out of several products of shorter numbers: which ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convspec.adapters import Backend

from .ask import ask
from .form import Form


@dataclass(frozen=True)
class Emulation:
    """Numbers taken as several of so many bits; products of two parts further down than the last part left out."""

    name: str
    bits: int
    parts: int

    def filters(self, random: np.random.Generator) -> tuple[int, int]:
        """24 bits, and the last of its parts. Every part is below half a unit of the one before: both rounding and
        truncation make these parts."""
        number, last = int(random.integers(1 << (self.bits - 1), 1 << self.bits)) | 1, 24 - self.bits
        for _ in range(self.parts - 2):
            number = number << self.bits | int(random.integers(1 << (self.bits - 2), 1 << (self.bits - 1))) | 1
            last -= self.bits
        rest = int(random.integers(1 << (last - 3), 1 << (last - 2))) | 1
        return number << last | rest, rest

    def image(self, random: np.random.Generator) -> tuple[int, int]:
        """24 bits, and what is left of them in the first part: less by a quarter to a half of its unit."""
        first, rest = int(random.integers(1 << (self.bits - 1), 1 << self.bits)) | 1, 24 - self.bits
        return first << rest | int(random.integers(1 << (rest - 2), 1 << (rest - 1))) | 1, first << rest


EMULATIONS = (Emulation("bf16x3", bits=8, parts=3), Emulation("3xTF32", bits=11, parts=2))
NAMES = " or ".join(one.name for one in EMULATIONS)

TRIALS = 4
UNIT = 2.0**-23


def emulation(backend: Backend, form: Form, dtype: Any) -> str:
    """The name of what float32 is made of; empty where that cannot be told.

    A number b less what it is without its last part r, both times a: all other products cancel out, whatever the order,
    and a r is left. Where it is made of parts, it is the first part of a that r is multiplied with, and exactly: the
    others would be further down. Where a b is rounded, the difference is off by a far larger part of r. So it may be
    where other terms are added in between: more than half of the outputs are enough.
    """
    for one in EMULATIONS:
        if np.dtype(dtype) == np.float32 and _made_of(backend, form, dtype, one):
            return one.name
    return ""


def _made_of(backend: Backend, form: Form, dtype: Any, one: Emulation) -> bool:
    random, seen, right = np.random.default_rng(17), 0, 0
    for _ in range(TRIALS):
        table, places = form.table(dtype)
        lasts = np.zeros(table.shape)
        if places < 2:
            return False
        whole, first = one.image(random)
        for row, last in zip(table, lasts, strict=True):
            number, rest = one.filters(random)
            at = 2 * int(random.integers(places // 2))
            row[at : at + 2] = np.array([number, rest - number]) * UNIT
            last[at] = rest * UNIT
        a, b = np.full(form.a, whole * UNIT).astype(dtype), form.from_table(table)
        answer = ask(backend, form.build(a, b))[form.output]
        left = form.reference(np.full(form.a, first * UNIT), form.from_table(lasts))
        both = form.terms(a, b) == 2
        near = np.abs(answer - left) <= left * 2.0 ** -(one.bits + 5)  # all of a times r is off by eight times as much
        seen, right = seen + int(both.sum()), right + int((near & both).sum())
    return right > seen / 2
