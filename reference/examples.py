"""Arrays that the worked examples of several operations use."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[Any]

# The lecture's animated 5x5 image (also Stanford's UFLDL tutorial) and its 3x3 filter.
ANIMATION = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
CROSS = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]

# A filter that no reflection or rotation leaves as it is: it tells a flipped kernel from an unflipped one.
COUNTING = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]

# The 4x4 block of the max-pooling slide (also Stanford's CS231n notes).
POOLING = [[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]


def image(rows: Any, dtype: np.dtype[Any]) -> Tensor:
    """A matrix as an array (1, 1, H, W)."""
    return np.asarray(rows, np.float64)[None, None].astype(dtype)


def output(rows: Any) -> npt.NDArray[np.float64]:
    """The matrix of an expected output as a float64 array (1, 1, I, J)."""
    return np.asarray(rows, np.float64)[None, None]
