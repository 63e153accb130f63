"""Statistics put together from those of several devices: how far they may be off."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .dot import as_float
from .rounding import Arithmetic
from .sets import NOTHING_KNOWN, Array, Statistics, errors, found_in

SyncBatchNorm = Any  # a problem with images `x` and `shards`, how many of them each device holds


def slices(problem: SyncBatchNorm) -> list[slice]:
    """Where the images of each device lie in x."""
    ends = np.cumsum(problem.shards).tolist()
    return [slice(end - size, end) for end, size in zip(ends, problem.shards, strict=True)]


def combined_errors(problem: SyncBatchNorm, arithmetic: Arithmetic) -> tuple[Array, Array]:
    """dmu and dv of the whole batch, whether its elements are gathered or the statistics of K shards are combined.

    Gathered: sets.errors. Combined: a shard has m_k elements, mean mu_k and variance v_k, which sets.errors holds to
    dmu_k and dv_k; averages weigh with m_k/m. A shard may also send (v_k + eps)^-1/2, as PyTorch's do: then dv_k gains
    g(13)*(v_k + eps), for a root good to 2 ulp, its square and the division; the only device with images may as well.

    All at once or two at a time, a new mean is an average of earlier ones, and no step rounds it by more than 9u*P
    with P = max(|mu_k| + dmu_k): of mean_a + (mean_b - mean_a)*m_b/m_ab the sum rounds by uP, its second term by 4u*2P.
    Hence dmu = average(dmu_k) + g(9(K-1))*P, and no mean on the way is off by more than D = max(dmu_k) + g(9(K-1))*P.

    The variance is the average of v_k + (mu_k - mu)^2; two at a time, the squares of K-1 differences of means, with
    weights that add up to at most K-1. Each difference is off by e = 2D + 2uP, so with B = average((mu_k - mu)^2) the
    squares are off by b = 2e*sqrt((K-1)*B) + (K-1)*e^2 together, and no term has more than K+8 roundings:
    dv = average(dv_k) + b + g(K+8)*(v + average(dv_k) + b).

    Source: statistics of parts are put together as in Chan, Golub and LeVeque (1979, whose abstract was read); these
    bounds are derived here.
    """
    found, m = found_in(problem), problem.sets.count
    whole = errors(found, m, arithmetic)
    sizes = np.array([size for size in problem.shards if size])
    k, u = len(sizes), arithmetic.unit
    if not k:
        return whole

    def g(roundings: int) -> float:
        return roundings * u / (1 - roundings * u) if roundings * u < 1 else NOTHING_KNOWN

    own, counts = _of_shards(problem, sizes)
    dmu_k, dv_k = errors(own, counts, arithmetic)
    w, mean = counts / m, found.mean.reshape(1, -1)
    with np.errstate(invalid="ignore", over="ignore"):
        dv_k = dv_k + g(13) * (own.variance + problem.eps)
        largest = (np.abs(own.mean) + dmu_k).max(axis=0)
        step = g(9 * (k - 1)) * largest
        e = 2 * (dmu_k.max(axis=0) + step) + 2 * u * largest
        e = np.minimum(e, np.sqrt(NOTHING_KNOWN))  # whose square is a number still: of one shard there is none of it
        between = (w * (own.mean - mean) ** 2).sum(axis=0)
        off = (w * dv_k).sum(axis=0) + 2 * e * np.sqrt((k - 1) * between) + (k - 1) * e**2
        dmu = np.maximum(whole[0], ((w * dmu_k).sum(axis=0) + step).reshape(whole[0].shape))
        dv = off.reshape(whole[1].shape)
        return dmu, np.maximum(whole[1], dv + g(k + 8) * (found.variance + dv))


def _of_shards(problem: SyncBatchNorm, sizes: npt.NDArray[np.int64]) -> tuple[Statistics, Array]:
    """The statistics of each shard with images, (K, C), and how many elements of a channel it holds, (K, 1)."""
    images = as_float(problem.x).transpose(0, 2, 3, 1)
    n, h, w, c = images.shape
    rows = images.reshape(n * h * w, c)
    counts = sizes * h * w
    first = np.cumsum(counts) - counts
    with np.errstate(invalid="ignore", over="ignore"):
        share = 1 / counts[:, None]
        mean = np.add.reduceat(rows, first) * share
        centred = rows - np.repeat(mean, counts, axis=0)
        modulus = np.abs(rows)
        variance = np.add.reduceat(centred**2, first) * share
        largest = np.maximum.reduceat(modulus, first)
        return Statistics(mean, variance, np.add.reduceat(modulus, first) * share, largest), counts[:, None] * 1.0
