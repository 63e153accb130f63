"""What travels between the suite and the child process of a backend: problems, answers, and how they are packed.

A view arrives as a view, with the strides that it had of the memory that it had, so that a backend sees what the suite
made. Nothing but plain data is unpacked on the suite's side: an answer of some other type arrives as a
stand-in that knows the name of its type.
"""

from __future__ import annotations

import pickle
import socket
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

import convspec.reference
from convspec.reference import Op
from convspec.reference.formats import dtype_named, name_of

Tensor = npt.NDArray[Any]

_LENGTH = struct.Struct("=Q")


class Closed(Exception):
    """The other side is gone."""


def send(to: socket.socket, message: Any) -> None:
    """One message: its length, then its bytes."""
    data = pickle.dumps(message, 5)
    try:
        to.sendall(_LENGTH.pack(len(data)) + data)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Closed from error


def receive(source: socket.socket) -> Any:
    """The next message. Raises Closed at the end, TimeoutError where the socket has a timeout and it runs out."""
    length = _LENGTH.unpack(_exactly(source, _LENGTH.size))[0]
    return pickle.loads(_exactly(source, length))


def _exactly(source: socket.socket, count: int) -> bytes:
    """So many bytes. What a timeout interrupts must not be read on: the stream is out of step."""
    parts, left = [], count
    while left:
        try:
            part = source.recv(min(left, 1 << 20))
        except ConnectionResetError:
            part = b""
        if not part:
            raise Closed
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


# Problems.


def packed(problem: Op) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The class, the parameters and the arrays of a problem; an array that is another one is named, not sent again."""
    arrays: dict[str, Any] = {}
    first: dict[int, str] = {}
    for name, array in problem.arrays().items():
        same = first.setdefault(id(array), name)
        arrays[name] = _packed_array(array) if same == name else same
    return type(problem).__name__, problem.parameters(), arrays


def unpacked(message: tuple[str, dict[str, Any], dict[str, Any]]) -> Op:
    """The problem that was packed."""
    name, parameters, packed_arrays = message
    operation: type[Op] = getattr(convspec.reference, name)
    arrays: dict[str, Tensor] = {}
    for field, told in packed_arrays.items():
        arrays[field] = arrays[told] if isinstance(told, str) else _unpacked_array(told)
    return operation(**parameters, **arrays)


def _packed_array(array: Tensor) -> tuple[Any, ...]:
    """The memory of an array, and for a view the whole memory that it is a view of."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if not (owner.flags.c_contiguous or owner.flags.f_contiguous):
        owner = array = np.array(array, order="C")  # memory of somebody else, such as a mapped file
    memory = owner.tobytes("A"), name_of(owner.dtype), owner.shape, "C" if owner.flags.c_contiguous else "F"
    view = None
    if array is not owner:
        offset = array.ctypes.data - owner.ctypes.data
        view = name_of(array.dtype), array.shape, array.strides, offset
    return memory, view, array.flags.writeable


def _unpacked_array(message: tuple[Any, ...]) -> Tensor:
    (data, dtype, shape, order), view, writeable = message
    array: Tensor = np.empty(shape, dtype_named(dtype), order)
    array.ravel(order="K").view(np.uint8)[...] = np.frombuffer(data, np.uint8)
    if view is not None:
        dtype, shape, strides, offset = view
        array = np.ndarray(shape, dtype_named(dtype), array, offset, strides)
    array.flags.writeable = writeable
    return array


# Answers.


def packed_answer(answer: Any) -> Any:
    """An answer as plain data: arrays with their dtype, tuples, None, and of anything else the name of its type."""
    if isinstance(answer, tuple):
        return "tuple", [packed_answer(one) for one in answer]
    if answer is None:
        return "none", None
    if isinstance(answer, (np.ndarray, np.generic)) and answer.dtype.kind != "O":
        array = np.asarray(answer)
        kind = "array" if isinstance(answer, np.ndarray) else "scalar"
        return kind, (array.tobytes(), name_of(array.dtype), array.shape)
    return "other", (type(answer).__module__, type(answer).__qualname__)


def unpacked_answer(message: Any) -> Any:
    """What was packed; in place of something else, an object of a type with the same name."""
    kind, content = message
    if kind == "tuple":
        return tuple(unpacked_answer(one) for one in content)
    if kind == "none":
        return None
    if kind in ("array", "scalar"):
        data, dtype, shape = content
        array: Tensor = np.frombuffer(data, dtype_named(dtype)).reshape(shape).copy()
        return array if kind == "array" else array[()]
    module, name = content
    return type(name, (), {"__module__": module, "__qualname__": name})()
