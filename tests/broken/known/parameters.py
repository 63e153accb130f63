"""Known bugs of parameters and state: eps, momentum, modes, running statistics, factors of a formula."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import BatchNorm2d, Conv2d, Dropout, Dropout2d, Linear, LocalResponseNorm, MaxPool2dBackward

from ..base import Array, Right, Tensor
from ..batch_norm import RightBatchNorm
from ..dropout import Drops
from ..local_response_norm import RightLRN
from .entry import filled, known
from .winners_parts import Index, Scatters


class OnOneDevice(RightBatchNorm):
    """Batch normalization in steps that a bug may replace; that of several devices is right."""

    def sync_batch_norm2d(self, problem: Any) -> Any:
        return self.answer(problem)


def remembers(**fields: Any) -> BatchNorm2d:
    """A channel of 1, 2, 3, 6 with a running mean of 1 and a running variance of 2."""
    x = np.float32([1, 2, 3, 6]).reshape(2, 1, 1, 2)
    given: dict[str, Any] = {"x": x, "running_mean": np.ones(1, "float32"), "running_var": np.full(1, 2, "float32")}
    return BatchNorm2d(**given | {"momentum": 0.5, "eps": 0.5} | fields)


@known(
    "B091",
    "MarcBS/keras#4",
    "local_response_norm",
    clause="within_the_bound",
    at=lambda: LocalResponseNorm(x=filled((1, 3, 1, 1)), size=3, alpha=1.0),
    spared=lambda: LocalResponseNorm(x=filled((1, 3, 1, 1)), size=1, alpha=1.0),
)
class TakesAlphaUndivided(RightLRN):
    """The sum of squares is multiplied with alpha itself, not with alpha divided by the size of the window."""

    def share(self, problem: Any, seen: Array) -> float:
        return float(problem.alpha)


@known(
    "B099",
    "PaddlePaddle/Paddle#26977",
    "dropout",
    "dropout2d",
    clause="within_the_bound",
    at=lambda: Dropout(x=np.float32([1, 2]), p=1.0),
    also={"dropout2d": lambda: Dropout2d(x=filled((1, 2, 1, 1)), p=1.0)},
    spared=lambda: Dropout(x=np.float32([1, 2]), p=0.5),
    setting="plain dropout stands in for alpha dropout",
)
class ScalesByOneOverZero(Drops):
    """With p = 1 the factor is 1/0: where the mask is zero, infinity times zero is NaN."""

    def dropout(self, problem: Any) -> Any:
        if problem.broken_rules() or not problem.training or problem.p != 1:
            return super().dropout(problem)
        with np.errstate(all="ignore"):
            factor = np.ones((), problem.dtype) / (1 - problem.dtype.type(problem.p))
            return problem.x * (np.zeros(problem.mask_shape, problem.dtype) * factor)


@known(
    "B133",
    "SciML/DiffEqOperators.jl#134",
    "conv2d",
    clause="exact_on_integers",
    at=lambda: Conv2d(x=filled((1, 1, 2, 2)), weight=filled((1, 1, 2, 2))),
    spared=lambda: Conv2d(x=filled((1, 1, 2, 2)), weight=np.ones((1, 1, 2, 2), "float32")),
)
class ConvolvesAsInMathematics(Right):
    """The filter is turned round before the products are taken: only one that is symmetric comes out right."""

    def conv2d(self, problem: Any) -> Any:
        return self.answer(problem.but(weight=problem.weight[:, :, ::-1, ::-1]))


@known(
    "B147",
    "NVIDIA/caffe#279",
    "batch_norm2d",
    clause="within_the_bound",
    at=lambda: remembers(training=False),
    spared=lambda: remembers(),
    setting="the flag of a call stands for the phase of a layer",
)
class TrainsInEvaluation(OnOneDevice):
    """The phase is always training: an evaluation takes the statistics of the batch, and stores them."""

    def evaluated(self, problem: Any) -> Any:
        return self.trained(problem)

    def batch(self, problem: Any) -> tuple[Array, Array]:
        if problem.sets.count > 1:
            return super().batch(problem)
        mean, variance = self.statistics(problem)
        return mean.reshape(-1), variance.reshape(-1)  # of one value, which a training step may not have


@known(
    "B149",
    "pytorch/pytorch#107719",
    "linear",
    clause="exact_on_integers",
    at=lambda: Linear(x=filled((1, 1)), weight=-filled((1, 1))),
    spared=lambda: Linear(x=filled((1, 1)), weight=filled((1, 1))),
)
class RectifiesInTheEpilogue(Right):
    """The number that chooses what is done after the product is that of a rectifier: what is negative becomes zero."""

    def linear(self, problem: Any) -> Any:
        y: Tensor = self.answer(problem)
        return np.where(y < 0, np.zeros((), y.dtype), y)


@known(
    "B215",
    "chainer/chainer#4505",
    "batch_norm2d",
    clause="within_the_bound",
    at=lambda: remembers(),
    spared=lambda: remembers(eps=0.0),
)
class StoresTheVarianceWithEps(OnOneDevice):
    """eps is added to the variance before it is stored, and then once more when what is stored is used."""

    def batch(self, problem: Any) -> tuple[Array, Array]:
        mean, variance = super().batch(problem)
        m = problem.sets.count
        return mean, variance + problem.eps * m / (m - 1)


@known(
    "B221",
    "devitocodes/joey#5",
    "max_pool2d_backward",
    clause="exact_on_integers",
    at=lambda: MaxPool2dBackward(
        x=filled((1, 1, 1, 3)) * 0 + np.float32([1, 3, 2]),
        kernel_size=(1, 2),
        stride=(1, 1),
        grad_output=np.float32([1, 2]).reshape(1, 1, 1, 2),
    ),
    spared=lambda: MaxPool2dBackward(
        x=filled((1, 1, 1, 4)), kernel_size=(1, 2), stride=(1, 2), grad_output=np.float32([1, 2]).reshape(1, 1, 1, 2)
    ),
)
class OverwritesSharedMaxima(Scatters):
    """Where windows overlap and have their largest element in common, the gradient of the last replaces the others."""

    def write(self, memory: Array, at: Index, gradient: Array) -> None:
        memory[at] = gradient


@known(
    "B227",
    "tensorflow/tensorflow#37768",
    "batch_norm2d",
    clause="within_the_bound",
    at=lambda: remembers(x=np.float32([1, 2, 3, 6]).reshape(2, 1, 1, 2) / 1024, eps=1e-6),
    spared=lambda: remembers(x=np.float32([1, 2, 3, 6]).reshape(2, 1, 1, 2) / 1024, eps=1e-3),
)
class KeepsEpsAboveTheLimit(OnOneDevice):
    """An eps below 1.001e-5 is silently replaced by it, as cuDNN once asked for."""

    def root(self, variance: Array, eps: float) -> Array:
        return super().root(variance, max(eps, 1.001e-5))


@known(
    "B229",
    "apache/mxnet#18751",
    "batch_norm2d",
    clause="within_the_bound",
    at=lambda: remembers(),
    spared=lambda: remembers(momentum=0.0),
    analog="one device stands in for the two whose statistics differed",
)
class NeverUpdatesItsStatistics(OnOneDevice):
    """A training step gives the running mean and variance back as they were."""

    def stored(self, problem: Any) -> tuple[Array | None, ...]:
        return problem.running_mean, problem.running_var


@known(
    "B239",
    "apache/mxnet#9216",
    "batch_norm2d",
    clause="within_the_bound",
    at=lambda: remembers(),
    spared=lambda: remembers(momentum=0.0),
    setting="the running variance stands in for the variance of the batch, which is no output here",
)
class StoresTheInverseDeviation(OnOneDevice):
    """The variance that comes back is made of 1/sqrt(v + eps), which the kernel keeps for the gradient, not of v."""

    def batch(self, problem: Any) -> tuple[Array, Array]:
        mean, _ = super().batch(problem)
        variance = self.statistics(problem)[1].reshape(-1)
        return mean, 1 / self.root(variance, problem.eps)
