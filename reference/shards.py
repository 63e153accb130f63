"""Statistics put together from those of several devices: how far they may be off."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dot import as_float
from .rounding import Arithmetic
from .sets import Array, errors, found_in, statistics

SyncBatchNorm = Any  # a problem with images `x` and `shards`, how many of them each device holds


def slices(problem: SyncBatchNorm) -> list[slice]:
    """Where the images of each device lie in x."""
    ends = np.cumsum(problem.shards).tolist()
    return [slice(end - size, end) for end, size in zip(ends, problem.shards, strict=True)]


def combined_errors(problem: SyncBatchNorm, arithmetic: Arithmetic) -> tuple[Array, Array]:
    """dmu and dv of the whole batch, whether its elements are gathered or the statistics of K shards are combined.

    Gathered: sets.errors. Combined: a shard has m_k elements, mean mu_k and variance v_k, which sets.errors holds to
    dmu_k and dv_k; averages weigh with m_k/m. A shard may also send (v_k + eps)^-1/2, as PyTorch's do: then dv_k gains
    g(13)*(v_k + eps), for a root good to 2 ulp, its square and the division.

    All at once or two at a time, a new mean is an average of earlier ones, and no step rounds it by more than 9u*P
    with P = max(|mu_k| + dmu_k): of mean_a + (mean_b - mean_a)*m_b/m_ab the sum rounds by uP, its second term by 4u*2P.
    Hence dmu = average(dmu_k) + g(9(K-1))*P, and no mean on the way is off by more than D = max(dmu_k) + g(9(K-1))*P.

    The variance is the average of v_k + (mu_k - mu)^2; two at a time, the squares of K-1 differences of means, with
    weights that add up to at most K-1. Each difference is off by e = 2D + 2uP, so with B = average((mu_k - mu)^2) the
    squares are off by b = 2e*sqrt((K-1)*B) + (K-1)*e^2 together, and no term has more than K+8 roundings:
    dv = average(dv_k) + b + g(K+8)*(v + average(dv_k) + b).
    """
    found, sets = found_in(problem), problem.sets
    whole = errors(found, sets.count, arithmetic)
    held = [part for part in slices(problem) if part.stop > part.start]
    k, u, eps = len(held), arithmetic.unit, problem.eps
    if k < 2:
        return whole

    def g(roundings: int) -> float:
        return roundings * u / (1 - roundings * u) if roundings * u < 1 else np.inf

    x = as_float(problem.x)
    per_image = sets.count // len(x)
    with np.errstate(invalid="ignore", over="ignore"):
        shares, means, off_means, off_variances = [], [], [], []
        for part in held:
            own = statistics(x[part], sets.axes)
            dmu, dv = errors(own, (part.stop - part.start) * per_image, arithmetic)
            shares.append((part.stop - part.start) / len(x))
            means.append(own.mean)
            off_means.append(dmu)
            off_variances.append(dv + g(13) * (own.variance + eps))
        w = np.reshape(shares, (k, 1, 1, 1, 1))
        mean_k, dmu_k, dv_k = np.stack(means), np.stack(off_means), np.stack(off_variances)
        step = g(9 * (k - 1)) * (np.abs(mean_k) + dmu_k).max(axis=0)
        e = 2 * (dmu_k.max(axis=0) + step) + 2 * u * (np.abs(mean_k) + dmu_k).max(axis=0)
        between = (w * (mean_k - found.mean) ** 2).sum(axis=0)
        b = 2 * e * np.sqrt((k - 1) * between) + (k - 1) * e**2
        mean = (w * dmu_k).sum(axis=0) + step
        off = (w * dv_k).sum(axis=0) + b
        variance = off + g(k + 8) * (found.variance + off)
    return np.maximum(whole[0], mean), np.maximum(whole[1], variance)
