"""Calls from several threads at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any

from convspec.reference import Op

# Seconds after which a thread that runs Python hands over to another. Python's own 5 ms are longer than most calls, so
# that two of them would hardly ever meet.
HAND_OVER = 1e-4

# A call that was prepared costs little to run again: so often for each time that it is asked for.
RUNS = 16


def on_the_host(subject: Any, result: Any) -> Any:
    """What a method of a backend returned, brought back by the backend if it knows how."""
    to_numpy = getattr(subject, "to_numpy", None)
    if to_numpy is None:
        return result
    if isinstance(result, tuple):
        return tuple(None if one is None else to_numpy(one) for one in result)
    return to_numpy(result)


def together(subject: Any, problems: Sequence[Op], times: int) -> list[list[Any]]:
    """What comes back for each problem when as many threads call at once, each so often; an exception in place of an
    answer. Of a method that can be `prepared`, the first answer that differs from the one alone, or the last: its
    threads meet in the kernel, and not in what Python does before it.
    """
    work = [_work(subject, problem, times) for problem in problems]
    start = threading.Barrier(len(problems))
    found: list[list[Any]] = [[] for _ in problems]

    def call(which: int) -> None:
        start.wait()
        found[which] = work[which]()

    threads = [threading.Thread(target=copy_context().run, args=(call, k), daemon=True) for k in range(len(problems))]
    before = sys.getswitchinterval()
    sys.setswitchinterval(HAND_OVER)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    return found


def _work(subject: Any, problem: Op, times: int) -> Callable[[], list[Any]]:
    """What a thread does; all that need not be done by the thread is done now."""
    method = getattr(subject, problem.name)
    if not hasattr(method, "prepared"):
        return lambda: [_outcome(lambda: on_the_host(subject, method(problem))) for _ in range(times)]
    prepared = method.prepared(problem)
    prepared.run()
    alone = prepared.buffers.written()

    def run() -> list[Any]:
        prepared.run_often(times * RUNS, alone)
        return [_outcome(prepared.result)]

    return run


def _outcome(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except (Exception, SystemExit) as error:
        return error
