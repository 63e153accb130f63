"""What crosses over to C: one struct of `kernel/convspec.h` per operation, and a problem as the numbers in it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

import numpy.typing as npt

from convspec.reference import AvgPool2d, Conv2d, Convolve2d, Linear, MaxPool2d, Pad2d, Relu

Array = npt.NDArray[Any]
Numbers = Iterable[Any]

SUFFIXES = {"float32": "_f32", "float64": "_f64"}
MODES = {"zeros": 0, "replicate": 1, "reflect": 2, "circular": 3}  # enum convspec_mode
INVALID, UNSUPPORTED, NO_MEMORY = 1, 2, 3  # enum convspec_status

# The members of each struct in order, every one int64_t.
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
