"""What a backend may declare, checked once when it is loaded: its arithmetic, its conventions, the names of its
methods."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from convspec.reference import OPS
from convspec.reference.algorithms import DIRECT, TRANSFORMED
from convspec.reference.formats import FORMATS
from convspec.reference.rounding import Arithmetic

from .errors import CannotLoad

# How much of a name, as difflib measures it, is that of an operation where it is a misspelt one: `maxpool` is, of
# `max_pool2d`; `pool2d` is not.
NEAR = 0.85

# A reduced multiplication by name is that of units which multiply two arrays of the user, and of these operations
# alone; the others are held to strict arithmetic. A record, which says all that it means, is taken as it is.
REDUCED = ("tf32", "bf16")
MULTIPLYING = ("convolve2d", "conv2d", "locally_connected2d", "linear", "conv2d_backward", "linear_backward")

CONVENTIONS: dict[str, tuple[str, ...]] = {
    "stored_variance": ("unbiased", "biased"),
    "max_pool_nan": ("propagate", "ignore"),
    "relu_nan": ("propagate", "ignore"),
    "lrn_even": ("onnx", "mirror"),
    "avg_divisor": ("window", "full"),
    "repeatable": ("true", "false"),
    "threads": ("many", "one"),
}


def fits(key: str, declared: Arithmetic, op: str, dtype: str) -> None:
    """Raise CannotLoad unless the record is one of this dtype, and has a name of its own where it is not ieee."""
    for role in ("storage", "accumulator", "statistics"):
        name = getattr(declared, role)
        if name not in FORMATS and (name or role != "statistics"):
            known = ", ".join(FORMATS)
            raise CannotLoad(f"{key}: arithmetic {declared.name!r} has the {role} {name!r}; it may be {known}")
    if declared.storage != dtype:
        raise CannotLoad(
            f"{key}: arithmetic {declared.name!r} stores {declared.storage}, but {op} has {dtype} too; "
            f"give a mapping such as {{({op!r}, {declared.storage!r}): ...}}"
        )
    if declared.name == "ieee" and declared != Arithmetic.ieee(dtype):
        raise CannotLoad(f"{key}: an arithmetic of {dtype} is named 'ieee', but is another; give it a name of its own")


def without_transform(declared: Arithmetic, op: str) -> Arithmetic:
    """The arithmetic that an operation is held to: a declared transform holds for those alone whose bounds know it."""
    if declared.algorithm in (DIRECT, *TRANSFORMED.get(op, ())):
        return declared
    direct, strict = replace(declared, algorithm=DIRECT, growth=1.0), Arithmetic.ieee(declared.storage)
    return strict if replace(direct, name=strict.name) == strict else direct


def misspelt(subject: Any) -> dict[str, str]:
    """The public methods that are named nearly like an operation, with its name, where it has no method of that name.

    A name with a digit other than 2 is that of another operation, as `conv3d` is.
    """
    plain = {op.name.replace("_", ""): op.name for op in OPS}
    found: dict[str, str] = {}
    for name in dir(subject):
        if name.startswith("_") or name in plain.values() or {c for c in name if c.isdigit()} - {"2"}:
            continue
        near = difflib.get_close_matches(name.lower().replace("_", ""), plain, n=1, cutoff=NEAR)
        if near and not callable(getattr(subject, plain[near[0]], None)) and callable(getattr(subject, name, None)):
            found[name] = plain[near[0]]
    return found


def not_called(names: Mapping[str, str]) -> list[str]:
    """One line for each misspelt method."""
    return [f"method `{name}` is no operation; did you mean `{op}`? It is not called." for name, op in names.items()]


def conventions_of(key: str, declared: Any) -> dict[str, str]:
    if not isinstance(declared, Mapping):
        raise CannotLoad(f"{key}: conventions must be a mapping such as {{'relu_nan': 'ignore'}}, not {declared!r}")
    for name, choice in declared.items():
        if name not in CONVENTIONS:
            raise CannotLoad(f"{key}: convention {name!r} is unknown; known are {', '.join(CONVENTIONS)}")
        if str(choice).lower() not in CONVENTIONS[name]:
            raise CannotLoad(f"{key}: convention {name} is {choice!r}; it may be {' or '.join(CONVENTIONS[name])}")
    return {name: str(choice).lower() for name, choice in declared.items()}


def told(names: Mapping[tuple[str, str], str], operations: tuple[str, ...]) -> str:
    """The declared arithmetics other than ieee, by operation and dtype, each with the dtypes and operations that it is
    declared for: dtypes with the same operations together, and no list of operations where it is all of them."""
    where: dict[str, dict[str, list[str]]] = {}
    for (op, dtype), name in names.items():
        if name != "ieee":
            where.setdefault(name, {}).setdefault(dtype, []).append(op)
    lines = []
    for name, by_dtype in sorted(where.items()):
        alike: dict[tuple[str, ...], list[str]] = {}
        for dtype, ops in by_dtype.items():
            alike.setdefault(tuple(ops), []).append(dtype)
        for those, dtypes in alike.items():
            of_ops = "" if those == operations else f": {', '.join(those)}"
            lines.append(f"{name} ({', '.join(dtypes)}{of_ops})")
    return "; ".join(lines)
