"""Arrays for C: copies between pages that may not be touched, so that what a kernel does outside of one is noticed.

A read or a write beyond the one end of an array ends the process at once; a write beyond the other end, or into an
input, is found after the call.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PAGE = mmap.PAGESIZE
GUARD = 1024  # bytes beside an array that are looked at after the call, where no forbidden page follows
# An array that ends at a forbidden page ends there to the byte: it is aligned to its elements, as a slice of a caller's
# array is, and to no more. Only large ones keep to cache lines, so that times do not depend on luck.
LARGE, CACHE_LINE = 1 << 20, 64
# Guard bands and the outputs before the call hold signalling NaNs, which no arithmetic gives.
POISON: dict[np.dtype[Any], Any] = {
    np.dtype("float32"): np.uint32(0x7FA5A5A5),
    np.dtype("float64"): np.uint64(0x7FF5A5A5A5A5A5A5),
}
BANDS = {dtype: number.tobytes() * (GUARD // number.itemsize) for dtype, number in POISON.items()}

KEPT = 1 << 26  # bytes; larger memory is given back after the call


class GuardViolation(RuntimeError):
    """The kernel wrote to memory that is not its output; the message says beside or into which array."""


class Room:
    """`size` bytes of memory, a whole number of pages, between two pages that may be neither read nor written."""

    _spare: dict[int, list[Room]] = {}  # noqa: RUF012  (fresh pages cost more than most convolutions)

    def __init__(self, size: int) -> None:
        self.size = size
        self.memory = mmap.mmap(-1, size + 2 * PAGE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        for page in (self.address, self.address + PAGE + size):
            _forbid(page)

    @classmethod
    def of(cls, least: int) -> Room:
        """A room of at least so many bytes, perhaps one that an earlier call had."""
        size = PAGE << max(0, -(-least // PAGE) - 1).bit_length()
        try:
            return cls._spare.get(size, []).pop()
        except IndexError:  # none left, or another thread took the last
            return cls(size)

    def leave(self) -> None:
        """Keep it for a later call."""
        if self.size <= KEPT:
            self._spare.setdefault(self.size, []).append(self)


def _forbid(page: int) -> None:
    """Let nobody read or write this page, where the system can do that."""
    if os.name != "posix":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), ctypes.c_int(0)):
        raise OSError(ctypes.get_errno(), "mprotect: a page cannot be made inaccessible")


class _Place:
    """One array in a room: at its end or at its start, poisoned or filled."""

    def __init__(self, shape: Sequence[int], dtype: np.dtype[Any], at_end: bool) -> None:
        size = math.prod(shape) * dtype.itemsize
        step = CACHE_LINE if size >= LARGE else dtype.itemsize
        self.room = Room.of(max(size, 1))
        self.start = PAGE + (self.room.size - (size + -size % step) if at_end else 0)
        self.stop = self.start + size
        self.array: Array = np.ndarray(shape, dtype, self.room.memory, self.start)
        band = BANDS[dtype]
        self.before = band[: min(GUARD, self.start - PAGE)]
        self.behind = band[: min(GUARD, PAGE + self.room.size - self.stop)]
        self.room.memory[self.start - len(self.before) : self.start] = self.before
        self.room.memory[self.stop : self.stop + len(self.behind)] = self.behind

    @property
    def address(self) -> int:
        return self.room.address + self.start

    def damage(self) -> str:
        """Beside which end something was written, in words."""
        memory = self.room.memory
        if memory[self.start - len(self.before) : self.start] != self.before:
            return "in front of"
        if memory[self.stop : self.stop + len(self.behind)] != self.behind:
            return "behind"
        return ""


# The fraction bits of a number, and how many numbers a side is chosen by.
FRACTION: dict[np.dtype[Any], Any] = {
    np.dtype("float32"): np.uint32((1 << 23) - 1),
    np.dtype("float64"): np.uint64((1 << 52) - 1),
}
CHOOSING = 64
MIXING = 0x9E3779B1  # odd; a checksum alone is linear: single bits of it do not see all of the numbers


def ends(shapes: Sequence[tuple[int, ...]], first: Array) -> bool:
    """Do arrays of these shapes lie at the end of their rooms, where `first` is one of them?

    One half of all calls, and of those with the same shapes, but the same call always: where an array lies may decide
    in which order a kernel adds. So do calls whose numbers differ in sign or by powers of two, which laws compare to
    the bit.
    """
    fraction = FRACTION[first.dtype]
    fractions = first.reshape(-1)[:CHOOSING].view(fraction.dtype) & fraction
    mixed = crc32(fractions.tobytes(), crc32(repr(shapes).encode())) * MIXING
    return bool(mixed >> 31 & 1)


class GuardedBuffers:
    """Copies of the inputs and room for the outputs, each between forbidden pages.

    `outputs` are the shapes by name. What is None is absent. `addresses` holds where each input lies and then each
    output, None for an absent one.
    """

    def __init__(
        self, inputs: Mapping[str, Array | None], outputs: Mapping[str, Sequence[int] | None], dtype: np.dtype[Any]
    ) -> None:
        self.inputs = {name: np.ascontiguousarray(a) for name, a in inputs.items() if a is not None}
        self.outputs = tuple(outputs)
        shapes: dict[str, Sequence[int]] = {name: a.shape for name, a in self.inputs.items()}
        shapes |= {name: lengths for name, lengths in outputs.items() if lengths is not None}
        at_end = ends([tuple(lengths) for lengths in shapes.values()], next(iter(self.inputs.values())))
        self.places: dict[str, _Place] = {}
        poison = POISON[dtype]
        for name, lengths in shapes.items():
            place = self.places[name] = _Place(lengths, dtype, at_end)
            if name in self.inputs:
                place.array[...] = self.inputs[name]
            else:
                place.array.view(poison.dtype).fill(poison)
        self.addresses = [self.places[n].address if n in self.places else None for n in (*inputs, *outputs)]

    def written(self) -> list[bytes]:
        """What the outputs hold."""
        return [self.places[name].array.tobytes() for name in self.outputs if name in self.places]

    def damage(self) -> str:
        """What the kernel wrote outside its outputs, in words; empty if it kept to them."""
        for name, place in self.places.items():
            where = place.damage()
            if where:
                return f"{where} {name}"
            if name in self.inputs and place.array.tobytes() != self.inputs[name].tobytes():
                return f"into its input {name}"
        return ""

    def take(self) -> list[Array | None]:
        """Copies of the outputs in order. Raises GuardViolation if the kernel wrote anywhere else. The buffers are used
        up."""
        damage = self.damage()
        taken = [self.places[name].array.copy() if name in self.places else None for name in self.outputs]
        for place in self.places.values():
            place.room.leave()
        if damage:
            raise GuardViolation(f"wrote {damage}")
        return taken
