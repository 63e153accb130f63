"""Bugs that any operation can have in memory: whose it is, how it is read, and what is left in it by another call."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from convspec.reference import Op

from .base import Right, Tensor, broken, each


@broken(every="results_are_memory_of_their_own")
class HandsOutOneBuffer(Right):
    """Every answer of a shape is written into one buffer, which is handed out again and again."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[int, ...], Tensor] = {}

    def answer(self, problem: Op) -> Any:
        return each(super().answer(problem), self.kept)

    def kept(self, y: Tensor) -> Tensor:
        buffer = self.buffers.setdefault((*y.shape, y.itemsize), np.empty_like(y))
        buffer[...] = y
        return buffer


@broken(**dict.fromkeys(("conv2d", "relu", "avg_pool2d", "linear"), "within_the_bound"))
class NeverWritesTheLast(Right):
    """The last element of the output is whatever its memory held before."""

    def answer(self, problem: Op) -> Any:
        problem.validate()
        y = np.empty(problem.output_shape(), problem.dtype)
        y.reshape(-1)[:-1] = super().answer(problem).reshape(-1)[:-1]
        return y


@broken(every="repeating_a_call_repeats_the_bits")
class RepeatsAllButTheLastBit(Right):
    """Every second call differs in the last bit, as an atomic sum in no fixed order does."""

    calls = 0

    def answer(self, problem: Op) -> Any:
        self.calls += 1
        odd = self.calls % 2
        return each(super().answer(problem), lambda y: np.nextafter(y, np.inf, dtype=y.dtype) if odd else y)


@broken(every="calls_in_between_change_nothing")
class PacksWhatLiesThereOnce(Right):
    """An array is packed when its memory is first seen, and found again by where it lies, whatever lies there now."""

    def __init__(self) -> None:
        self.packed: dict[tuple[int, tuple[int, ...]], Tensor] = {}
        self.alive: list[Op] = []  # so that no memory is given to another array

    def answer(self, problem: Op) -> Any:
        self.alive.append(problem)
        return super().answer(problem.but(**{name: self.found(a) for name, a in problem.arrays().items()}))

    def found(self, array: Tensor) -> Tensor:
        return self.packed.setdefault((array.ctypes.data, array.shape), np.array(array))


@broken(every="threads_do_not_disturb_each_other")
class WorksOnWhatCameLast(Right):
    """What a call works on is kept in the object, where the call of another thread finds it."""

    def answer(self, problem: Op) -> Any:
        self.problem = problem
        time.sleep(1e-4)  # the other thread's turn
        return super().answer(self.problem)


@broken(every="arguments_are_not_modified")
class WorksInPlace(Right):
    """x is used as the working space and left changed.

    Only for the clause that hands out copies: all others share their problems with the backends that follow.
    """

    def answer(self, problem: Op) -> Any:
        y = super().answer(problem)
        x = problem.arrays()["x"]
        if x.flags.writeable:
            x += 1
        return y


@broken(every="views_equal_copies")
class IgnoresStrides(Right):
    """The memory behind an array is read from its first element onwards, whatever its strides."""

    def answer(self, problem: Op) -> Any:
        return super().answer(problem.but(**{name: in_memory(a) for name, a in problem.arrays().items()}))


def in_memory(array: Tensor) -> Tensor:
    """The elements that follow the first one in memory; where the memory ends, zeros."""
    if array.flags.c_contiguous or not array.size:
        return array
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    memory = owner.ravel(order="K")
    start = (array.ctypes.data - owner.ctypes.data) // array.itemsize
    found = memory[start : start + array.size]
    return np.append(found, np.zeros(array.size - found.size, array.dtype)).reshape(array.shape)


@broken(every="views_equal_copies")
class RefusesNegativeSteps(Right):
    """Arrays with negative strides are refused."""

    def answer(self, problem: Op) -> Any:
        if any(stride < 0 for a in problem.arrays().values() for stride in a.strides):
            raise ValueError("some of the strides are negative")
        return super().answer(problem)


# No layer of LeNet-5 takes fewer elements than its first: an image of 28 x 28 and a filter of 5 x 5.
@broken(28 * 28 + 5 * 5, lenet5="every_layer_is_within_its_bound exact_on_integers")
@broken(every="repeating_a_call_repeats_the_bits", lenet5="")
class RemembersTheLastCall(Right):
    """An output starts at what the last one of as many elements left in the accumulator."""

    def __init__(self) -> None:
        self.last: dict[int, Tensor] = {}

    def answer(self, problem: Op) -> Any:
        return each(super().answer(problem), self.added)

    def added(self, y: Tensor) -> Tensor:
        if y.size in self.last:
            y = y + self.last[y.size].reshape(y.shape)
        self.last[y.size] = y
        return y
