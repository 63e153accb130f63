"""The checks inside somebody's own test suite: `convspec.check(my_conv2d, op="conv2d")`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from convspec.adapters import Backend, CannotLoad
from convspec.reference import OPS, SPECIFIED
from convspec.reports.record import Cell
from convspec.reports.text import variant

from .checks import clauses_of
from .engine import Engine, Verdict
from .settings import PROFILES, Settings


class NonConformance(AssertionError):
    """Clauses do not hold. `cells` has the verdict of every clause that was tried."""

    def __init__(self, message: str, cells: list[Cell]) -> None:
        super().__init__(message)
        self.cells = cells


def check(
    subject: Callable[..., Any] | object,
    op: str | None = None,
    *,
    dtypes: Iterable[str] = ("float32",),
    profile: str = "smoke",
    examples: int | None = None,
    seed: int = 0,
) -> list[Cell]:
    """Try every clause on a backend, or on a function that takes a problem of the operation `op`.

    Returns the verdict of each clause, with the arithmetic that is declared for it where it is other than ieee. Raises
    NonConformance (an AssertionError) that tells each failed clause with its smallest case, ValueError for an unknown
    operation or profile.
    """
    names = [o.name for o in SPECIFIED]
    if op is not None and op not in names:
        raise ValueError(f"op: no {op!r}; it may be {', '.join(names)}")
    if profile not in PROFILES:
        raise ValueError(f"profile: no {profile!r}; it may be {', '.join(PROFILES)}")
    backend = _backend(subject, op, tuple(dtypes))
    level = PROFILES[profile]
    engine = Engine(Settings(profile=level, examples=examples or level.examples, seed=seed))
    verdicts: list[Verdict] = []
    for operation in SPECIFIED:
        if backend.offers(operation.name) and op in (None, operation.name):
            for dtype in backend.dtypes:
                verdicts += [engine.run(clause, backend, dtype) for clause in clauses_of(operation)]
    cells = [v.cell for v in verdicts]
    failed = [v for v in verdicts if v.failure is not None]
    if failed:
        told = "\n".join(_told(v) for v in failed[:10])
        more = f"\nand {len(failed) - 10} more" if len(failed) > 10 else ""
        raise NonConformance(f"{len(failed)} of {len(cells)} clauses do not hold:\n{told}{more}", cells)
    return cells


def _backend(subject: Any, op: str | None, dtypes: tuple[str, ...]) -> Backend:
    if any(callable(getattr(subject, o.name, None)) for o in OPS):
        return Backend.of("backend", subject() if isinstance(subject, type) else subject, "object")
    if not callable(subject):
        raise CannotLoad(f"{subject!r} is neither a backend nor a function")
    if op is None:
        raise ValueError("op: say which operation the function implements, such as op='conv2d'")
    return Backend.of(
        getattr(subject, "__name__", "function"), SimpleNamespace(**{op: subject}, dtypes=dtypes), "object"
    )


def _told(verdict: Verdict) -> str:
    assert verdict.failure is not None
    failure = verdict.failure
    of = variant(failure.dtype, failure.arithmetic)
    return f"  {failure.clause} [{of}]: {failure.message}\n    {failure.code}"
