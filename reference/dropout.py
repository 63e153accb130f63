"""Dropout."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from . import dropout_clauses, dropout_statistics, dropping
from .features import NOT_OF_ANY_SHAPE, of_any_shape
from .op import Op, Shape, Tensor, edge, operation
from .pick import Pick
from .rounding import Arithmetic, Bound
from .window import WIDE

Array = npt.NDArray[np.float64]


@operation
class Dropout(Op):
    """In training set each element to zero with probability p, on its own, and divide the rest by 1 - p.

        y = m * x / (1 - p), m = 0 with probability p, else 1; in evaluation y = x

    p is the probability of being dropped, so that 1 - p is what is kept and what is divided by: the expected value of y
    is x. In evaluation and for p = 0 nothing changes, not a bit; p = 1 gives zeros. The mask m is a function of seed,
    p and the shape and dtype of x: neither of the values of x, nor of how x lies in memory, nor of earlier calls.
    Masks of different seeds, and the elements of one mask, are independent; which mask a seed has is free. A dropped
    zero may carry a sign; of a dropped NaN or infinity 0 or NaN may be left.

    Source: the lecture's dropout (which says "divided by p", as is right for a p that is kept); Srivastava et al. 2014;
    PyTorch dropout, ONNX Dropout.
    """

    x: Tensor  # any shape
    p: float = 0.5  # the probability that an element is set to zero
    training: bool = True  # whether anything is dropped at all
    seed: int = 0  # which mask is drawn

    features = (*of_any_shape(), *dropping.FEATURES)
    excluded = NOT_OF_ANY_SHAPE
    chapters = (dropout_clauses, dropout_statistics)
    has_batch = False
    shared_axes: ClassVar[int] = 0  # the last axes of x that have one draw between them

    @property
    def random(self) -> bool:
        return dropping.drops(self) and "mask" not in self.reading

    @property
    def mask_shape(self) -> Shape:
        """The shape of the draws."""
        return self.x.shape

    def settled(self, answer: Tensor) -> Op:
        settled: Op = dropping.settled(self, answer)
        return settled

    def output_shape(self) -> Shape:
        return self.x.shape

    def reference(self) -> Array:
        return dropping.reference(self)

    def truth(self) -> tuple[Array, Array]:
        return dropping.truth(self) if self.dtype == np.float64 else super().truth()

    def judgement(self, arithmetic: Arithmetic) -> Bound:
        """That of what is kept and multiplied: dropping.judgement."""
        return dropping.judgement(self, arithmetic)

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        rank = 1 + pick.one_of((3, 0, 1, 2, 4), (50, 15, 15, 15, 5))
        shape: list[int] = []
        lean = pick.flag(0.04)
        for _ in range(rank):
            shape.append(1 if lean else pick.integer(1, 5, unlike=shape))
        if pick.flag(0.3):
            shape[-1] = pick.one_of(WIDE)
        chosen = dropping.drawn(pick)
        return cls(x=pick.data(1).array(tuple(shape)), **chosen)

    @edge("DO-13, GEN-14")
    def an_empty_array(cls: Any, pick: Pick) -> Dropout:
        """No elements give no elements, whichever axis is empty."""
        problem: Dropout = cls.draw(pick)
        shape = list(problem.x.shape)
        shape[pick.integer(0, len(shape) - 1)] = 0
        return problem.but(x=np.zeros(shape, problem.dtype))

    @edge("DO-02")
    def one_number(cls: Any, pick: Pick) -> Dropout:
        """A single element."""
        problem: Dropout = cls.draw(pick)
        return problem.but(x=problem.x.reshape(-1)[:1])
