"""A right backend to break, the table of broken ones, and the few moves that several of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from convspec.conformance import checks
from convspec.reference import OPS, SPECIFIED, Composition, InvalidProblem, Op
from convspec.reference.op import snake_case

Tensor = npt.NDArray[Any]
Array = npt.NDArray[np.float64]
B = TypeVar("B", bound=type)

CHECKS = [check.__name__ for check, *_ in checks.CHECKS]
NAMES = tuple(op.name for op in OPS)


@dataclass(frozen=True)
class Broken:
    """One bug in one operation, and the clauses that must see it: first the one that names it."""

    backend: type
    op: str
    clauses: tuple[str, ...]
    elements: int  # the smallest failing problem has no more input elements than this
    examples: int  # cases per clause that the bug needs to be met
    general: bool = False  # Entered for every operation that has the clauses: nothing about the bug is of this one.

    @property
    def name(self) -> str:
        return snake_case(self.backend.__name__)

    @property
    def text(self) -> str:
        return (self.backend.__doc__ or "").strip()


TABLE: list[Broken] = []


def broken(elements: int = 20, examples: int = 30, every: str = "", **clauses: str) -> Callable[[B], B]:
    """Enter a backend into the table, once for each operation that it breaks.

    `conv2d="a_clause another"` names the clauses of an operation that fail; `every` those of all operations that have
    them, but for the operations named on their own.
    """

    def enter(backend: B) -> B:
        for op in SPECIFIED:
            general = every if not clauses.keys() & {op.name} else ""
            names = [*general.split(), *clauses.get(op.name, "").split()]
            made = [check.__name__ for check, *_ in checks.checks_of(op)]
            # Of the clauses of all operations, those that this one has; a network has checks alone.
            absent = general.split() if issubclass(op, Composition) else CHECKS
            names = [n for n in names if n in made or n not in absent]
            if names:
                full = tuple(f"{op.name}.{n}" for n in names)
                TABLE.append(Broken(backend, op.name, full, elements, examples, bool(general)))
        return backend

    return enter


class Right:
    """Every operation, right: the truth rounded once. A bug overrides one method, or `answer` for all of them."""

    dtypes = ("float32", "float64")

    def answer(self, problem: Op) -> Any:
        due = masked(problem).expected()
        if isinstance(due, tuple):
            return tuple(None if one is None else rounded(one, problem) for one in due)
        return rounded(due, problem)

    def conv2d_backward(self, problem: Any) -> Any:
        return self.answer(problem)

    def linear_backward(self, problem: Any) -> Any:
        return self.answer(problem)

    def relu_backward(self, problem: Any) -> Any:
        return self.answer(problem)

    def avg_pool2d_backward(self, problem: Any) -> Any:
        return self.answer(problem)

    def max_pool2d_backward(self, problem: Any) -> Any:
        return self.answer(problem)

    def batch_norm2d_backward(self, problem: Any) -> Any:
        return self.answer(problem)

    def layer_norm_backward(self, problem: Any) -> Any:
        return self.answer(problem)

    def group_norm_backward(self, problem: Any) -> Any:
        return self.answer(problem)

    def dropout(self, problem: Any) -> Any:
        return self.answer(problem)

    def dropout2d(self, problem: Any) -> Any:
        return self.answer(problem)

    def convolve2d(self, problem: Any) -> Any:
        return self.answer(problem)

    def pad2d(self, problem: Any) -> Any:
        return self.answer(problem)

    def conv2d(self, problem: Any) -> Any:
        return self.answer(problem)

    def locally_connected2d(self, problem: Any) -> Any:
        return self.answer(problem)

    def max_pool2d(self, problem: Any) -> Any:
        return self.answer(problem)

    def avg_pool2d(self, problem: Any) -> Any:
        return self.answer(problem)

    def relu(self, problem: Any) -> Any:
        return self.answer(problem)

    def linear(self, problem: Any) -> Any:
        return self.answer(problem)

    def batch_norm2d(self, problem: Any) -> Any:
        return self.answer(problem)

    def sync_batch_norm2d(self, problem: Any) -> Any:
        return self.answer(problem)

    def layer_norm(self, problem: Any) -> Any:
        return self.answer(problem)

    def group_norm(self, problem: Any) -> Any:
        return self.answer(problem)

    def instance_norm2d(self, problem: Any) -> Any:
        return self.answer(problem)

    def local_response_norm(self, problem: Any) -> Any:
        return self.answer(problem)

    def pixel_group_norm(self, problem: Any) -> Any:
        return self.answer(problem)


class Repairs(Right):
    """Instead of refusing a problem that breaks one rule, makes a valid one of it."""

    def answer(self, problem: Any) -> Any:
        try:
            return super().answer(problem)
        except InvalidProblem:
            return super().answer(self.repaired(problem))

    def repaired(self, problem: Any) -> Any:
        raise NotImplementedError


def masked(problem: Op) -> Op:
    """A problem whose result is drawn, with a mask of our own for its seed; any other as it is."""
    seen: Any = problem
    if not hasattr(seen, "mask_shape") or problem.broken_rules() or not problem.random:
        return problem
    draws = np.random.Generator(np.random.Philox(seen.seed)).random(seen.mask_shape)
    return problem.read(mask=draws >= seen.p)


def each(answer: Any, change: Callable[[Tensor], Any]) -> Any:
    """The answer with every output that is there changed."""
    if isinstance(answer, tuple):
        return tuple(None if one is None else change(one) for one in answer)
    return change(answer)


def rounded(values: Any, problem: Op) -> Tensor:
    """Rounded once to the dtype of the problem."""
    return np.asarray(np.asarray(values, np.float64).astype(problem.dtype, order="C"))


def wide(array: Any) -> Array:
    return np.asarray(array, np.float64)


def source(at: Any, length: int, mode: str = "zeros") -> npt.NDArray[np.int64]:
    """Which input position a position copies in a padding mode; -1 where there is none."""
    at = np.asarray(at)
    if mode == "zeros":
        return np.where((at >= 0) & (at < length), at, -1)
    if mode == "replicate":
        return np.clip(at, 0, length - 1)
    if mode == "circular":
        return np.mod(at, length)
    period = max(2 * (length - 1), 1)
    back = np.mod(at, period)
    return np.minimum(back, period - back) if length > 1 else np.zeros_like(at)


def taken(x: Tensor, rows: Any, columns: Any, outside: float = 0.0) -> Array:
    """x (N, C, H, W) at rows (I, R) and columns (J, S), -1 being outside: (N, C, I, J, R, S)."""
    rows, columns = rows[:, None, :, None], columns[None, :, None, :]
    inside = (rows >= 0) & (rows < x.shape[2]) & (columns >= 0) & (columns < x.shape[3])
    rows, columns = np.clip(rows, 0, x.shape[2] - 1), np.clip(columns, 0, x.shape[3] - 1)
    return np.where(inside, wide(x)[:, :, rows, columns], outside)


def significant(values: Any, bits: int) -> Array:
    """The nearest numbers of so many significant bits."""
    mantissa, exponent = np.frexp(wide(values))
    return np.ldexp(np.rint(mantissa * 2.0**bits) / 2.0**bits, exponent)


def last_pair_repeats(y: Array) -> Array:
    """Outputs made in pairs of columns, an odd last one left with what its neighbour has."""
    y = np.array(y)
    if y.shape[-1] > 1 and y.shape[-1] % 2:
        y[..., -1] = y[..., -2]
    return y
