"""The fully connected layer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import rules
from .algorithms import of_matrices
from .dot import Factors, as_float, exact_dot, judge_dot, likely_dot
from .features import given, how_many, sizes, stratum
from .laws import combined, order, parts, small
from .op import CORE, STRICT, Op, Run, Shape, Sides, Tensor, edge, example, law, operation, rule
from .pick import Pick
from .rounding import Arithmetic, Bound
from .window import STRETCHED, WIDE

Array = npt.NDArray[np.float64]
LARGE = ("", "inputs", "outputs", "rows", "inputs, outputs", "rows, inputs, outputs", "wide outputs")
Worked = list[tuple[Any, Array]]


@operation
class Linear(Op):
    """Multiply each row of x with each row of the weights and add a bias.

        y[n,o] = bias[o] + sum over f of x[n,f] * weight[o,f]

    The weights are (outputs, inputs). An image is flattened in the order c, h, w before it comes here. With no inputs
    the sum is empty and the output is the bias. Source: the lecture's fully connected layer; PyTorch linear, ONNX Gemm.
    """

    x: Tensor  # (N, F) rows of inputs
    weight: Tensor  # (O, F) a row for each output
    bias: Tensor | None = None  # (O) added to every row of outputs

    spreads = "adds"
    features = (
        how_many("rows", lambda p: p.x.shape[0]),
        how_many("inputs", lambda p: p.weight.shape[1]),
        how_many("outputs", lambda p: p.weight.shape[0]),
        given("bias", lambda p: p.bias),
        sizes("rows", lambda p: p.x.shape[0]),
        sizes("inputs", lambda p: p.weight.shape[1], WIDE),
        sizes("outputs", lambda p: p.weight.shape[0], WIDE),
        stratum("square", lambda p: p.weight.shape[0] == p.weight.shape[1] > 1),
        stratum("one_of_each", lambda p: p.x.shape == (1, 1) and len(p.weight) == 1),
        stratum("multiples_of_32", lambda p: p.weight.shape[0] % 32 == 0 and p.weight.shape[1] % 32 == 0),
    )

    def output_shape(self) -> Shape:
        return self.x.shape[0], self.weight.shape[0]

    def reference(self) -> Array:
        y: Array = np.matmul(as_float(self.x), as_float(self.weight).T)
        return y if self.bias is None else y + as_float(self.bias)

    def truth(self) -> tuple[Array, Array]:
        if self.dtype != np.float64:
            return super().truth()
        bias = None if self.bias is None else as_float(self.bias)
        return exact_dot(as_float(self.x)[:, None], as_float(self.weight)[None], bias)

    def judgement(self, arithmetic: Arithmetic) -> Bound:
        """That of a sum of products: rounding.dot_bound. With a declared transform, algorithms.py too."""
        bound = judge_dot(*self._factors(), arithmetic, self.dtype, by_image=True, taps=self.taps)
        return self.transformed(bound, as_float(self.x), arithmetic)

    def likely_errors(self, arithmetic: Arithmetic) -> dict[str, Array]:
        return {"y": likely_dot(*self._factors(), arithmetic, by_image=True, taps=self.taps)}

    def taps(self) -> Array:
        """(1, 1): how many products an output adds up."""
        return np.full((1, 1), float(self.x.shape[1]))

    def _factors(self) -> Factors:
        bias = None if self.bias is None else as_float(self.bias)
        return lambda x, w: np.matmul(x, w.T), as_float(self.x), as_float(self.weight), bias

    def transformed(self, bound: Bound, x: Array, arithmetic: Arithmetic) -> Bound:
        """The bound of a direct kernel, widened for inputs like x by what a declared transform adds."""
        return of_matrices(bound, x, as_float(self.weight), arithmetic)

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        large = pick.one_of(LARGE, (64, 12, 10, 8, 2, 2, 2))
        n = pick.one_of(STRETCHED) if "rows" in large else pick.integer(1, 4)
        f = pick.one_of(WIDE) if "inputs" in large else pick.integer(1, 12, unlike=(n,))
        many = WIDE if "wide" in large else STRETCHED
        o = pick.one_of(many) if "outputs" in large else pick.integer(1, 6, unlike=(n, f))
        if pick.flag(0.15):  # square weights, which look the same transposed
            o = f
        bias = pick.flag(0.6)
        data = pick.data(f)
        return cls(
            x=data.array((n, f)),
            weight=data.array((o, f), "weight"),
            bias=data.array((o,), "bias") if bias else None,
        )

    @rule(
        lambda self, pick: self.but(**pick.one_of(({"x": self.x[None]}, {"weight": self.weight[None]}))),
        STRICT,
        "FC-01",
    )
    def ranks_are_right(self) -> bool:
        """x and weight have two axes, and bias, if there is one, has one."""
        return rules.ranks(self, x=2, weight=2, bias=1)

    @rule(lambda self, pick: self.but(weight=np.concatenate([self.weight, self.weight[:, :1]], axis=1)), CORE, "FC-07")
    def inner_sizes_agree(self) -> bool:
        """A row of weights is as long as a row of x."""
        return bool(self.x.shape[1] == self.weight.shape[1])

    @rule(
        lambda self, pick: self.but(bias=np.ones(self.weight.shape[0] + pick.one_of((2, -1)), self.x.dtype)),
        CORE,
        "FC-01",
    )
    def bias_is_one_per_output(self) -> bool:
        """A bias has one value for each output."""
        return self.bias is None or bool(self.bias.shape[0] == self.weight.shape[0])

    @law("LAW-A7")
    def linear_in_the_inputs(self, run: Run, pick: Pick) -> Sides | None:
        """Without a bias, the input 2u + v gives twice the result for u plus the result for v."""
        u, v = parts(self.x, pick)
        plain = self.but(bias=None)
        return run(plain.but(x=combined(u, v))), 2 * run(plain.but(x=u)) + run(plain.but(x=v))

    @law("LAW-A7")
    def linear_in_the_weights(self, run: Run, pick: Pick) -> Sides | None:
        """Without a bias, the weights 2u + v give twice the result of u plus the result of v."""
        u, v = parts(self.weight, pick)
        plain = self.but(bias=None)
        return run(plain.but(weight=combined(u, v))), 2 * run(plain.but(weight=u)) + run(plain.but(weight=v))

    @law("LAW-C3")
    def bias_is_added_once(self, run: Run, pick: Pick) -> Sides | None:
        """With a bias, each output is larger by its bias, once."""
        bias = small(self.weight[:, 0]) + np.asarray(3, self.dtype)
        return run(self.but(bias=bias)), run(self.but(bias=None)) + np.asarray(bias, np.float64)

    @law("LAW-A7")
    def two_layers_are_one(self, run: Run, pick: Pick) -> Sides | None:
        """V(Wx + b) + d is one layer with the weights VW and the bias Vb + d."""
        o = self.weight.shape[0]
        first = self.but(x=small(self.x), weight=small(self.weight), bias=small(self.weight[:, 0]))
        v = small(np.resize(as_float(self.weight) + 1, (3, o))).astype(self.dtype)
        d = small(np.resize(as_float(self.weight), (3,))).astype(self.dtype)
        middle = run(first)
        if middle.tolerance.any():
            return None
        second = self.but(x=middle.value.astype(self.dtype), weight=v, bias=d)
        w, b = as_float(first.weight), as_float(first.arrays()["bias"])
        one = first.but(
            weight=(as_float(v) @ w).astype(self.dtype), bias=(as_float(v) @ b + as_float(d)).astype(self.dtype)
        )
        if self.dtype.itemsize == 2 and max(np.abs(as_float(v) @ w).max(), np.abs(as_float(v) @ b).max() + 2) > 256:
            return None  # the product of the weights is not exact in a 16-bit format
        return run(second), run(one)

    @law("LAW-C17")
    def everything_may_be_permuted(self, run: Run, pick: Pick) -> Sides | None:
        """Reordering rows, inputs (of x and weights alike) and outputs reorders the result and nothing else."""
        rows, inputs = order(self.x.shape[0], pick), order(self.x.shape[1], pick)
        outputs = order(self.weight.shape[0], pick)
        bias = None if self.bias is None else self.bias[outputs]
        mixed = self.but(
            x=np.array(self.x[rows[:, None], inputs], order="C"),
            weight=np.array(self.weight[outputs[:, None], inputs], order="C"),
            bias=bias,
        )
        return run(mixed), run(self)[rows[:, None], outputs]

    @law("GEN-18", STRICT)
    def nan_stays_in_its_row(self, run: Run, pick: Pick) -> Sides | None:
        """A NaN in a row of x makes every output of that row NaN whose weight there is not zero, and no other row's."""
        n, f = pick.integer(0, self.x.shape[0] - 1), pick.integer(0, self.x.shape[1] - 1)
        x = np.array(self.x)
        x[n, f] = np.nan
        reached = np.zeros(self.output_shape(), bool)
        reached[n] = as_float(self.weight)[:, f] != 0
        known = reached.copy()
        known[np.arange(self.x.shape[0]) != n] = True
        actual, clean = run.values(self.but(x=x)), run(self)
        wanted = np.where(reached, np.nan, clean.value)
        return clean[known].like(actual[known]), clean[known].like(wanted[known])

    @example("FC-01")
    def a_small_layer(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """(1, 2, 3) through rows (1, 0, -1) and (2, 3, 4) with bias (10, 20) gives (8, 40)."""
        x, weight = np.array([[1.0, 2, 3]]), np.array([[1.0, 0, -1], [2, 3, 4]])
        problem = cls(x=x.astype(dtype), weight=weight.astype(dtype), bias=np.array([10.0, 20]).astype(dtype))
        return [(problem, np.array([[8.0, 40.0]]))]

    @edge("GEN-14, FC-04", STRICT)
    def an_empty_batch(cls: Any, pick: Pick) -> Linear:
        """No rows give no rows."""
        problem: Linear = cls.draw(pick)
        return problem.but(x=problem.x[:0])

    @edge("FC-04", STRICT)
    def no_outputs(cls: Any, pick: Pick) -> Linear:
        """No rows of weights give rows of no outputs."""
        problem: Linear = cls.draw(pick)
        return problem.but(weight=problem.weight[:0], bias=None)

    @edge("FC-03", STRICT)
    def no_inputs(cls: Any, pick: Pick) -> Linear:
        """The sum over no inputs is zero: every row of the output is the bias."""
        problem: Linear = cls.draw(pick)
        return problem.but(x=problem.x[:, :0], weight=problem.weight[:, :0])

    @edge("FC-01")
    def square_weights(cls: Any, pick: Pick) -> Linear:
        """As many outputs as inputs: the weights are still (outputs, inputs)."""
        problem: Linear = cls.draw(pick)
        f = pick.integer(2, 9)
        weight = np.resize(problem.weight, (f, f)) + np.arange(f, dtype=np.float64).astype(problem.dtype)
        return problem.but(x=np.resize(problem.x, (problem.x.shape[0], f)), weight=weight, bias=None)

    @edge("FC-01")
    def one_number(cls: Any, pick: Pick) -> Linear:
        """One row, one input, one output."""
        problem: Linear = cls.draw(pick)
        return problem.but(x=problem.x[:1, :1], weight=problem.weight[:1, :1], bias=None)
