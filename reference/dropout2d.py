"""Dropout of whole channels."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from . import dropout_clauses, dropout_statistics, dropping, rules
from .features import batches, how_many, one_or_more, sizes
from .laws import order
from .op import STRICT, Op, Run, Shape, Sides, Tensor, edge, law, operation, rule
from .pick import Pick
from .rounding import Arithmetic, Bound
from .window import STRETCHED

Array = npt.NDArray[np.float64]


@operation
class Dropout2d(Op):
    """In training set each channel of each image to zero with probability p, and divide the rest by 1 - p.

        y[n,c,h,w] = m[n,c] * x[n,c,h,w] / (1 - p), m = 0 with probability p, else 1; in evaluation y = x

    There is one draw for each image and channel, which all its pixels share; the channels of one image and the same
    channel of two images are independent. Everything else is as in `Dropout`.

    Source: the lecture's dropout, for channels; Tompson et al. 2015; PyTorch dropout2d, Keras SpatialDropout2D.
    """

    x: Tensor  # (N, C, H, W) images
    p: float = 0.5  # the probability that a channel is set to zero
    training: bool = True  # whether anything is dropped at all
    seed: int = 0  # which mask is drawn

    features = (
        one_or_more("images", lambda p: p.x.shape[0]),
        how_many("channels", lambda p: p.x.shape[1]),
        one_or_more("rows", lambda p: p.x.shape[2]),
        how_many("columns", lambda p: p.x.shape[3]),
        *dropping.FEATURES,
        sizes("channels", lambda p: p.x.shape[1]),
        sizes("columns", lambda p: p.x.shape[3]),
        batches("training", lambda p: p.training),
        batches("evaluation", lambda p: not p.training),
        sizes("masks", lambda p: p.x.shape[0] * p.x.shape[1]),
    )
    chapters = (dropout_clauses, dropout_statistics)
    has_batch = False
    shared_axes: ClassVar[int] = 2

    @property
    def random(self) -> bool:
        return dropping.drops(self) and "mask" not in self.reading

    @property
    def mask_shape(self) -> Shape:
        """The shape of the draws."""
        return *self.x.shape[:2], 1, 1

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
        shape: list[int] = []
        long = pick.one_of(("", "channels", "columns", "channels, columns", "images"), (76, 8, 8, 2, 6))
        for name, most in (("images", 4), ("channels", 6), ("rows", 5), ("columns", 5)):
            shape.append(pick.one_of(STRETCHED) if name in long else pick.integer(1, most, unlike=shape))
        chosen = dropping.drawn(pick)
        return cls(x=pick.data(1).array(tuple(shape)), **chosen)

    @rule(lambda self, pick: self.but(x=pick.one_of((self.x[0], self.x[None]))), STRICT, "GEN-01")
    def x_has_four_axes(self) -> bool:
        """x has the four axes n, c, h, w."""
        return rules.ranks(self, x=4)

    @law("DO-06")
    def a_channel_is_one_draw(self, run: Run, pick: Pick) -> Sides | None:
        """Where x is not zero, the pixels of a channel are all zero or all not."""
        n, c, h, w = (pick.integer(1, most) for most in (4, 8, 5, 5))
        problem = self.but(x=np.ones((n, c, h, w + 1), self.dtype), p=0.5, training=True)
        kept = run.values(problem) != 0
        return kept * 1.0, np.broadcast_to(kept[:, :, :1, :1], kept.shape) * 1.0

    @law("LAW-A4")
    def pixels_may_be_permuted(self, run: Run, pick: Pick) -> Sides | None:
        """Reordering rows and columns reorders the result of the same seed, bit for bit."""
        rows, columns = order(self.x.shape[2], pick), order(self.x.shape[3], pick)
        mixed = self.but(x=np.array(self.x[:, :, rows[:, None], columns], order="C"))
        return run.values(mixed), run.values(self)[:, :, rows[:, None], columns]

    @edge("DO-13, GEN-14")
    def an_empty_batch(cls: Any, pick: Pick) -> Dropout2d:
        """No images give no images; no channels, rows or columns give none either."""
        problem: Dropout2d = cls.draw(pick)
        shape = list(problem.x.shape)
        shape[pick.integer(0, 3)] = 0
        return problem.but(x=np.zeros(shape, problem.dtype))

    @edge("DO-06")
    def one_pixel(cls: Any, pick: Pick) -> Dropout2d:
        """Channels of one pixel, as they come out of a fully connected layer."""
        problem: Dropout2d = cls.draw(pick)
        return problem.but(x=np.array(problem.x[:, :, :1, :1], order="C"))
