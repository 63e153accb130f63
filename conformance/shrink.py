"""From a failing case to the smallest one that fails: by Hypothesis, and where that ends with many elements, on.

The failing case is a list of choices (reference/pick.py). It is laid in a Hypothesis database as if an earlier run had
found it, so that Hypothesis reuses it and shrinks from there: generation would have to find a rare failure again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

import numpy as np

from convspec.reference import Op
from convspec.reference.pick import Pick

from .smaller import Trial, smaller

if TYPE_CHECKING:
    from hypothesis import strategies as st

KEY = b"convspec"

# How many times as long a search may last as it may compute: a backend in another process is waited for.
WAITING = 4

# Where Hypothesis leaves a case large, as many calls again may be spent, and this part of the time.
ON_SMALLER = 0.5

# A case with this many more input elements is still preferred if it is simpler in everything else.
CLOSE = 4


class _HypothesisPick(Pick):
    """Choices made by Hypothesis."""

    def __init__(self, draw: st.DrawFn, dtype: np.dtype[Any], budget: int) -> None:
        super().__init__(dtype, budget)
        self._draw = draw

    def choose(self, count: int, weights: Sequence[float] | None) -> int:
        from hypothesis import strategies as st

        index = self._draw(st.integers(0, count - 1))
        self.choices.append(index)
        return index


@dataclass(frozen=True)
class Shrunk:
    """The choices of the smallest failing case found, and how many cases were tried on the way."""

    choices: list[int]
    calls: int


def shrink(
    choices: list[int],
    fails: Callable[[Pick], int | None],
    dtype: np.dtype[Any],
    budget: int,
    *,
    most_calls: int,
    most_seconds: float,
    made: Callable[[Pick], Op] | None = None,
) -> Shrunk:
    """The simplest choices for which `fails` still gives a number, starting from a list for which it does.

    `fails(pick)` makes the case and returns the number of its input elements if it fails, else None. Simplest means
    what Hypothesis ends with, unless a case met on the way was far smaller. `made(pick)` is the problem of the
    case, with which no backend is called; without it, what Hypothesis leaves large stays large.
    """
    # Here and not above: half a second that a run without failures need not spend.
    from hypothesis import HealthCheck, Phase, core, find, settings
    from hypothesis import strategies as st
    from hypothesis.database import InMemoryExampleDatabase, choices_to_bytes
    from hypothesis.errors import Flaky, NoSuchExample

    best: tuple[int, list[int]] | None = None
    last: list[tuple[int, list[int]]] = []
    calls = 0
    # Of this process's own time, so that a busy machine finds the same case; where it waits, not for ever.
    deadline, patience = time.process_time() + most_seconds, time.monotonic() + WAITING * most_seconds

    @st.composite
    def cases(draw: st.DrawFn) -> tuple[int | None, list[int]]:
        nonlocal calls
        pick = _HypothesisPick(draw, dtype, budget)
        if calls >= most_calls or time.process_time() > deadline or time.monotonic() > patience:
            return None, []
        calls += 1
        return fails(pick), pick.choices

    def failing(case: tuple[int | None, list[int]]) -> bool:
        nonlocal best
        elements, made = case
        if elements is None:
            return False
        if best is None or (elements, made) < best:
            best = elements, list(made)
        last[:] = [(elements, list(made))]
        return True

    database = InMemoryExampleDatabase()
    database.save(KEY + b".secondary", choices_to_bytes(choices))  # the primary corpus would not be shrunk again
    quiet = settings(
        database=database,
        max_examples=most_calls,
        phases=(Phase.reuse, Phase.shrink),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    # A search that ends for want of calls would end elsewhere each time. Not `random=`: with it, Hypothesis leaves the
    # database aside; this is what its option --hypothesis-seed sets.
    before: int | None = core.global_force_seed
    vars(core)["global_force_seed"] = 0
    try:
        # Where Hypothesis runs out of calls, or the backend does not repeat, the smallest case met so far stands.
        with suppress(NoSuchExample, Flaky, SkipTest, ExceptionGroup):
            last[:] = [_known(find(cases(), failing, settings=quiet, database_key=KEY))]
    finally:
        vars(core)["global_force_seed"] = before
    simplest = list(choices) if best is None else last[0][1] if last[0][0] <= best[0] + CLOSE else best[1]
    if made is None:
        return Shrunk(simplest, calls)
    most_calls, deadline = calls + most_calls - 1, time.process_time() + ON_SMALLER * most_seconds

    def tried(pick: Pick) -> int | None:
        nonlocal calls
        calls += 1
        return fails(pick)

    def may_go_on() -> bool:
        return calls < most_calls and time.process_time() < deadline and time.monotonic() < patience

    return Shrunk(smaller(simplest, Trial(made, tried, dtype, budget, may_go_on)), calls)


def _known(case: tuple[int | None, list[int]]) -> tuple[int, list[int]]:
    return case[0] or 0, list(case[1])
