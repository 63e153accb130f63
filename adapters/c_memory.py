"""Arrays for C: copies between guard bands, so that a write beside an output or into an input is noticed."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ALIGNMENT = 64  # a cache line, a vector of AVX-512: times do not depend on where memory happened to be
GUARD = 1024  # bytes on each side of an array
# Guard bands and the outputs before the call hold signalling NaNs, which no arithmetic gives.
POISON: dict[np.dtype[Any], Any] = {
    np.dtype("float32"): np.uint32(0x7FA5A5A5),
    np.dtype("float64"): np.uint64(0x7FF5A5A5A5A5A5A5),
}
BANDS = {dtype: number.tobytes() * (GUARD // number.itemsize) for dtype, number in POISON.items()}

# Memory of an earlier call, for the next one: fresh pages cost more than most convolutions.
_spare: list[bytearray] = []
KEPT = 1 << 26  # bytes; what is larger is given back


class GuardViolation(RuntimeError):
    """The kernel wrote to memory that is not its output; the message says beside or into which array."""


class GuardedBuffers:
    """Copies of the inputs and room for the outputs, in one piece of memory, each with guard bands around it.

    `outputs` are the shapes by name. What is None is absent. `addresses` holds where each input lies and then each
    output, None for an absent one.
    """

    def __init__(
        self, inputs: Mapping[str, Array | None], outputs: Mapping[str, Sequence[int] | None], dtype: np.dtype[Any]
    ) -> None:
        self.dtype = dtype
        self.inputs = {name: np.ascontiguousarray(a) for name, a in inputs.items() if a is not None}
        self.outputs = tuple(outputs)
        shapes: dict[str, Sequence[int]] = {name: a.shape for name, a in self.inputs.items()}
        shapes |= {name: lengths for name, lengths in outputs.items() if lengths is not None}
        at, starts = GUARD, []
        for lengths in shapes.values():
            starts.append(at)
            at += math.prod(lengths) * dtype.itemsize + 2 * GUARD
            at += -at % ALIGNMENT
        memory = _spare.pop() if _spare else bytearray()
        if len(memory) < at + ALIGNMENT:
            memory = bytearray(at + ALIGNMENT)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        first = -address % ALIGNMENT
        self.memory, self.band = memory, BANDS[dtype]
        self.places: dict[str, Array] = {}
        self.limits: dict[str, tuple[int, int]] = {}
        poison = POISON[dtype]
        for (name, lengths), start in zip(shapes.items(), starts, strict=True):
            place: Array = np.ndarray(lengths, dtype, memory, first + start)
            start, stop = first + start, first + start + place.nbytes
            memory[start - GUARD : start] = self.band
            memory[stop : stop + GUARD] = self.band
            self.places[name], self.limits[name] = place, (start, stop)
            if name in self.inputs:
                place[...] = self.inputs[name]
            else:
                place.view(poison.dtype).fill(poison)
        self.addresses = [address + self.limits[n][0] if n in self.limits else None for n in (*inputs, *outputs)]

    def damage(self) -> str:
        """What the kernel wrote outside its outputs, in words; empty if it kept to them."""
        holds, band = self.memory.startswith, self.band
        for name, (start, stop) in self.limits.items():
            if not holds(band, start - GUARD):
                return f"in front of {name}"
            if not holds(band, stop):
                return f"behind {name}"
            if name in self.inputs and not holds(self.inputs[name], start):  # type: ignore[arg-type]  # any buffer
                return f"into its input {name}"
        return ""

    def take(self) -> list[Array | None]:
        """Copies of the outputs in order. Raises GuardViolation if the kernel wrote anywhere else. The buffers are used
        up."""
        damage = self.damage()
        taken = [self.places[name].copy() if name in self.places else None for name in self.outputs]
        if len(self.memory) <= KEPT and not _spare:
            _spare.append(self.memory)
        if damage:
            raise GuardViolation(f"wrote {damage}")
        return taken
