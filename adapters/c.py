"""Kernels with the C interface of `kernel/convspec.h`, through ctypes, and the one that comes with convspec.

Every array is handed over as a copy with a guard band on both sides, so that a kernel that writes beside its
output or into its inputs is reported and not merely wrong. What C can see is left for C to check: nothing
here validates a problem. Reading beside an input is not noticed as such, but the guard bands read as NaN.
"""

from __future__ import annotations

import ctypes
import math
import operator
import os
import platform
import re
import shlex
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import AvgPool2d, Conv2d, Convolve2d, Linear, MaxPool2d, Pad2d, Relu

from .backend import CannotLoad, Unsupported

Array = npt.NDArray[Any]
Numbers = Iterable[Any]

KERNEL = Path(__file__).with_name("kernel")
SUFFIXES = {"float32": "_f32", "float64": "_f64"}
MODES = {"zeros": 0, "replicate": 1, "reflect": 2, "circular": 3}  # enum convspec_mode
INVALID, UNSUPPORTED, NO_MEMORY = 1, 2, 3  # enum convspec_status


class GuardViolation(RuntimeError):
    """The kernel wrote to memory that is not its output; the message says beside or into which array."""


# Marshalling: one struct of convspec.h per operation, its members in order, every one int64_t.

STRUCTS = {
    "conv2d": "n c h w k weight_c r s bias_k stride[2] padding[2][2] padding_mode dilation[2] groups",
    "convolve2d": "h w r s",
    "pad2d": "n c h w padding[2][2] mode",
    "max_pool2d": "n c h w kernel_size[2] stride[2] padding[2][2] dilation[2] ceil_mode",
    "avg_pool2d": "n c h w kernel_size[2] stride[2] padding[2][2] ceil_mode count_include_pad",
    "relu": "elements",
    "linear": "n f o weight_f bias_o",
}
ARRAYS: dict[str, tuple[str, ...]] = {
    "conv2d": ("x", "weight", "bias"),
    "convolve2d": ("x", "kernel"),
    "pad2d": ("x",),
    "max_pool2d": ("x",),
    "avg_pool2d": ("x",),
    "relu": ("x",),
    "linear": ("x", "weight", "bias"),
}
RANKS = {"conv2d": 4, "convolve2d": 2, "pad2d": 4, "max_pool2d": 4, "avg_pool2d": 4, "relu": 1, "linear": 2}


def structure(operation: str) -> type[ctypes.Structure]:
    """The ctypes twin of `struct <operation>`."""
    fields: list[tuple[str, Any]] = []
    for member in STRUCTS[operation].split():
        name, *lengths = member.replace("]", "").split("[")
        kind: Any = ctypes.c_int64
        for length in reversed(lengths):
            kind = kind * int(length)
        fields.append((name, kind))
    return type(operation, (ctypes.Structure,), {"_fields_": fields})


def _sizes(name: str, array: Array, rank: int) -> tuple[int, ...]:
    if array.ndim != rank:
        raise ValueError(f"{name} has {array.ndim} axes; it must have {rank}")
    return array.shape


def _length(name: str, array: Array | None) -> int:
    return -1 if array is None else _sizes(name, array, 1)[0]


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError(f"{name} is {value!r}; it must be a pair")
    return value


def _padding(value: Any) -> Numbers:
    rows, columns = _pair("padding", value)
    return *_pair("padding of the rows", rows), *_pair("padding of the columns", columns)


def _mode(word: str) -> int:
    return MODES.get(word, -1)


def _conv2d(p: Conv2d) -> Numbers:
    return (
        *_sizes("x", p.x, 4),
        *_sizes("weight", p.weight, 4),
        _length("bias", p.bias),
        *_pair("stride", p.stride),
        *_padding(p.padding),
        _mode(p.padding_mode),
        *_pair("dilation", p.dilation),
        p.groups,
    )


def _convolve2d(p: Convolve2d) -> Numbers:
    return *_sizes("x", p.x, 2), *_sizes("kernel", p.kernel, 2)


def _pad2d(p: Pad2d) -> Numbers:
    return *_sizes("x", p.x, 4), *_padding(p.padding), _mode(p.mode)


def _max_pool2d(p: MaxPool2d) -> Numbers:
    return (
        *_sizes("x", p.x, 4),
        *_pair("kernel_size", p.kernel_size),
        *_pair("stride", p.stride),
        *_padding(p.padding),
        *_pair("dilation", p.dilation),
        bool(p.ceil_mode),
    )


def _avg_pool2d(p: AvgPool2d) -> Numbers:
    return (
        *_sizes("x", p.x, 4),
        *_pair("kernel_size", p.kernel_size),
        *_pair("stride", p.stride),
        *_padding(p.padding),
        bool(p.ceil_mode),
        bool(p.count_include_pad),
    )


def _relu(p: Relu) -> Numbers:
    return (p.x.size,)


def _linear(p: Linear) -> Numbers:
    return *_sizes("x", p.x, 2), *_sizes("weight", p.weight, 2), _length("bias", p.bias)


MARSHAL: dict[str, Callable[[Any], Numbers]] = {
    "conv2d": _conv2d,
    "convolve2d": _convolve2d,
    "pad2d": _pad2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "relu": _relu,
    "linear": _linear,
}


# Memory.

ALIGNMENT = 64  # a cache line, a vector of AVX-512: times do not depend on where memory happened to be
GUARD = 1024  # bytes on each side of an array
# Guard bands and the output before the call hold signalling NaNs, which no arithmetic gives.
POISON: dict[np.dtype[Any], Any] = {
    np.dtype("float32"): np.uint32(0x7FA5A5A5),
    np.dtype("float64"): np.uint64(0x7FF5A5A5A5A5A5A5),
}
BANDS = {dtype: number.tobytes() * (GUARD // number.itemsize) for dtype, number in POISON.items()}

# Memory of an earlier call, for the next one: fresh pages cost more than most convolutions.
_spare: list[bytearray] = []
KEPT = 1 << 26  # bytes; what is larger is given back


class GuardedBuffers:
    """Copies of the inputs and room for the output, in one piece of memory, each with guard bands around it.

    `addresses` holds where each input lies (None for an absent one) and then the output.
    """

    def __init__(self, inputs: dict[str, Array | None], shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.inputs = {name: np.ascontiguousarray(a) for name, a in inputs.items() if a is not None}
        shapes: dict[str, Sequence[int]] = {name: a.shape for name, a in self.inputs.items()} | {"y": shape}
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
        for (name, lengths), start in zip(shapes.items(), starts, strict=True):
            place: Array = np.ndarray(lengths, dtype, memory, first + start)
            start, stop = first + start, first + start + place.nbytes
            memory[start - GUARD : start] = self.band
            memory[stop : stop + GUARD] = self.band
            self.places[name], self.limits[name] = place, (start, stop)
        for name, array in self.inputs.items():
            self.places[name][...] = array
        poison = POISON[dtype]
        self.places["y"].view(poison.dtype).fill(poison)
        self.addresses = [address + self.limits[n][0] if n in self.limits else None for n in (*inputs, "y")]

    def damage(self) -> str:
        """What the kernel wrote outside y, in words; empty if it kept to y."""
        holds, band = self.memory.startswith, self.band
        for name, (start, stop) in self.limits.items():
            if not holds(band, start - GUARD):
                return f"in front of {name}"
            if not holds(band, stop):
                return f"behind {name}"
            if name in self.inputs and not holds(self.inputs[name], start):  # type: ignore[arg-type]  # any buffer
                return f"into its input {name}"
        return ""

    def output(self) -> Array:
        """A copy of y. Raises GuardViolation if the kernel wrote anywhere else. The buffers are used up."""
        damage = self.damage()
        y = self.places["y"].copy()
        if len(self.memory) <= KEPT and not _spare:
            _spare.append(self.memory)
        if damage:
            raise GuardViolation(f"wrote {damage}")
        return y


# Calling.


def _refuse(operation: str, status: int) -> None:
    if status == UNSUPPORTED:
        raise Unsupported(f"{operation}: the library says it is not built for this problem (status 2)")
    if status == NO_MEMORY:
        raise MemoryError(f"{operation}: the library found no memory (status 3)")
    reason = "invalid problem" if status == INVALID else "not a status of convspec.h"
    raise ValueError(f"{operation}: refused, status {status} ({reason})")


class Function:
    """One operation of a library: called with a problem, it returns the output."""

    def __init__(self, operation: str, library: ctypes.CDLL) -> None:
        self.operation = operation
        self.names = ARRAYS[operation]
        self.marshal = MARSHAL[operation]
        self.structure = structure(operation)
        self.pack = struct.Struct(f"={ctypes.sizeof(self.structure) // 8}q").pack
        self.shapes = ctypes.c_int64 * RANKS[operation]
        self.shape = _symbol(library, f"{operation}_shape", 2)
        self.compute: dict[np.dtype[Any], Any] = {}
        for dtype, suffix in SUFFIXES.items():
            function = _symbol(library, operation + suffix, 2 + len(self.names))
            if function is not None:
                self.compute[np.dtype(dtype)] = function

    def parameters(self, problem: Any) -> ctypes.Structure:
        """The problem as the C struct: sizes and parameters, every number whole."""
        numbers = [operator.index(v) for v in self.marshal(problem)]
        try:
            return self.structure.from_buffer_copy(self.pack(*numbers))
        except struct.error:
            raise ValueError(f"{self.operation}: a number does not fit 64 bits: {numbers}") from None

    def __call__(self, problem: Any) -> Array:
        arrays: dict[str, Array | None] = {name: getattr(problem, name) for name in self.names}
        dtype = problem.x.dtype
        compute = self.compute.get(dtype)
        if compute is None:
            if dtype.kind in "cb":
                raise TypeError(f"{self.operation}: x is {dtype}; it must be real numbers")
            raise Unsupported(f"{self.operation}: the library has no {dtype} version")
        for name, array in arrays.items():
            if array is not None and array.dtype != dtype:
                raise TypeError(f"{self.operation}: {name} is {array.dtype}; it must be {dtype}, like x")
        parameters = ctypes.byref(self.parameters(problem))
        shape = self.shapes()
        status = self.shape(parameters, shape)
        if status:
            _refuse(self.operation, status)
        sizes = tuple(shape)
        if min(sizes) < 0:
            raise RuntimeError(f"{self.operation}: {self.operation}_shape gave the negative size {sizes}")
        buffers = GuardedBuffers(arrays, sizes, dtype)
        status = compute(parameters, *buffers.addresses)
        try:
            y = buffers.output()
        except GuardViolation as violation:
            raise GuardViolation(f"{self.operation}: the kernel {violation}") from None
        if status:
            _refuse(self.operation, status)
        return y.reshape(problem.x.shape) if self.operation == "relu" and y.size == problem.x.size else y


def _symbol(library: ctypes.CDLL, name: str, arguments: int) -> Any:
    try:
        function = library[name]
    except AttributeError:
        return None
    function.argtypes = [ctypes.c_void_p] * arguments
    function.restype = ctypes.c_int
    return function


class CLibrary:
    """A shared library with the C interface. It has a method for each operation whose symbols it exports.

    An operation needs `<operation>_shape` and one or both of `<operation>_f32` and `<operation>_f64`.
    Raises CannotLoad.
    """

    version = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        try:
            library = ctypes.CDLL(str(path.resolve()))
        except OSError as error:
            raise CannotLoad(f"{path.name}: cannot be loaded as a shared library: {error}") from None
        dtypes: set[str] = set()
        for operation in STRUCTS:
            function = Function(operation, library)
            if not function.compute:
                continue
            if function.shape is None:
                raise CannotLoad(f"{path.name}: exports {operation} but not {operation}_shape; it must export both")
            setattr(self, operation, function)
            dtypes |= {dtype.name for dtype in function.compute}
        if not dtypes:
            raise CannotLoad(f"{path.name}: exports no operation of convspec.h, such as conv2d_shape with conv2d_f32")
        self.dtypes = tuple(d for d in SUFFIXES if d in dtypes)


class CKernel(CLibrary):
    """The kernel that comes with convspec: plain C99, compiled for this machine when it is first used."""

    conv2d: Function
    convolve2d: Function
    pad2d: Function
    max_pool2d: Function
    avg_pool2d: Function
    relu: Function
    linear: Function

    def __init__(self) -> None:
        command = compiler()
        sources = [KERNEL / name for name in ("shape.c", "kernel_f32.c", "kernel_f64.c")]
        super().__init__(compiled("c", command, sources, sorted(KERNEL.glob("*.[ch]"))))
        self.name = "c"
        self.version = version_of(command)


# Compiling.

# No -ffast-math: it would let compilers assume that there is no NaN. Contraction to fused multiply-adds is
# harmless: it only rounds less.
FLAGS = ("-O3", "-std=c99", "-ffp-contract=fast", "-fPIC", "-shared")
NATIVE = "-march=native"  # not every compiler knows it for every machine


def compiler() -> tuple[str, ...]:
    """The command of the C compiler: $CC, or the first of cc, gcc, clang. Raises CannotLoad."""
    chosen = os.environ.get("CC", "").strip()
    if chosen:
        command = tuple(shlex.split(chosen))
        if shutil.which(command[0]) is None:
            raise CannotLoad(f"c: $CC is {chosen!r}, which is no program; it must name a C compiler")
        return command
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name) is not None:
            return (name,)
    raise CannotLoad("c: no C compiler (cc, gcc, clang) is on the PATH; install one, or name one in $CC")


def version_of(command: Sequence[str]) -> str:
    """The first line of what the compiler says about its version."""
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError as error:
        raise CannotLoad(f"c: {command[0]} cannot be run: {error.strerror}; set $CC to a C compiler") from None
    return said.partition("\n")[0].strip()


def compiled(name: str, command: Sequence[str], sources: Sequence[Path], parts: Sequence[Path]) -> Path:
    """The shared library of `sources`, compiled now or found in the user's cache. Raises CannotLoad.

    `parts` are all files that the result depends on. The library is made for this processor: its cache key
    holds the processor, the compiler's version, the flags and the contents of all parts.
    """
    key = sha256()
    for text in (*command, version_of(command), *FLAGS, NATIVE, _processor()):
        key.update(text.encode() + b"\0")
    for part in parts:
        key.update(part.name.encode() + b"\0" + sha256(part.read_bytes()).digest())
    folder = _cache()
    library = folder / f"{name}-{key.hexdigest()[:24]}.so"
    if library.is_file():
        return library
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=".so", dir=folder)
    except OSError as error:
        raise CannotLoad(f"c: cannot write to {folder}: {error.strerror}; set XDG_CACHE_HOME") from None
    os.close(handle)
    try:
        error_text = ""
        for native in ((NATIVE,), ()):
            line = [*command, *native, *FLAGS, f"-I{KERNEL}", "-o", temporary, *map(str, sources), "-lm"]
            done = subprocess.run(line, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                os.replace(temporary, library)  # whole or not at all, whoever else is compiling
                return library
            error_text = done.stderr
        raise CannotLoad(f"c: {command[0]} cannot compile the kernel: {_first_error(error_text)}")
    finally:
        Path(temporary).unlink(missing_ok=True)


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\berror\b", line)]
    return (errors or lines or ["it does not say why"])[0]


def _cache() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(chosen) if os.path.isabs(chosen) else Path(os.path.expanduser("~")) / ".cache"
    return base / "convspec"


# The lines of /proc/cpuinfo that name the model and its features, on x86, Arm and RISC-V.
PROCESSOR = frozenset(("cpu family", "model", "model name", "flags", "CPU implementer", "CPU part", "Features", "isa"))


def _processor() -> str:
    """What -march=native looks at: model and features, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    facts: dict[str, str] = {}
    for line in lines:
        fact, _, value = line.partition(":")
        if fact.strip() in PROCESSOR:
            facts.setdefault(fact.strip(), value.strip())
    return f"{platform.machine()} {sorted(facts.items())}"
