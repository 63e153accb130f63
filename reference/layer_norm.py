"""Layer normalization."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import normalize, normalize_clauses, normalize_features, rules
from .normalization import NormalizationOp
from .op import STRICT, Run, Sides, Tensor, edge, example, law, operation, rule
from .parameters import EPS
from .pick import Pick
from .sets import Sets
from .window import WIDE

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]


def _misshapen(problem: Any, pick: Pick, name: str) -> Any:
    """The problem with a weight or bias of a shape that is not that of the normalized axes."""
    wanted = problem.x.shape[-problem.axes :]
    shape = pick.one_of(((*wanted[:-1], wanted[-1] + 1), (2, *wanted), (*wanted, 1)))
    return problem.but(**{name: np.ones(shape, problem.dtype)})


@operation
class LayerNorm(NormalizationOp):
    """Normalize each image, over the last `axes` axes of x.

        y = (x - mu) / sqrt(v + eps) * weight + bias

    mu is the mean and v the biased variance (divided by the number of elements, not by one less) of the last `axes`
    axes of x, for every index of the others: with axes=3 one mean and variance for each image, over c, h and w. eps is
    added inside the root. weight and bias have one value for each normalized element. Nothing is remembered from one
    call to the next. A set of one element, or of equal elements, gives the bias.

    Source: the lecture's layer normalization (Ba et al. 2016); PyTorch layer_norm, ONNX LayerNormalization.
    """

    x: Tensor  # (N, ..., the normalized axes): (N, C, H, W)
    weight: Tensor | None = None  # x.shape[-axes:], ones where absent
    bias: Tensor | None = None  # x.shape[-axes:], zeros where absent
    axes: int = 3  # how many of the last axes are normalized together
    eps: float = 1e-5  # added to the variance, inside the root

    features = normalize_features.LAYERS
    excluded = normalize_features.NOT_LAYERS
    chapters = (normalize_clauses,)

    @property
    def sets(self) -> Sets:
        """The last axes of x."""
        rank = self.x.ndim
        alone = (1,) * (rank - self.axes)
        return Sets(self.x.shape, tuple(range(rank - self.axes, rank)), (*alone, *self.x.shape[rank - self.axes :]))

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        axes = pick.one_of((3, 1, 2), (60, 25, 15))
        rank = axes + pick.one_of((1, 2), (80, 20))
        shape: list[int] = []
        for _ in range(rank):
            shape.append(pick.integer(1, 4, unlike=shape))
        if pick.flag(0.15):
            shape[-1] = pick.one_of(WIDE)
        if np.prod(shape[-axes:]) == 1:
            shape[-1] = 2
        x = np.empty(shape)
        sets = cls(x=x, axes=axes).sets
        return cls(**normalize.drawn(pick, tuple(shape), sets, tuple(shape[-axes:])), axes=axes)

    @rule(lambda self, pick: rules.fractional(self, pick, "axes"), STRICT, "LN-07")
    def axes_is_whole(self) -> bool:
        """axes is a whole number."""
        return rules.are_whole(self, "axes")

    @rule(lambda self, pick: self.but(axes=pick.one_of((0, -1, self.x.ndim, self.x.ndim + 1))), STRICT, "LN-07, LN-02")
    def axes_leave_the_images(self) -> bool:
        """At least one axis is normalized, and never the first: every image is normalized alone."""
        return 1 <= self.axes < self.x.ndim

    @rule(lambda self, pick: _misshapen(self, pick, "weight"), STRICT, "LN-04, LN-07")
    def weight_has_the_normalized_shape(self) -> bool:
        """The weight has one value for each normalized element."""
        return self.weight is None or self.weight.shape == self.x.shape[-self.axes :]

    @rule(lambda self, pick: _misshapen(self, pick, "bias"), STRICT, "LN-04, LN-07")
    def bias_has_the_normalized_shape(self) -> bool:
        """The bias has one value for each normalized element."""
        return self.bias is None or self.bias.shape == self.x.shape[-self.axes :]

    @law("LN-01")
    def earlier_axes_are_images(self, run: Run, pick: Pick) -> Sides | None:
        """The axes before the normalized ones, taken as one, give the same: each of their indices is a set."""
        flat = self.but(x=self.x.reshape(-1, *self.x.shape[-self.axes :]))
        return run(flat).rearranged(lambda a: a.reshape(self.x.shape)), run(self)

    @law("LN-01")
    def normalized_axes_are_one(self, run: Run, pick: Pick) -> Sides | None:
        """The normalized axes, taken as one, give the same: only what is normalized together matters."""
        lead = self.x.shape[: self.x.ndim - self.axes]
        weight = None if self.weight is None else self.weight.reshape(-1)
        bias = None if self.bias is None else self.bias.reshape(-1)
        flat = self.but(x=self.x.reshape(*lead, -1), weight=weight, bias=bias, axes=1)
        return run(flat).rearranged(lambda a: a.reshape(self.x.shape)), run(self)

    @law("LAW-N18")
    def elements_move_with_their_parameters(self, run: Run, pick: Pick) -> Sides | None:
        """Reversing a normalized axis of x, of the weight and of the bias reverses that axis of the result."""
        axis = -pick.integer(1, self.axes)
        turned = {name: np.array(np.flip(array, axis), order="C") for name, array in self.arrays().items()}
        return run(self.but(**turned)), run(self).rearranged(lambda a: np.flip(a, axis))

    @example("LN-01, LN-03")
    def four_numbers(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """1, 2, 3, 6 have mean 3 and variance 3.5; with eps = 0.5 the root is 2: -1, -0.5, 0, 1.5."""
        x = np.array([1.0, 2, 3, 6]).reshape(1, 2, 1, 2).astype(dtype)
        plain = cls(x=x, eps=0.5)
        y = np.array([-1.0, -0.5, 0, 1.5]).reshape(x.shape)
        weight, bias = np.array([1.0, 2, 3, 4]).reshape(2, 1, 2), np.array([10.0, 20, 30, 40]).reshape(2, 1, 2)
        return [
            (plain, y),
            (plain.but(weight=weight.astype(dtype), bias=bias.astype(dtype)), y * weight + bias),
            (cls(x=x, eps=EPS), np.array([-2.0, -1, 0, 3]).reshape(x.shape) / np.sqrt(3.5 + EPS)),
        ]

    @example("LN-01, LN-02")
    def one_axis_or_all(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """(1, 3) and (5, 15) row by row, and together, where the mean is 6 and the variance 29."""
        x = np.array([[[1.0, 3], [5, 15]]]).astype(dtype)
        together = np.array([[[-5.0, -3], [-1, 9]]]) / np.sqrt(29 + 7)
        alone = np.array([[[-1.0 / np.sqrt(8), 1 / np.sqrt(8)], [-5 / np.sqrt(32), 5 / np.sqrt(32)]]])
        return [(cls(x=x, axes=2, eps=7.0), together), (cls(x=x, axes=1, eps=7.0), alone)]

    @edge("LN-06", STRICT)
    def one_value(cls: Any, pick: Pick) -> LayerNorm:
        """A set of one element is its own mean: the output is the bias."""
        problem: LayerNorm = cls.draw(pick)
        x = problem.x.reshape(-1)[: problem.x.shape[0]].reshape(-1, 1, 1, 1)
        bias = None if problem.bias is None else problem.bias.reshape(-1)[:1].reshape(1, 1, 1)
        return problem.but(x=x, weight=None, bias=bias, axes=3, eps=problem.eps or EPS)

    @edge("LN-05")
    def the_last_axis_alone(cls: Any, pick: Pick) -> LayerNorm:
        """axes=1: every row of x is a set."""
        problem: LayerNorm = cls.draw(pick)
        x = np.concatenate([problem.x, problem.x + np.asarray(1, problem.dtype)], axis=-1)
        weight = None if problem.weight is None else np.resize(problem.weight, x.shape[-1:])
        bias = None if problem.bias is None else np.resize(problem.bias, x.shape[-1:])
        return problem.but(x=x, weight=weight, bias=bias, axes=1, eps=problem.eps or EPS)
