"""Numbers below the smallest normal one, which may be taken for zero where that is declared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .formats import format_of
from .op import Tensor


def is_subnormal(x: Tensor) -> npt.NDArray[np.bool_]:
    """Where there is a subnormal number."""
    size = np.abs(np.asarray(x, np.float64))
    return np.asarray((size > 0) & (size < format_of(x.dtype).smallest_normal))


def without_subnormals(x: Tensor) -> Tensor:
    """The array with zeros in place of its subnormal numbers."""
    return np.where(is_subnormal(x), np.zeros((), x.dtype), x)
