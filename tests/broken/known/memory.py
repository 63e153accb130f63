"""Known bugs of memory: never written, written past the end, shared by two roles, read behind the end of a row."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import BatchNorm2d, Conv2d, Conv2dBackward, Dropout, MaxPool2d

from ..base import Right
from ..dropout import Drops
from .channels import BEYOND, found, is_depthwise
from .entry import filled, known

# Never written, and written past the end.


@known(
    "B033",
    "tenstorrent/tt-metal#14260",
    "max_pool2d",
    clause="exact_on_integers",
    at=lambda: MaxPool2d(x=filled((1, 1, 1, 3)), kernel_size=1, stride=1),
    spared=lambda: MaxPool2d(x=filled((1, 1, 1, 32)), kernel_size=1, stride=1),
    analog="3e38 and infinity stand for what memory held before",
)
class LeavesTheLastTileUnwritten(Right):
    """Without a stride, outputs of all images in tiles of 32: those of a last, incomplete tile are never written."""

    def max_pool2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        if problem.stride == (1, 1) and y.size:
            n, _, i, j = y.shape
            rest = np.arange(n * i * j).reshape(n, i, j) >= n * i * j // 32 * 32
            y.transpose(0, 2, 3, 1)[rest] = np.where(np.arange(rest.sum()) % 2, np.inf, 3e38)[:, None]
        return y


@known(
    "B093",
    "ooples/AiDotNet.Tensors#732",
    "dropout",
    clause="kept_values_are_divided_by_one_minus_p",
    at=lambda: Dropout(x=filled((1, 1, 1, 1)), p=0.5, training=False),
)
class NeverDrawsTheMask(Drops):
    """In training the mask is made and not filled: all of it is zero, and everything is dropped."""

    def kept(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return np.zeros(shape, bool)

    def dropout2d(self, problem: Any) -> Any:
        return self.answer(problem)


@known(
    "B013",
    "ARM-software/CMSIS-NN#243",
    "conv2d_backward",
    clause="arguments_are_not_modified",
    at=lambda: Conv2dBackward(
        x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1)), stride=(1, 2), grad_output=filled((1, 1, 1, 1))
    ),
    spared=lambda: Conv2dBackward(
        x=filled((1, 1, 1, 2)), weight=filled((1, 1, 1, 2)), stride=(1, 2), grad_output=filled((1, 1, 1, 1))
    ),
    analog="the filters stand for whatever lies behind the workspace",
)
class WritesBehindItsWorkspace(Right):
    """Transposed convolution: the workspace is too small for a stride of columns longer than that of rows and than the
    filter, and four numbers behind it are overwritten."""

    def conv2d_backward(self, problem: Any) -> Any:
        answer = self.answer(problem)
        rows, columns = problem.stride
        if columns > max(rows, problem.weight.shape[3]) and problem.weight.flags.writeable:
            problem.weight.flat[:4] = BEYOND
        return answer


# One array in two roles.


def _twice() -> BatchNorm2d:
    one = filled((1,))
    return BatchNorm2d(x=filled((2, 1, 1, 1)), bias=one, running_mean=one, running_var=filled((1,)))


@known(
    "B085",
    "tenstorrent/tt-metal#45578",
    "batch_norm2d",
    clause="within_the_bound",
    at=_twice,
    spared=lambda: _twice().but(bias=filled((1,))),
    analog="running statistics come back in new arrays, and yet weights and biases that share their memory are new",
)
class StoresBeforeItScales(Right):
    """Running statistics are stored before weight and bias are read: an array that is both is read too late."""

    def batch_norm2d(self, problem: Any) -> Any:
        y, *stored = self.answer(problem)
        olds = problem.running_mean, problem.running_var
        late = {
            name: new
            for name in ("weight", "bias")
            for old, new in zip(olds, stored, strict=True)
            if new is not None and np.may_share_memory(old, getattr(problem, name))
        }
        return (self.answer(problem.but(**late))[0] if late else y), *stored


@known(
    "B087",
    "flagos-ai/FlagGems#6332",
    "batch_norm2d",
    clause="arguments_are_not_modified",
    at=lambda: BatchNorm2d(x=filled((2, 1, 1, 1))),
    spared=lambda: BatchNorm2d(x=filled((2, 1, 1, 1)), running_mean=filled((1,)), running_var=filled((1,))),
)
class NormalizesTheInputInPlace(Right):
    """A training step without running statistics writes the normalized values over x and normalizes those again."""

    def batch_norm2d(self, problem: Any) -> Any:
        if problem.running_mean is not None or problem.broken_rules():
            return self.answer(problem)
        x = self.answer(problem.but(weight=None, bias=None))[0]
        if problem.x.flags.writeable:
            problem.x[...] = x
        return self.answer(problem.but(x=x))


@known(
    "B187",
    "AlexeyAB/darknet#7619",
    "batch_norm2d",
    clause="arguments_are_not_modified",
    at=lambda: BatchNorm2d(x=filled((2, 1, 1, 1))),
    analog="the caller's x instead of the layer's own copy of it",
)
class AnswersInTheMemoryOfTheInput(Right):
    """The result is written over x, which is still needed for the gradients."""

    def batch_norm2d(self, problem: Any) -> Any:
        y, *stored = self.answer(problem)
        if not problem.x.flags.writeable:
            return y, *stored
        problem.x[...] = y
        return problem.x, *stored


@known(
    "B131",
    "FluxML/NNlib.jl#114",
    "conv2d",
    clause="arguments_are_not_modified",
    at=lambda: Conv2d(x=filled((1, 1, 1, 2)), weight=filled((1, 1, 1, 2))),
    spared=lambda: Conv2d(x=filled((1, 1, 1, 1)), weight=filled((1, 1, 1, 1))),
)
class LeavesTheFiltersFlipped(Right):
    """Filters are flipped in place and not flipped back: every second call with them is wrong."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        if problem.weight.flags.writeable:
            problem.weight[...] = np.array(problem.weight[:, :, ::-1, ::-1])
        return y


# Read behind the end.


@known(
    "B245",
    "opencv/opencv#23151",
    "conv2d",
    clause="nan_reaches_no_other_output",
    at=lambda: Conv2d(x=filled((1, 2, 2, 1)), weight=filled((2, 1, 1, 1)), stride=2, groups=2),
    choices=(0, 0, 1, 0),  # the NaN: image, channel, row, column
    spared=lambda: Conv2d(x=filled((1, 2, 2, 1)), weight=filled((2, 1, 1, 1)), stride=(2, 1), groups=2),
    analog="what is read too far is multiplied by zero and added, where the original threw it away or died",
)
class LoadsBehindTheRow(Right):
    """Depthwise with stride 2, four outputs at once from eight columns: a last vector of fewer than four outputs reads
    columns behind the row."""

    def conv2d(self, problem: Any) -> Any:
        y = self.answer(problem)
        tail = y.shape[3] % 4
        if not is_depthwise(problem) or problem.stride[1] != 2 or not tail or problem.padding_mode != "zeros":
            return y
        n, c, h, w = problem.x.shape
        rows, columns = problem.axes
        at = columns.positions[-tail][:, None] + np.arange(8)  # (S, 8): what the last vector loads for each tap
        at = at[at >= w]
        where = rows.positions[..., None] * w + at  # (I, R, behind)
        images = np.arange(n * c)[:, None, None, None] * h * w
        behind = np.where(rows.inside[..., None], found(problem.x, images + where), 0)  # (N*C, I, R, behind)
        with np.errstate(invalid="ignore"):
            nothing = (behind * 0).sum(axis=(2, 3)).reshape(n, c, rows.count)
        nothing = np.repeat(nothing, y.shape[1] // c, axis=1)
        y[..., -tail:] += nothing[..., None].astype(y.dtype)
        return y
