"""Batch normalization before and after a convolution, and as other normalizations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .channel_clauses import per_channel
from .conv2d import Conv2d
from .instance_norm2d import InstanceNorm2d
from .laws import Tensor, small
from .measured import Measured
from .normalize_clauses import bare, on_its_own
from .op import Op, Run, Sides, law
from .parameters import EPS
from .pick import Pick

if TYPE_CHECKING:
    from .batch_norm2d import BatchNorm2d


def _narrow(problem: BatchNorm2d) -> BatchNorm2d:
    """The problem's first three channels at most: a convolution of many would only take long."""
    first = slice(0, 3)
    return problem.but(x=np.array(problem.x[:, first], order="C"), **per_channel(problem, first))


def _filters(problem: BatchNorm2d, pick: Pick) -> Conv2d:
    """A convolution of small whole numbers from the problem's images to as many channels, padded."""
    c = problem.x.shape[1]
    taps = (pick.integer(1, 2), pick.integer(1, 2))
    seeds = np.random.default_rng(pick.integer(0, 255)).integers(0, 64, c * c * taps[0] * taps[1]).reshape(c, c, *taps)
    weight = small(seeds.astype(problem.dtype))
    bias = small(np.arange(c).astype(problem.dtype))
    return Conv2d(x=small(problem.x), weight=weight, bias=bias, padding=((1, 0), (0, 1)))


def _exact(run: Run, problem: Op) -> Tensor | None:
    """The answer, if it is forced, as the next problem's x."""
    answer = run(problem)
    return None if answer.tolerance.any() else answer.value.astype(problem.dtype)


def _dyadic(problem: BatchNorm2d) -> tuple[BatchNorm2d, Tensor, Tensor]:
    """The problem in evaluation with roots that are powers of two, and the slope and the shift of its lines: exact."""
    c = problem.x.shape[1]
    k = np.arange(c)
    root = 2.0 ** (k % 3)  # 4^j - 0.25 is a number of every format
    weight, bias, mean = (k % 2 + 1) * 1.0, k % 4 - 1.0, k % 5 - 2.0
    here = problem.but(
        training=False,
        eps=0.25,
        **{
            name: np.asarray(array).astype(problem.dtype)
            for name, array in (
                ("weight", weight),
                ("bias", bias),
                ("running_mean", mean),
                ("running_var", root**2 - 0.25),
            )
        },
    )
    slope = weight / root
    return here, slope, bias - slope * mean


@law("BN-18, LAW-N7")
def a_bias_before_it_does_not_matter(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """In training a convolution's bias makes no difference to the normalized outputs."""
    problem = _narrow(problem)
    conv = _filters(problem, pick)
    with_bias, without = _exact(run, conv), _exact(run, conv.but(bias=None))
    here = on_its_own(problem.but(eps=problem.eps or EPS))
    if with_bias is None or without is None or here is None:
        return None
    return run(here.but(x=with_bias)), run(here.but(x=without))


@law("LAW-N7")
def the_size_of_filters_before_it_does_not_matter(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """In training filters twice as large, with four times the eps, give the same normalized outputs."""
    problem = _narrow(problem)
    conv = _filters(problem, pick).but(bias=None)
    large, plain = _exact(run, conv.but(weight=2 * conv.weight)), _exact(run, conv)
    here = on_its_own(problem.but(eps=problem.eps or EPS))
    if large is None or plain is None or here is None:
        return None
    return run(here.but(x=large, eps=4 * here.eps)), run(here.but(x=plain))


@law("LAW-N9, LAW-N8")
def evaluation_folds_into_the_convolution_before(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """A convolution and evaluation are one convolution: with s = weight / sqrt(running_var + eps), its filters times s
    and its bias (b - running_mean)*s + bias."""
    problem = _narrow(problem)
    conv, (here, slope, shift) = _filters(problem, pick), _dyadic(problem)
    x = _exact(run, conv)
    if x is None:
        return None
    weight = np.asarray(conv.weight, np.float64) * slope[:, None, None, None]
    bias = np.asarray(conv.bias, np.float64) * slope + shift
    folded = conv.but(weight=weight.astype(problem.dtype), bias=bias.astype(problem.dtype))
    return run(here.but(x=x)), run(folded)


@law("LAW-N10, LAW-N8")
def evaluation_folds_into_the_convolution_after(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """Evaluation and a convolution without padding are one convolution: its filters times s, and its bias with the
    filters' share of bias - running_mean*s. With padding they are not: the padding is not normalized."""
    problem = _narrow(problem)
    conv, (here, slope, shift) = _filters(problem, pick), _dyadic(problem)
    conv = conv.but(padding=0)
    if conv.broken_rules():
        return None
    middle = run(here.but(x=conv.x))
    then = conv.but(x=middle.value.astype(problem.dtype))
    reach = conv.but(x=middle.tolerance, weight=np.abs(np.asarray(conv.weight, np.float64)), bias=None).reference()
    separate = run(then)
    filters = np.asarray(conv.weight, np.float64)
    weight = filters * slope[:, None, None]
    bias = np.asarray(conv.bias, np.float64) + np.einsum("kcrs,c->k", filters, shift)
    folded = conv.but(weight=weight.astype(problem.dtype), bias=bias.astype(problem.dtype))
    if not np.array_equal(np.asarray(folded.bias, np.float64), bias):  # more bits than the format has
        return None
    return Measured(separate.value, separate.tolerance + reach), run(folded)


@law("LAW-N13")
def images_as_channels_are_instance_norm(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """Without weight and bias, a training step on x seen as one image of N*C channels is instance normalization of
    x."""
    n, c, h, w = problem.x.shape
    plain = problem.but(running_mean=None, running_var=None, training=True, x=problem.x.reshape(1, n * c, h, w))
    plain = bare(plain)
    if plain.broken_rules():
        return None
    whole = run(plain).rearranged(lambda a: a.reshape(n, c, h, w))
    return whole, run(InstanceNorm2d(x=problem.x, eps=problem.eps))


@law("LAW-N13")
def it_is_instance_norm_of_the_batch_as_one_image(problem: BatchNorm2d, run: Run, pick: Pick) -> Sides | None:
    """A training step is instance normalization of one image in which each channel holds its elements of the batch."""
    here = on_its_own(problem)
    if here is None:
        return None
    n, c, h, w = here.x.shape
    x = np.array(here.x.transpose(1, 0, 2, 3).reshape(1, c, n, h * w), order="C")
    joined = InstanceNorm2d(x=x, weight=here.weight, bias=here.bias, eps=here.eps)

    def apart(array: Tensor) -> Tensor:
        return array.reshape(c, n, h, w).transpose(1, 0, 2, 3)

    return run(here), run(joined).rearranged(apart)
