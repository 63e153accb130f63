"""Known bugs of views and memory formats: strides that are not looked at, or taken for those of something else."""

from __future__ import annotations

from typing import Any

from convspec.reference import BatchNorm2d, Conv2d, Dropout, LayerNorm, Linear

from ..base import Right, Tensor
from ..dropout import Drops
from ..every_memory import in_memory
from .entry import filled, known
from .strides_parts import has_gaps


def part_of_channels_last(shape: tuple[int, int, int, int], **parts: slice) -> Tensor:
    """Part of images (N, C, H, W) that lie in memory as N, H, W, C; `parts` are slices by the name of the axis."""
    n, c, h, w = shape
    stored = filled((n, h, w, c))
    return stored.transpose(0, 3, 1, 2)[tuple(parts.get(axis, slice(None)) for axis in "nchw")]


@known(
    "B003",
    "pytorch/pytorch#180984",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=part_of_channels_last((1, 2, 1, 2), c=slice(1)), weight=filled((1, 1, 1, 1))),
    spared=lambda: Conv2d(x=part_of_channels_last((1, 2, 1, 2)), weight=filled((1, 2, 1, 1))),
)
class TakesPartOfChannelsLastForTheWhole(Right):
    """Images that are some of the channels of images stored channels last look like such images themselves, and are
    read as if no gaps were between their pixels."""

    def conv2d(self, problem: Any) -> Any:
        x = problem.x
        if has_gaps(x):
            return self.answer(problem.but(x=in_memory(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)))
        return self.answer(problem)


@known(
    "B095",
    "pytorch/pytorch#47176",
    "dropout",
    clause="within_the_bound",
    at=lambda: Dropout(x=part_of_channels_last((1, 2, 1, 6), w=slice(None, None, 2)), p=0.25, seed=1),
    spared=lambda: Dropout(x=part_of_channels_last((1, 2, 1, 3)), p=0.25, seed=1),
    analog="elements are permuted, where the original wrote most of them outside its output",
)
class WritesByTheWrongOrder(Drops):
    """Part of images stored channels last is dropped into an output stored channels last, each element to the place in
    memory that it would have channels first."""

    def dropout(self, problem: Any) -> Any:
        y = super().dropout(problem)
        if not problem.training or not has_gaps(problem.x):
            return y
        n, c, h, w = y.shape
        return y.reshape(n, h, w, c).transpose(0, 3, 1, 2)


@known(
    "B163",
    "pytorch/pytorch#190645",
    "batch_norm2d",
    clause="views_equal_copies",
    choices=(0, 2),  # x, permuted
    at=lambda: BatchNorm2d(x=filled((2, 2, 1, 2))),
    analog="two spatial axes instead of three, and an exception instead of a crash",
)
class RefusesWhatIsNotContiguous(Right):
    """x that is not contiguous is refused with an index out of range."""

    def batch_norm2d(self, problem: Any) -> Any:
        if not problem.x.flags.c_contiguous:
            raise IndexError("index 4 beyond bounds [0 .. 3]")
        return self.answer(problem)


@known(
    "B167",
    "microsoft/DirectML#588",
    "layer_norm",
    clause="views_equal_copies",
    choices=(0, 2),  # x, permuted
    at=lambda: LayerNorm(x=filled((1, 2, 1, 3)), axes=1),
)
class NormalizesInStorageOrder(Right):
    """x that is not contiguous is read in the order of its memory: what is normalized together does not belong
    together."""

    def layer_norm(self, problem: Any) -> Any:
        return self.answer(problem.but(x=in_memory(problem.x)))


@known(
    "B173",
    "pytorch/pytorch#51713",
    "linear",
    clause="views_equal_copies",
    choices=(1, 2),  # the weights, transposed
    at=lambda: Linear(x=filled((1, 2)), weight=filled((2, 2))),
    spared=lambda: Linear(x=filled((1, 2)), weight=filled((1, 2))),
)
class ReadsWeightsInStorageOrder(Right):
    """Weights that are not contiguous, such as the transpose of a matrix, are read in the order of their memory."""

    def linear(self, problem: Any) -> Any:
        return self.answer(problem.but(weight=in_memory(problem.weight)))
