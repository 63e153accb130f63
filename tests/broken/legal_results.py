"""What is right in unusual bits or unusual memory: signs of zeros, NaN's payload, strides, what may be written to."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Op

from .base import Right, Tensor, each


class AnswersInFortranOrder(Right):
    """The result lies in memory with its first axis fastest."""

    def answer(self, problem: Op) -> Any:
        return each(super().answer(problem), np.asfortranarray)


class AnswersReadOnly(Right):
    """The result may not be written to."""

    def answer(self, problem: Op) -> Any:
        return each(super().answer(problem), _locked)


def _locked(y: Tensor) -> Tensor:
    y.flags.writeable = False
    return y


class AnswersInPartOfABuffer(Right):
    """The result is every second element of a larger buffer, backwards."""

    def answer(self, problem: Op) -> Any:
        return each(super().answer(problem), _in_a_buffer)


def _in_a_buffer(y: Tensor) -> Tensor:
    buffer = np.full((*y.shape[:-1], 2 * y.shape[-1] + 1), np.nan, y.dtype)
    view = buffer[..., 1::2][..., ::-1]
    view[...] = y
    return view


class GivesZerosASign(Right):
    """A sum that is zero comes back as -0, whatever was added up."""

    def answer(self, problem: Op) -> Any:
        return each(super().answer(problem), lambda y: np.where(y == 0, np.asarray(-0.0, y.dtype), y))


class ChangesThePayloadOfNaN(Right):
    """Where a result is NaN, it has a sign and a payload of its own."""

    def answer(self, problem: Op) -> Any:
        return each(super().answer(problem), _other_nan)


def _other_nan(y: Tensor) -> Tensor:
    whole = {4: np.uint32, 8: np.uint64}[y.itemsize]
    nan = np.asarray(np.nan, y.dtype).view(whole) | whole(1 << (8 * y.itemsize - 1)) | whole(0x1234)
    return np.asarray(np.where(np.isnan(y), nan.view(y.dtype), y), y.dtype)


LEGAL_RESULTS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (AnswersInFortranOrder, ("pad2d", "relu", "linear", "locally_connected2d", "dropout2d", "batch_norm2d")),
    (AnswersInFortranOrder, ("max_pool2d", "linear_backward", "conv_block")),
    (AnswersReadOnly, ("relu", "linear", "pad2d", "batch_norm2d", "linear_backward", "stack")),
    (AnswersInPartOfABuffer, ("convolve2d", "relu", "linear", "conv2d", "max_pool2d", "linear_backward")),
    (AnswersInPartOfABuffer, ("stack", "lenet5")),
    (GivesZerosASign, ("conv2d", "linear", "avg_pool2d", "layer_norm", "linear_backward", "max_pool2d_backward")),
    (ChangesThePayloadOfNaN, ("conv2d", "linear", "relu", "max_pool2d", "layer_norm")),
)
