"""What the tests of the reference against other libraries share: their problems, and what is the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from convspec.reference import (
    Op,
)
from convspec.reference.formats import FORMATS, dtype_named
from convspec.reference.pick import RandomPick

Array = npt.NDArray[np.float64]

CASES = {"float32": 60, "float64": 60, "float16": 15, "bfloat16": 15}
NUMPY_MODES = {"zeros": "constant", "replicate": "edge", "reflect": "reflect", "circular": "wrap"}
NDIMAGE_MODES = {"zeros": "constant", "replicate": "nearest", "reflect": "mirror", "circular": "grid-wrap"}
TORCH_MODES = {"zeros": "constant", "replicate": "replicate", "reflect": "reflect", "circular": "circular"}
over_dtypes = pytest.mark.parametrize("dtype", tuple(FORMATS))


def drawn(op: type[Op], dtype: str) -> list[Any]:
    return [op.draw(RandomPick(f"oracle {op.name} {i}", dtype_named(dtype), 20_000)) for i in range(CASES[dtype])]


def wide(array: Any) -> Array:
    return np.asarray(array, np.float64)


def same(problem: Op, other: Any, size: Array | float = 0.0) -> None:
    """The reference gives `other`, but for the rounding of two float64 sums of terms whose moduli add up to `size`."""
    expected = problem.expected()
    assert problem.shape() == expected.shape == other.shape, problem
    assert np.all((np.abs(expected - other) <= 1e-13 * size) | (expected == other)), problem


def size_of(problem: Any) -> Array:
    """The sums of the absolute terms, for the comparison of two summations."""
    positive = {name: np.abs(wide(array)) for name, array in problem.arrays().items()}
    return np.asarray(problem.but(**positive).expected())


def around(p: Any, value: float) -> Array:
    """The image with `value` around it, as far as the windows reach when they are rounded up."""
    sides = [(before, after + k + s) for (before, after), k, s in zip(p.padding, p.kernel_size, p.stride, strict=True)]
    return np.pad(wide(p.x), ((0, 0), (0, 0), *sides), constant_values=value)


def torch_image(torch: Any, array: Any) -> Any:
    return torch.from_numpy(np.array(wide(array), order="C"))  # a copy: flipped axes of length 1 keep negative strides


def sides(padding: Any) -> tuple[int, int, int, int]:
    """As torch.nn.functional.pad wants it: the last axis first."""
    (top, bottom), (left, right) = padding
    return left, right, top, bottom


def in_torchs_domain(p: Any) -> bool:
    """PyTorch pads both sides alike and by at most half a window."""
    return all(before == after <= k // 2 for (before, after), k in zip(p.padding, p.kernel_size, strict=True))
