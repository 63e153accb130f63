"""Toy machines: formats of 3 to 8 significand bits whose every operation is simulated exactly in float64.

The second order of a bound, which no float32 experiment can see, is large where T*u is not small. The exponents run
from -6 to 7 only, so that underflow and overflow are ordinary, and so that every exact product and every exact sum of
a number and a product fits in the 53 bits of float64: what is rounded to the toy format is rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from convspec.reference.formats import Format
from convspec.reference.rounding import Arithmetic

Array = npt.NDArray[np.float64]

SIZES = (3, 4, 5, 6, 7, 8)
ROUND = {"nearest": np.rint, "zero": np.trunc, "up": np.ceil, "down": np.floor}


def toy_format(p: int, smallest: int = -6, largest: int = 7) -> Format:
    """A format with p significand bits, normal from 2^smallest to (2 - 2^(1-p)) * 2^largest."""
    return Format(f"toy{p}", p, smallest, float(2.0**largest * (2 - 2.0 ** (1 - p))))


@dataclass(frozen=True, kw_only=True)
class ToyArithmetic(Arithmetic):
    """An arithmetic whose formats are given, not named."""

    formats: tuple[Format, Format]  # storage, accumulator

    @classmethod
    def of(
        cls,
        storage: Format,
        accumulator: Format | None = None,
        *,
        unit_factor: float = 1.0,
        input_rounding: float = 0.0,
        flush_to_zero: bool = False,
    ) -> ToyArithmetic:
        return cls(
            name="toy",
            storage=storage.name,
            accumulator="wider" if accumulator else storage.name,
            unit_factor=unit_factor,
            input_rounding=input_rounding,
            flush_to_zero=flush_to_zero,
            formats=(storage, accumulator or storage),
        )

    @property
    def out(self) -> Format:
        return self.formats[0]

    @property
    def acc(self) -> Format:
        return self.formats[1]


@dataclass(frozen=True)
class Machine:
    """What rounds the exact result of one operation: to a format, in a direction, subnormal results flushed or not.

    `direction` is a key of ROUND, or `either`: up or down by chance each time, as a faithful unit may. What is beyond
    the largest number becomes infinite in every direction.
    """

    format: Format
    direction: str = "nearest"
    flush: bool = False
    random: np.random.Generator | None = None

    def round(self, exact: Array) -> Array:
        _, exponent = np.frexp(exact)
        step = np.ldexp(1.0, np.maximum(exponent, self.format.smallest_exponent + 1) - self.format.p)
        scaled = exact / step
        if self.direction == "either":
            assert self.random is not None
            rounded = np.floor(scaled + self.random.integers(0, 2, exact.shape) * (scaled != np.floor(scaled))) * step
        else:
            rounded = ROUND[self.direction](scaled) * step
        if self.flush:
            rounded = np.where(np.abs(exact) < self.format.smallest_normal, 0.0, rounded)
        beyond = np.abs(rounded) > self.format.largest
        return np.where(beyond, np.copysign(np.inf, exact), rounded) if beyond.any() else rounded

    def nearest(self) -> Machine:
        """The same, rounding to nearest: how numbers are stored, whatever the unit that adds them does."""
        return replace(self, direction="nearest")


def stored(values: Array, form: Format) -> Array:
    """The nearest numbers of a format, none of them infinite."""
    return np.clip(Machine(form).round(values), -form.largest, form.largest)


# Data: of every kind that a bound may be wrong on.

KINDS = (
    "normal",
    "sparse",
    "one sign",
    "constant",
    "cancelling",
    "wide",
    "near overflow",
    "near underflow",
    "subnormal",
    "integers",
)


def cases(random: np.random.Generator) -> list[tuple[int, str]]:
    """Every number of bits with every kind of data, in some order."""
    every = [(p, kind) for p in SIZES for kind in KINDS]
    return [every[i] for i in random.permutation(len(every))]


def drawn(kind: str, shape: tuple[int, int], form: Format, random: np.random.Generator) -> tuple[Array, Array]:
    """x and w, (outputs, terms) each, numbers of the format."""
    low, high = form.smallest_exponent, int(np.log2(form.largest))
    x, w = (np.ldexp(random.standard_normal(shape), random.integers(-1, 2)) for _ in range(2))
    if kind == "sparse":
        x, w = x * (random.random(shape) < 0.6), w * (random.random(shape) < 0.6)
    elif kind == "one sign":
        x, w = np.abs(x), np.abs(w)
    elif kind == "constant":
        x, w = np.abs(x[:, :1]) + np.zeros(shape), np.abs(w[:, :1]) + np.zeros(shape)
    elif kind == "cancelling":
        half = shape[1] // 2
        x[:, half : 2 * half] = x[:, :half]
        w[:, half : 2 * half] = -w[:, :half]
        w[:, :half] *= 1 + form.unit * random.integers(-2, 3, (shape[0], half))
    elif kind == "wide":
        x, w = (np.exp2(random.uniform(low / 2, high / 2 - 1, shape)) * random.choice((-1.0, 1.0), shape) for _ in "xw")
    elif kind == "near overflow":
        x, w = (a * 2.0 ** (high / 2 - random.uniform(0, 2)) for a in (x, w))
    elif kind == "near underflow":
        x, w = (a * 2.0 ** (low / 2 - random.uniform(-1, 2)) for a in (x, w))
    elif kind == "subnormal":
        x = x * np.exp2(random.uniform(low - 2, low + 1, shape))
        w = w * 2.0 ** random.integers(0, 4)
    elif kind == "integers":
        most = int(random.integers(1, 5))
        x, w = (random.integers(-most, most + 1, shape).astype(np.float64) for _ in range(2))
    return stored(x, form), stored(w, form)
