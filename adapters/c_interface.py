"""What crosses over to C: for each operation a struct of `kernel/convspec.h`, and a problem as what it holds."""

from __future__ import annotations

import ctypes
import math
import operator
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = dict[str, Array | None]

SUFFIXES = {"float32": "_f32", "float64": "_f64"}
MODES = {"zeros": 0, "replicate": 1, "reflect": 2, "circular": 3}  # enum convspec_mode
INVALID, UNSUPPORTED, NO_MEMORY = 1, 2, 3  # enum convspec_status

IMAGES = "x(n,c,h,w)"
AFFINE = "weight(weight_c) bias(bias_c)"
RUNNING = "running_mean(running_mean_c) running_var(running_var_c)"
WINDOW = "kernel_size[2] stride[2] padding[2][2]"

# The fields of each operation in order, as the members of its struct:
#   x(n,c)         an array, and the members that hold the lengths of its axes; all are -1 where it is absent
#   *shards(count) a tuple of whole numbers: a member for their count, then a pointer to them
#   name, name[2]  whole numbers: int64_t
#   name:flag, name:mode, name:double   int64_t 0 or 1, int64_t out of MODES, double
FIELDS = {
    "conv2d": f"{IMAGES} weight(k,weight_c,r,s) bias(bias_k)"
    " stride[2] padding[2][2] padding_mode:mode dilation[2] groups",
    "locally_connected2d": f"{IMAGES} weight(weight_i,weight_j,k,weight_c,r,s) bias(bias_k,bias_i,bias_j)"
    " stride[2] padding[2][2]",
    "convolve2d": "x(h,w) kernel(r,s)",
    "pad2d": f"{IMAGES} padding[2][2] mode:mode",
    "max_pool2d": f"{IMAGES} {WINDOW} dilation[2] ceil_mode:flag",
    "avg_pool2d": f"{IMAGES} {WINDOW} ceil_mode:flag count_include_pad:flag",
    "relu": "x(elements)",
    "linear": "x(n,f) weight(o,weight_f) bias(bias_o)",
    "batch_norm2d": f"{IMAGES} {AFFINE} {RUNNING} training:flag momentum:double eps:double",
    "sync_batch_norm2d": f"{IMAGES} *shards(devices) {AFFINE} {RUNNING} momentum:double eps:double",
    "layer_norm": "x(sets,elements) weight(weight_elements) bias(bias_elements) eps:double",
    "group_norm": f"{IMAGES} groups {AFFINE} eps:double",
    "instance_norm2d": f"{IMAGES} {AFFINE} eps:double",
    "pixel_group_norm": f"{IMAGES} groups {AFFINE} eps:double",
    "local_response_norm": f"{IMAGES} size alpha:double beta:double k:double",
    "dropout": "x(elements) p:double training:flag seed",
    "dropout2d": f"{IMAGES} p:double training:flag seed",
}

# The gradients: the fields of the forward operation, and grad_output.
OF_IMAGES = "grad_output(grad_n,grad_c,grad_i,grad_j)"
GRADIENTS = {
    "conv2d": OF_IMAGES,
    "linear": "grad_output(grad_n,grad_o)",
    "relu": "grad_output(grad_elements)",
    "max_pool2d": OF_IMAGES,
    "avg_pool2d": OF_IMAGES,
    "batch_norm2d": OF_IMAGES,
    "layer_norm": "grad_output(grad_sets,grad_elements)",
    "group_norm": OF_IMAGES,
}
FIELDS |= {f"{name}_backward": f"{FIELDS[name]} {grad}" for name, grad in GRADIENTS.items()}

# What C functions write, where it is not y alone. Past the first an output is as large as the input that it renews, or
# is the gradient of, and absent (NULL) with it.
RUNNING_OUTPUTS = ("y", "new_running_mean", "new_running_var")
LIKE = {
    "new_running_mean": "running_mean",
    "new_running_var": "running_var",
    "grad_weight": "weight",
    "grad_bias": "bias",
}
OUTPUTS: dict[str, tuple[str, ...]] = {
    "batch_norm2d": RUNNING_OUTPUTS,
    "sync_batch_norm2d": RUNNING_OUTPUTS,
    **{
        f"{name}_backward": ("grad_x", "grad_weight", "grad_bias") if "weight(" in FIELDS[name] else ("grad_x",)
        for name in GRADIENTS
    },
}

# Operations that have no problem in integers; of the others it is only that no library here computes with them.
FLOATING = ("dropout", "dropout2d")


def _elements(problem: Any) -> Arrays:
    """Any shape, as a row of elements."""
    return {"x": problem.x.reshape(-1)}


def _with_gradient(forward: Callable[[Any], Arrays]) -> Callable[[Any], Arrays]:
    """The same with grad_output as x is seen. C does not see the shapes, so they are compared here."""

    def seen(problem: Any) -> Arrays:
        x, grad = problem.x, problem.grad_output
        if grad.shape != x.shape:
            raise ValueError(f"grad_output has the shape {grad.shape}; it must be {x.shape}, as the output")
        arrays = forward(problem)
        flat = arrays["x"]
        assert flat is not None
        return arrays | {"grad_output": grad.reshape(flat.shape)}

    return seen


def _sets_of_elements(problem: Any) -> Arrays:
    """x as (sets, elements of a set). C does not see the shapes, so they are checked here."""
    x, axes = problem.x, operator.index(problem.axes)
    if not 1 <= axes < x.ndim:
        raise ValueError(f"axes is {axes}; it must be from 1 to {x.ndim - 1}, as x has {x.ndim} axes")
    wanted = x.shape[-axes:]
    arrays: Arrays = {"x": x.reshape(math.prod(x.shape[:-axes]), math.prod(wanted))}
    for name in ("weight", "bias"):
        array = getattr(problem, name)
        if array is not None and array.shape != wanted:
            raise ValueError(f"{name} has the shape {array.shape}; it must be {wanted}, as the normalized axes")
        arrays[name] = None if array is None else array.reshape(-1)
    return arrays


# Operations on arrays of no fixed number of axes: C sees them flat.
FLAT: dict[str, Callable[[Any], Arrays]] = {
    "relu": _elements,
    "layer_norm": _sets_of_elements,
    "dropout": _elements,
    "relu_backward": _with_gradient(_elements),
    "layer_norm_backward": _with_gradient(_sets_of_elements),
}


@dataclass(frozen=True)
class _Part:
    """One word of FIELDS."""

    field: str
    kind: str  # array, list, whole, flag, mode or double
    lengths: tuple[str, ...]  # members for lengths, of an array or a list; of whole numbers "2", "2"

    @classmethod
    def read(cls, word: str) -> _Part:
        if word.endswith(")"):
            field, _, names = word[:-1].partition("(")
            return cls(field.removeprefix("*"), "list" if word.startswith("*") else "array", tuple(names.split(",")))
        field, _, kind = word.partition(":")
        field, *lengths = field.replace("]", "").split("[")
        return cls(field, kind or "whole", tuple(lengths))

    @property
    def members(self) -> list[tuple[str, Any]]:
        """Declarations as the header has them, and their ctypes."""
        if self.kind in ("array", "list"):
            sizes: list[tuple[str, Any]] = [(f"int64_t {name}", ctypes.c_int64) for name in self.lengths]
            return sizes if self.kind == "array" else [*sizes, (f"const int64_t *{self.field}", ctypes.c_void_p)]
        if self.kind == "double":
            return [(f"double {self.field}", ctypes.c_double)]
        of: Any = ctypes.c_int64
        for length in reversed(self.lengths):
            of = of * int(length)
        return [(f"int64_t {self.field}" + "".join(f"[{n}]" for n in self.lengths), of)]

    def numbers(self, value: Any) -> list[Any]:
        """The value of the field as the numbers of its members; of a list only the count."""
        if self.kind == "array":
            return [-1] * len(self.lengths) if value is None else self._sizes(value)
        if self.kind == "list":
            if not isinstance(value, tuple):
                raise ValueError(f"{self.field} is {value!r}; it must be a tuple of whole numbers")
            return [len(value)]
        if self.kind == "flag":
            return [int(bool(value))]
        if self.kind == "mode":
            return [MODES.get(value, -1)]
        if self.kind == "double":
            if not isinstance(value, (int, float, np.integer, np.floating)):
                raise ValueError(f"{self.field} is {value!r}; it must be a number")
            return [float(value)]
        values = [value]
        for _ in self.lengths:
            values = [item for pair in values for item in self._pair(pair)]
        return [operator.index(v) for v in values]

    def _sizes(self, array: Array) -> list[Any]:
        if array.ndim != len(self.lengths):
            raise ValueError(f"{self.field} has {array.ndim} axes; it must have {len(self.lengths)}")
        return list(array.shape)

    def _pair(self, value: Any) -> tuple[Any, Any]:
        if not isinstance(value, tuple) or len(value) != 2:
            raise ValueError(f"{self.field} is or holds {value!r}, where a pair must be")
        return value


class Interface:
    """How problems of one operation are handed over."""

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.parts = [_Part.read(word) for word in FIELDS[operation].split()]
        self.arrays = tuple(p.field for p in self.parts if p.kind == "array")
        self.outputs = OUTPUTS.get(operation, ("y",))
        self.rank = len(self.parts[0].lengths)  # of the first output, as of x
        members = [m for part in self.parts for m in part.members]
        self.members = tuple(declaration for declaration, _ in members)
        self.structure = structure(operation, members)
        codes = {ctypes.c_double: "d", ctypes.c_void_p: "P"}
        self._pack = struct.Struct(
            "@" + "".join(codes.get(kind, f"{ctypes.sizeof(kind) // 8}q") for _, kind in members)
        ).pack

    def views(self, problem: Any) -> Arrays:
        """The arrays by name, as C sees them; None for an absent one."""
        flat = FLAT.get(self.operation)
        return flat(problem) if flat else {name: getattr(problem, name) for name in self.arrays}

    def parameters(self, problem: Any, arrays: Arrays | None = None) -> ctypes.Structure:
        """The problem as the C struct: sizes and parameters.

        Raises ValueError or TypeError for what C has no word for.
        """
        arrays = self.views(problem) if arrays is None else arrays
        numbers: list[Any] = []
        lists = []
        for part in self.parts:
            value: Any = arrays[part.field] if part.kind == "array" else getattr(problem, part.field)
            numbers += part.numbers(value)
            if part.kind == "list":
                lists.append(_whole_numbers(value))
                numbers.append(ctypes.addressof(lists[-1]))
        try:
            found = self.structure.from_buffer_copy(self._pack(*numbers))
        except struct.error:
            raise ValueError(f"{self.operation}: a number does not fit 64 bits: {numbers}") from None
        found.lists = lists  # lives as long as the pointers to it
        return found


def structure(name: str, members: list[tuple[str, Any]]) -> type[ctypes.Structure]:
    """The ctypes twin of `struct <name>`, from declarations and types."""
    fields = [(declaration.split("[")[0].split()[-1].lstrip("*"), kind) for declaration, kind in members]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


def _whole_numbers(values: tuple[Any, ...]) -> Any:
    numbers = [operator.index(v) for v in values]
    if any(not -(2**63) <= v < 2**63 for v in numbers):
        raise ValueError(f"a number does not fit 64 bits: {numbers}")
    return (ctypes.c_int64 * len(numbers))(*numbers)


INTERFACES = {operation: Interface(operation) for operation in FIELDS}
