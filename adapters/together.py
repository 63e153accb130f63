"""Calls from several threads at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

from convspec.reference import Op

# Seconds after which a thread that runs Python hands over to another. Python's own 5 ms are longer than most calls, so
# that two of them would hardly ever meet.
HAND_OVER = 2e-5


class _Call:
    """A call of a method that knows no better than to be called."""

    def __init__(self, subject: Any, problem: Op) -> None:
        self.subject = subject
        self.problem = problem
        self.answer: Any = None

    def run(self) -> None:
        self.answer = getattr(self.subject, self.problem.name)(self.problem)

    def result(self) -> Any:
        return on_the_host(self.subject, self.answer)


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
    answer. A method that can be `prepared` is: then its threads meet in the kernel, and not in what Python does first.
    """
    calls = [[_prepared(subject, problem) for _ in range(times)] for problem in problems]
    errors: dict[int, BaseException] = {}
    start = threading.Barrier(len(problems))

    def work(mine: Sequence[Any]) -> None:
        start.wait()
        for call in mine:
            try:
                call.run()
            except (Exception, SystemExit) as error:
                errors[id(call)] = error

    threads = [threading.Thread(target=copy_context().run, args=(work, mine), daemon=True) for mine in calls]
    before = sys.getswitchinterval()
    sys.setswitchinterval(HAND_OVER)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    return [[_outcome(call, errors.get(id(call))) for call in mine] for mine in calls]


def _prepared(subject: Any, problem: Op) -> Any:
    prepare = getattr(getattr(subject, problem.name), "prepared", None)
    return _Call(subject, problem) if prepare is None else prepare(problem)


def _outcome(call: Any, error: BaseException | None) -> Any:
    if error is not None:
        return error
    try:
        return call.result()
    except Exception as raised:
        return raised
