"""The gradient of max pooling as kernels compute it: an index for each window, and a write for each index."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..base import Array, Right, rounded, taken, wide

Index = npt.NDArray[np.int64]


class Scatters(Right):
    """The gradient of each window goes to the index of its first largest element; a bug overrides index or write."""

    def max_pool2d_backward(self, problem: Any) -> Any:
        problem.validate()
        n, c, h, w = problem.x.shape
        rows, columns = problem.forward.axes
        taps = rows.positions[:, None, :, None] * w + columns.positions[:, None]
        inside = rows.inside[:, None, :, None] & columns.inside[:, None]
        windows, size = rows.count * columns.count, rows.taps * columns.taps
        seen = taken(problem.x, rows.positions, columns.positions, -np.inf).reshape(n * c, windows, size)
        seen = np.where(np.isnan(seen), -np.inf, seen)
        largest = (seen == seen.max(axis=2, keepdims=True)) & inside.reshape(windows, size)
        index = self.index(seen, taps.reshape(windows, size)[np.arange(windows), largest.argmax(axis=2)])
        gradient = wide(problem.grad_output).reshape(n * c, windows)
        memory = np.zeros(n * c * h * w)
        for k in range(windows):
            at = np.arange(n * c) * (h * w) + index[:, k]
            self.write(memory, at[at >= 0], gradient[at >= 0, k])
        return rounded(memory.reshape(n, c, h, w), problem)

    def index(self, seen: Array, first: Index) -> Index:
        """Which pixel of its plane gets the gradient of each window (N * C, windows), of what the window sees."""
        return first

    def write(self, memory: Array, at: Index, gradient: Array) -> None:
        np.add.at(memory, at, gradient)
