"""Floating-point formats: what numbers they hold, and rounding to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: p significand bits and the exponent of its smallest normal number."""

    name: str
    p: int
    smallest_exponent: int
    largest: float

    @property
    def unit(self) -> float:
        """Unit roundoff: the largest relative error of rounding to nearest."""
        return float(2.0**-self.p)

    @property
    def smallest_normal(self) -> float:
        return float(2.0**self.smallest_exponent)

    @property
    def spacing(self) -> float:
        """The distance of neighbouring subnormal numbers."""
        return float(np.ldexp(1.0, self.smallest_exponent - self.p + 1))

    def holds(self, other: Format) -> bool:
        """Is every number of the other format one of this?"""
        return self.p >= other.p and self.spacing <= other.spacing and self.largest >= other.largest


FORMATS = {
    f.name: f
    for f in (
        Format("float64", 53, -1022, float(np.finfo(np.float64).max)),
        Format("float32", 24, -126, float(np.finfo(np.float32).max)),
        Format("float16", 11, -14, 65504.0),
        Format("bfloat16", 8, -126, float(2.0**127 * (2 - 2.0**-7))),
    )
}


@cache
def name_of(dtype: np.dtype[Any] | str) -> str:
    """The name of a dtype, which NumPy takes microseconds to make."""
    return str(dtype)


@cache
def format_of(dtype: np.dtype[Any] | str) -> Format:
    """The format of a dtype; integers and booleans are read as float64, which holds what a student types."""
    return FORMATS.get(name_of(dtype), FORMATS["float64"])


def dtype_named(name: str) -> np.dtype[Any]:
    """A NumPy dtype by name; bfloat16 is registered by ml_dtypes, imported only when it is asked for."""
    if name == "bfloat16":
        import ml_dtypes

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    return np.dtype(name)


def round_to(values: Array, to: Format) -> Array:
    """Round float64 values once, to nearest even, to a narrower format; beyond its range to infinity.

    Written out because casts of float64 to bfloat16 round twice (through float32).
    """
    if to.p == 53:
        return values
    _, exponent = np.frexp(values)
    step = np.ldexp(1.0, np.maximum(exponent, to.smallest_exponent + 1) - to.p)
    with np.errstate(invalid="ignore", over="ignore"):
        rounded = np.asarray(np.rint(values / step) * step)
    finite = np.isfinite(values)
    return np.where(
        finite & (np.abs(rounded) > to.largest), np.copysign(np.inf, values), np.where(finite, rounded, values)
    )
