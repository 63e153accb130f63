"""Kernels with the C interface of `kernel/convspec.h`, through ctypes, and the one that comes with convspec.

Every array is handed over as a copy between pages that may not be touched, so that a kernel that reads or writes beside
its arrays or into its inputs is reported and not merely wrong. What C can see is left for C to check: nothing here
validates a problem.
"""

from __future__ import annotations

import ctypes
import math
from pathlib import Path
from typing import Any

import numpy as np

from .c_compile import KERNEL, compiled, compiler, version_of
from .c_interface import FLAT, FLOATING, INTERFACES, INVALID, LIKE, NO_MEMORY, SUFFIXES, UNSUPPORTED
from .c_memory import GuardedBuffers, GuardViolation
from .errors import CannotLoad, Unsupported

__all__ = ["CKernel", "CLibrary", "Function", "GuardViolation", "GuardedBuffers", "compiled", "compiler"]


def _refuse(operation: str, status: int) -> None:
    if status == UNSUPPORTED:
        raise Unsupported(f"{operation}: the library says it is not built for this problem (status 2)")
    if status == NO_MEMORY:
        raise MemoryError(f"{operation}: the library found no memory (status 3)")
    reason = "invalid problem" if status == INVALID else "not a status of convspec.h"
    raise ValueError(f"{operation}: refused, status {status} ({reason})")


class Call:
    """One call of a kernel: prepared, run, and its outputs taken."""

    def __init__(
        self, operation: str, compute: Any, parameters: Any, buffers: GuardedBuffers, shapes: list[tuple[int, ...]]
    ) -> None:
        self.operation = operation
        self.buffers = buffers
        self.shapes = shapes  # of the outputs, if C sees them flat
        self.compute = compute
        self.parameters = parameters
        self.status = 0

    def run(self) -> None:
        self.status = self.compute(ctypes.byref(self.parameters), *self.buffers.addresses)

    def run_often(self, times: int, alike: list[bytes]) -> None:
        """Run it so often, or until the outputs hold other bits than these."""
        for _ in range(times):
            self.run()
            if self.status or self.buffers.written() != alike:
                return

    def result(self) -> Any:
        """The output, or a tuple of several, None for an absent one. Raises for a status that is not 0."""
        try:
            taken = self.buffers.take()
        except GuardViolation as violation:
            raise GuardViolation(f"{self.operation}: the kernel {violation}") from None
        if self.status:
            _refuse(self.operation, self.status)
        if self.operation in FLAT:
            taken = [
                array.reshape(shape) if array is not None and array.size == math.prod(shape) else array
                for array, shape in zip(taken, self.shapes, strict=True)
            ]
        return tuple(taken) if len(taken) > 1 else taken[0]


class Function:
    """One operation of a library: called with a problem, it returns the output, or a tuple of several."""

    def __init__(self, operation: str, library: ctypes.CDLL) -> None:
        self.operation = operation
        self.interface = INTERFACES[operation]
        self.parameters = self.interface.parameters
        self.shapes = ctypes.c_int64 * self.interface.rank
        self.shape = _symbol(library, f"{operation}_shape", 2)
        self.compute: dict[np.dtype[Any], Any] = {}
        for dtype, suffix in SUFFIXES.items():
            takes = 1 + len(self.interface.arrays) + len(self.interface.outputs)
            function = _symbol(library, operation + suffix, takes)
            if function is not None:
                self.compute[np.dtype(dtype)] = function

    def __call__(self, problem: Any) -> Any:
        call = self.prepared(problem)
        call.run()
        return call.result()

    def prepared(self, problem: Any) -> Call:
        """The call with its copies of the arrays made, so that running it is the kernel's own time alone."""
        arrays = self.interface.views(problem)
        dtype = problem.x.dtype
        compute = self.compute.get(dtype)
        if compute is None:
            if dtype.kind in "cb":
                raise TypeError(f"{self.operation}: x is {dtype}; it must be real numbers")
            if dtype.kind in "iu" and self.operation in FLOATING:
                raise TypeError(f"{self.operation}: x is {dtype}; it must be floating-point numbers")
            raise Unsupported(f"{self.operation}: the library has no {dtype} version")
        for name, array in arrays.items():
            if array is not None and array.dtype != dtype:
                raise TypeError(f"{self.operation}: {name} is {array.dtype}; it must be {dtype}, like x")
        parameters = self.parameters(problem, arrays)
        sizes = self._sizes(ctypes.byref(parameters))
        like = {name: LIKE[name] for name in self.interface.outputs[1:]}
        shapes: dict[str, tuple[int, ...] | None] = {self.interface.outputs[0]: sizes}
        for name, of in like.items():
            array = arrays[of]
            shapes[name] = None if array is None else array.shape
        buffers = GuardedBuffers(arrays, shapes, dtype)
        whole = [problem.x.shape, *(np.shape(getattr(problem, of)) for of in like.values())]
        return Call(self.operation, compute, parameters, buffers, whole)

    def _sizes(self, parameters: Any) -> tuple[int, ...]:
        """The shape of y, as the library says it."""
        shape = self.shapes()
        status = self.shape(parameters, shape)
        if status:
            _refuse(self.operation, status)
        sizes = tuple(shape)
        if min(sizes) < 0:
            raise RuntimeError(f"{self.operation}: {self.operation}_shape gave the negative size {sizes}")
        return sizes


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
        for operation in INTERFACES:
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
    locally_connected2d: Function
    convolve2d: Function
    pad2d: Function
    max_pool2d: Function
    avg_pool2d: Function
    relu: Function
    linear: Function
    batch_norm2d: Function
    sync_batch_norm2d: Function
    layer_norm: Function
    group_norm: Function
    instance_norm2d: Function
    pixel_group_norm: Function
    local_response_norm: Function
    dropout: Function
    dropout2d: Function
    conv2d_backward: Function
    linear_backward: Function
    relu_backward: Function
    max_pool2d_backward: Function
    avg_pool2d_backward: Function
    batch_norm2d_backward: Function
    layer_norm_backward: Function
    group_norm_backward: Function

    def __init__(self) -> None:
        command = compiler()
        sources = [KERNEL / name for name in ("shape.c", "kernel_f32.c", "kernel_f64.c")]
        super().__init__(compiled("c", command, sources, sorted(KERNEL.glob("*.[ch]"))))
        self.name = "c"
        self.version = version_of(command)
