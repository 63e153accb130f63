"""Tables of docs/numerics.md about normalizations, and about what bounds cost beside expected values."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import load
from convspec.conformance.compare import Truth, accepted
from convspec.conformance.grading.sets import NORMS, fit, scales, whole_sets
from convspec.conformance.settings import PROFILES, Settings
from convspec.conformance.sweep import Clock, Sweep
from convspec.reference import OPS, LayerNorm, Op
from convspec.reference.rounding import Arithmetic
from tests import simulated

from .numerics_rules import FLOAT32, Rows

Call = Callable[[Any], npt.NDArray[Any]]

EPS = 1e-5


def _layers() -> dict[str, Call]:
    """Layer normalizations that are right."""
    shipped = {name: load(name) for name in ("numpy", "c", "torch")}
    made: dict[str, Call] = {
        "two passes": simulated.Centred().layer_norm,
        "running mean (Welford)": simulated.Welford().layer_norm,
        "one pass": simulated.OnePass().layer_norm,
        "one pass, folded": simulated.OnePassFolded().layer_norm,
    }
    return made | {f"`{name}`": backend.call for name, backend in shipped.items()}


def _sets(random: np.random.Generator, sets: int, m: int, mean: float, deviation: float) -> LayerNorm:
    x = (random.standard_normal((sets, 1, 1, m)) + mean) * deviation
    return LayerNorm(x=x.astype(np.float32), eps=EPS)


def _judged(call: Call, problem: Op) -> tuple[float, float]:
    """The largest error over bound, and the largest error."""
    hi, lo = problem.kept("truth", problem.truth)
    bound = problem.kept("bound", lambda: problem.judgement(FLOAT32))
    answer = call(problem)
    ratio = accepted(answer, Truth.of(hi, lo, bound), FLOAT32)[1]
    return float(ratio.max()), float(np.abs(np.asarray(answer, np.float64) - hi).max())


MEANS = (0.0, 10.0, 1e2, 1e3, 1e4)


def variances(m: int = 1024, sets: int = 8, means: Sequence[float] = MEANS) -> Rows:
    """Error over bound, and the error itself, of right ways to take a variance, by mean over deviation."""
    made = [["variance", *(f"mean/deviation = {mean:g}" for mean in means)]]
    random = np.random.default_rng(4)
    problems = [_sets(random, sets, m, mean, 1.0) for mean in means]
    for name, call in _layers().items():
        found = [_judged(call, problem) for problem in problems]
        made.append([name, *(f"{ratio:.2g} / {error:.0e}" for ratio, error in found)])
    bounds = [problem.kept("bound", lambda: problem.judgement(FLOAT32)) for problem in problems]  # noqa: B023
    return [*made, ["*the bound, in the median*", *(f"{np.median(bound.tolerance):.0e}" for bound in bounds)]]


def classes(m: int = 64, sets: int = 24, means: Sequence[int] = (0, 50, 500, 5_000, 50_000)) -> Rows:
    """How far the deviations of sets of exact mean and variance are off, over what each class of variances allows."""
    made = [["variance", *(f"{mean}" for mean in means)]]
    random = np.random.default_rng(14)
    problems = [NORMS["layer_norm"](whole_sets(random, sets, m, mean).astype(np.float32), EPS) for mean in means]
    for name, call in _layers().items():
        row = []
        for problem in problems:
            rows = problem.sets.rows
            hi, lo = problem.truth()
            found = fit(rows(np.asarray(call(problem), np.float64)), rows(hi), rows(lo))
            allowed = scales(problem, FLOAT32)
            row.append(" / ".join(f"{np.max(np.abs(found.scale) / allowed[c]):.2g}" for c in ("V-A", "V-B", "V-C")))
        made.append([name, *row])
    return made


WRONG = {
    "right": "Centred",
    "eps outside the root": "EpsOutside",
    "eps missing": "EpsMissing",
    "eps twice": "EpsTwice",
    "variance over m - 1": "BesselInTheOutput",
    "an element left out": "DropsAnElement",
    "root of 12 bits": "CoarseRoot",
    "root of 12 bits and a Newton step": "RefinedRoot",
    "statistics in float16": "F16Statistics",
}


def bugs(sizes: Sequence[int] = (8, 4096), sets: int = 16) -> Rows:
    """Error over bound of wrong normalizations: few elements with a variance near eps, and many with a variance of 1.
    More than 1 is caught."""
    small, large = sizes
    random = np.random.default_rng(5)
    made = [["layer normalization", f"m = {small}, variance about eps", f"m = {small}, 1", f"m = {large}, 1"]]
    problems = [
        _sets(random, sets, small, 0.0, EPS**0.5),
        _sets(random, sets, small, 0.0, 1.0),
        _sets(random, sets, large, 0.0, 1.0),
    ]
    for name, cls in WRONG.items():
        call = getattr(simulated, cls)().layer_norm
        made.append([name, *(f"{_judged(call, problem)[0]:.2g}" for problem in problems)])
    return made


# What bounds cost.

PRICED = ("conv2d", "linear", "batch_norm2d", "layer_norm", "avg_pool2d", "max_pool2d")


def cost(problems: int = 100, names: Sequence[str] = PRICED, dtypes: Sequence[str] = ("float32", "float64")) -> Rows:
    """Time of the bounds over time of the expected values that were made before, of the default profile's problems."""
    made = [["operation"]]
    for dtype in dtypes:
        made[0] += [f"{dtype}: expected, µs", "bound, µs", "median ratio", "ratio of sums"]
    profile = PROFILES["default"]
    settings = Settings(profile=profile, examples=profile.examples)
    by_name = {op.name: op for op in OPS}
    for name in names:
        row = [f"`{name}`"]
        for dtype in dtypes:
            sweep = Sweep(by_name[name], dtype, settings, Clock())
            times = np.array([_times(sweep.problem(index)[0]) for index in range(problems)])
            row += [f"{1e6 * t:.0f}" for t in np.median(times, axis=0)]
            row += [f"{np.median(times[:, 1] / times[:, 0]):.2f}", f"{times[:, 1].sum() / times[:, 0].sum():.2f}"]
        made.append(row)
    return made


def _times(problem: Op, repetitions: int = 3) -> tuple[float, float]:
    """Seconds for the truths and then the bounds of one problem: the best of a few, each on a copy that has kept
    nothing."""
    best = [np.inf, np.inf]
    arithmetic = Arithmetic.ieee(problem.dtype)
    for _ in range(repetitions):
        fresh = problem.but()
        start = time.perf_counter()
        fresh.truths()
        between = time.perf_counter()
        fresh.judgements(arithmetic)
        end = time.perf_counter()
        best = [min(best[0], between - start), min(best[1], end - between)]
    return best[0], best[1]
