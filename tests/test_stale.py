"""An element that a backend never writes shows, whatever its memory held before."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from convspec.adapters import Backend, backend
from convspec.reference import Pad2d, Relu

HALF = 512  # bytes: half of what NumPy keeps of each size


class NeverWritesTheLast:
    """relu, but for the last element of the output."""

    def relu(self, problem: Any) -> npt.NDArray[Any]:
        y = np.empty(problem.x.shape, problem.x.dtype)
        y[:-1] = np.maximum(problem.x[:-1], 0)
        return y


def answer_where_memory_held_it(size: int) -> npt.NDArray[Any]:
    """The answer for ones, out of memory that held the right answer to them just before."""
    problem = Relu(x=np.ones(size, np.float32))
    held = [np.ones(size, np.float32) for _ in range(4)]
    del held
    return np.array(Backend.of("b", NeverWritesTheLast(), "test").call(problem))


@pytest.mark.parametrize("size", [1, 7, HALF // 4, 1000, 5000])
def test_the_element_is_nan(size: int) -> None:
    assert np.isnan(answer_where_memory_held_it(size)[-1])


@pytest.mark.parametrize("size", [7, HALF // 4])
def test_without_spoilt_memory_it_would_be_right_by_chance(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "spoil", lambda problem: None)
    assert answer_where_memory_held_it(size)[-1] == 1


@pytest.mark.parametrize("padding", [((0.5, 0), (0, 0)), "as ONNX has it", ((-9, 0), (0, 0)), ((10**9, 0), (0, 0))])
def test_an_invalid_problem_is_left_to_the_backend(padding: Any) -> None:
    problem = Pad2d(x=np.ones((1, 1, 2, 2), np.float32), padding=padding)
    backend.spoil(problem)
    assert "axes" not in vars(problem)


def test_a_problem_without_elements_is_left_to_the_backend() -> None:
    refused = Relu(x=np.ones((0, 3), np.float32))
    assert Backend.of("b", NeverWritesTheLast(), "test").call(refused).shape == (0, 3)
