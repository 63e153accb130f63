"""What the backward operations share: the forward problem in each, its rules and edges, gradients that are sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt

from .data import Data
from .dot import as_float, judge_dot, likely_dot
from .measured import Measured, concatenate
from .op import Clause, Op, Shape, Tensor, edge, rule
from .pick import Pick
from .rounding import Arithmetic, Bound

Array = npt.NDArray[np.float64]
HiLo = tuple[Array, Array]
F = TypeVar("F", bound=Op)

PARAMETERS = ("grad_x", "grad_weight", "grad_bias")  # what comes back where the forward operation has parameters


class Backward(Op):
    """The gradients of L = sum of grad_output * y with respect to the arrays of a forward operation whose result is y.

    A subclass has the fields of the forward operation and `grad_output`, and writes `forward`, `references`, `truths`,
    `judgements` and `terms`. The values of a bias do not matter, only whether there is one.
    """

    outputs: ClassVar[tuple[str, ...]] = ("grad_x",)
    fresh: ClassVar[bool] = True  # are arrays drawn anew for their gradients, or taken as the forward operation draws?

    @property
    def forward(self) -> Any:
        """The forward problem with the same fields."""
        raise NotImplementedError

    @staticmethod
    def terms(forward: Any) -> int:
        """The most products, or shares of grad_output, that are added up in an element of a gradient."""
        raise NotImplementedError

    def output_shape(self) -> Shape:
        return self.output_shapes()["grad_x"]

    def output_shapes(self) -> dict[str, Shape]:
        """Those of the arrays that are there."""
        arrays = {f"grad_{name}": array.shape for name, array in self.arrays().items()}
        return {name: arrays[name] for name in self.outputs if name in arrays}

    def reference(self) -> Array:
        return self.references()["grad_x"]

    def truth(self) -> HiLo:
        return self.truths()["grad_x"]

    def truths(self) -> dict[str, HiLo]:
        return {name: (hi, np.zeros_like(hi)) for name, hi in self.references().items()}

    def judgement(self, arithmetic: Arithmetic) -> Bound:
        """That of grad_x; a subclass derives all of them, or says where they are derived."""
        return self.judgements(arithmetic)["grad_x"]

    def image(self, n: int) -> Self:
        images = {name: np.array(self.arrays()[name][n : n + 1], order="C") for name in ("x", "grad_output")}
        return self.but(**images)

    def over(self, forward: Op, grad_output: Tensor | None = None) -> Self:
        """The problem with the fields of this forward problem, and this gradient if one is given."""
        fields = {f.name: getattr(forward, f.name) for f in forward._fields()}
        return self.but(**fields, **({} if grad_output is None else {"grad_output": grad_output}))

    @classmethod
    def behind(cls, forward: Op, data: Data) -> Self:
        """The backward problem of a valid forward one, with a gradient out of these data."""
        fields = {f.name: getattr(forward, f.name) for f in forward._fields()}
        return cls(**fields | {"grad_output": data.array(forward.output_shape(), "grad")})

    @classmethod
    def drawn(cls, forward: Op, pick: Pick) -> Self:
        """As `behind`, out of choices; the other arrays are `fresh` where their gradients ask for smaller numbers."""
        data = pick.data(cls.terms(forward))
        if cls.fresh:
            arrays = forward.arrays()
            forward = forward.but(**{name: data.array(array.shape, name) for name, array in arrays.items()})
        return cls.behind(forward, data)


def forward_of(problem: Backward, op: type[F]) -> F:
    """The forward problem with the fields of a backward one, read with the same choices."""
    made = vars(problem).get("_forward")  # every rule asks for it
    if made is None:
        made = op(**{f.name: getattr(problem, f.name) for f in op._fields()})
        made = vars(problem)["_forward"] = made.read(**problem.reading) if problem.reading else made
    return cast(F, made)


def of_forward(op: type[Op]) -> SimpleNamespace:
    """The rules and edges of the forward operation as clauses of the backward one, under the same names.

    A rule is obeyed or broken by the forward problem; where that still has an output, grad_output gets its shape.
    """
    made = {"rule": _rule, "edge": _edge}
    return SimpleNamespace(**{c.name.split(".")[1]: made[c.kind](c) for c in op.clauses if c.kind in made})


def _rule(clause: Clause) -> Callable[..., bool]:
    def obeyed(problem: Any) -> bool:
        return bool(clause.enforce(problem.forward))

    def breaking(problem: Any, pick: Pick) -> Any:
        assert clause.broken is not None
        broken = clause.broken(problem.forward, pick)
        try:
            return problem.over(broken, np.resize(problem.grad_output, broken.output_shape()))
        except Exception:  # sizes that are none
            return problem.over(broken)

    obeyed.__doc__ = clause.text
    return rule(breaking, clause.level, "BWD-02", clause.values)(obeyed)


def _edge(clause: Clause) -> Callable[..., Op]:
    def made(cls: type[Backward], pick: Pick) -> Op:
        forward = clause.enforce(pick)
        return cls.behind(forward, pick.data(max(cls.terms(forward), 1)))

    made.__doc__ = f"Gradients of what is legal in the forward operation: {clause.text}"
    return edge("BWD-02", clause.level, clause.may_refuse)(made)


# Gradients that are sums of products.


@dataclass(frozen=True)
class Products:
    """A gradient that is bilinear in two arrays: what it is, and the same in about 106 bits. `summed`: all of `right`
    are ones, and it is a sum of what is in `left`."""

    left: Tensor
    right: Tensor
    multiply: Callable[[Array, Array], Array]
    exactly: Callable[[Array, Array], HiLo]
    summed: bool = False

    @property
    def arrays(self) -> HiLo:
        return as_float(self.left), as_float(self.right)


def values(gradients: dict[str, Products]) -> dict[str, Array]:
    return {name: g.multiply(*g.arrays) for name, g in gradients.items()}


def exact(gradients: dict[str, Products], dtype: np.dtype[Any]) -> dict[str, HiLo]:
    """The values, of float64 arrays in about 106 bits."""
    if dtype != np.float64:
        return {name: (hi, np.zeros_like(hi)) for name, hi in values(gradients).items()}
    return {name: g.exactly(*g.arrays) for name, g in gradients.items()}


def bounds(gradients: dict[str, Products], arithmetic: Arithmetic, dtype: np.dtype[Any]) -> dict[str, Bound]:
    """Each gradient is a sum of products of its own, with magnitudes and terms of its own (rounding.dot_bound). That of
    a bias is a sum of what is given; where it is of one output alone it is a copy, and exact."""
    return {
        name: judge_dot(g.multiply, *g.arrays, None, arithmetic, dtype, summed=g.summed)
        for name, g in gradients.items()
    }


def likely_errors(gradients: dict[str, Products], arithmetic: Arithmetic) -> dict[str, Array]:
    """By the same model as those of the forward operation."""
    return {name: likely_dot(g.multiply, *g.arrays, None, arithmetic) for name, g in gradients.items()}


# What laws are written with.


def joined(outputs: dict[str, Measured]) -> Measured:
    """All gradients in one row."""
    return concatenate([one.rearranged(np.ravel) for one in outputs.values()], 0)


def inner(measured: Measured, known: Tensor) -> Measured:
    """The inner product with a known array; of what may have overflowed nothing is known."""
    if not (np.isfinite(measured.value).all() and np.isfinite(measured.tolerance).all()):
        return Measured(np.zeros(()), np.inf)
    return (measured * as_float(known)).rearranged(np.ravel).sum(0)


def total(array: Tensor, axes: tuple[int, ...]) -> Measured:
    """The sum of known numbers along axes."""
    return Measured(array).sum(axes)
