"""One of two factors is rounded: small whole numbers and filters of signs do not show it."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Op
from convspec.reference.formats import FORMATS, round_to

from .base import Right, broken

ELEVEN_BITS = FORMATS["float16"].p


def _to_eleven_bits(array: Any) -> Any:
    """Rounded as TF32 units round: as many digits as float16 has, in the range of the array's format."""
    fractions, exponents = np.frexp(np.asarray(array, np.float64))
    return np.ldexp(round_to(fractions, FORMATS["float16"]), exponents).astype(array.dtype)


class RoundsAnArray(Right):
    name: str

    def answer(self, problem: Op) -> Any:
        return super().answer(problem.but(**{self.name: _to_eleven_bits(problem.arrays()[self.name])}))


@broken(elements=40, examples=100, conv2d="exact_on_integers", linear="exact_on_integers")
class RoundsFiltersToElevenBits(RoundsAnArray):
    """The filters, or the matrix, are rounded to eleven bits; x is not."""

    name = "weight"


@broken(elements=40, examples=100, conv2d="exact_on_integers", linear="exact_on_integers")
class RoundsImagesToElevenBits(RoundsAnArray):
    """x is rounded to eleven bits; the filters are not."""

    name = "x"
