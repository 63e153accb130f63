"""How errors grow with the number of terms of a sum, recorded for the report."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reports.record import GrowthBin

BINS = 32  # 2^31 terms are more than any problem has


class Growth:
    """Errors of outputs, by how many terms each output adds up: a class for each power of two.

    They are in units of the rounding error of the largest partial sum that any order can have, u*M with
    M = (|y| + sum of the moduli) / 2. A right sum of T terms is off by about T of them at most; roundings of either
    sign make about sqrt(T) of them where the terms are of one sign, and fewer where they are not.
    """

    def __init__(self) -> None:
        self.outputs = np.zeros(BINS, np.int64)
        self.exact = np.zeros(BINS, np.int64)
        self.squares = np.zeros(BINS)
        self.largest = np.zeros(BINS)

    def add(self, terms: npt.NDArray[Any], errors: npt.NDArray[np.float64]) -> None:
        """Of outputs with so many terms (at least one each), so large errors."""
        bins = np.frexp(terms)[1] - 1
        counts = np.bincount(bins, minlength=BINS)
        self.outputs += counts
        wrong = errors != 0
        if not wrong.any():
            self.exact += counts
            return
        self.exact += np.bincount(bins[~wrong], minlength=BINS)
        self.squares += np.bincount(bins, errors**2, BINS)
        np.maximum.at(self.largest, bins, errors)

    def recorded(self) -> list[GrowthBin]:
        """Of the classes that have outputs."""
        return [
            GrowthBin(
                terms=2 ** int(k),
                outputs=int(self.outputs[k]),
                exact=int(self.exact[k]),
                largest=_short(self.largest[k]),
                rms=_short(np.sqrt(self.squares[k] / self.outputs[k])),
            )
            for k in np.flatnonzero(self.outputs)
        ]


def _short(value: float) -> float:
    """To four digits, which a plot does not show: runs hold thousands of these."""
    return float(f"{value:.4g}")
