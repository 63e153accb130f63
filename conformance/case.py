"""One case of a clause on one backend: the problem, the calls that were made, what is true of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend, Lost, NoDomain, Unsupported
from convspec.reference import Composition, Op
from convspec.reference.measured import Measured
from convspec.reference.pick import Pick
from convspec.reference.rounding import Arithmetic, Bound

from .compare import Evidence, Tally, Truth, Violation, formed
from .sweep import Clock, Oracle

Tensor = npt.NDArray[Any]


def called(backend: Backend, problem: Op) -> Any:
    """What the backend returns; the arrays of the problem, which others share, are put back if it wrote into them."""
    before = [(array, array.tobytes()) for array in problem.arrays().values() if array.flags.writeable]
    result: Any = None
    try:
        result = backend.call(problem)
    finally:
        for array, saved in before:
            if array.tobytes() != saved:
                result = _apart(result, array)
                array[...] = np.frombuffer(saved, array.dtype).reshape(array.shape)
    return result


def _apart(result: Any, array: Tensor) -> Any:
    """The result, with outputs that share memory with this array copied."""
    if isinstance(result, tuple):
        return tuple(_apart(one, array) for one in result)
    shares = isinstance(result, np.ndarray) and np.may_share_memory(result, array)
    return result.copy() if shares else result


def gone(lost: Lost, evidence: Evidence) -> Violation:
    """The violation that it is to lose the process in a call."""
    cause = "no answer in time" if lost.status == "timeout" else "the process died"
    return Violation(cause, str(lost), evidence, lost.status)


class Case:
    """Asks one backend for answers and remembers them; the `run` that laws are given."""

    def __init__(
        self, problem: Op, backend: Backend, oracle: Oracle, clock: Clock, pick: Pick, tally: Tally | None = None
    ) -> None:
        self.problem = problem
        self.backend = backend
        self.pick = pick
        self.tally = tally or Tally()
        self.note = ""
        self.calls: list[tuple[Op, dict[str, Tensor]]] = []
        self._oracle = oracle
        self._clock = clock

    @property
    def arithmetic(self) -> Arithmetic:
        return self._arithmetic(self.problem)

    def raw(self, problem: Op | None = None, *, restore: bool = True) -> Any:
        """Whatever the backend returns for a valid problem. Its exceptions are violations."""
        problem = problem or self.problem
        if isinstance(problem, Composition):
            return problem.follow(lambda layer: self.layer(layer, restore=restore))
        with self._asking(problem):
            return called(self.backend, problem) if restore else self.backend.call(problem)

    def together(self, problems: Sequence[Op], times: int) -> list[list[dict[str, Tensor]]]:
        """The outputs for valid problems when as many threads call at once, each so often."""
        for problem in problems:
            problem.validate()
        with self._asking(*problems):
            found = self.backend.together(problems, times)
        return [
            [self._together(problem, outcome) for outcome in mine]
            for problem, mine in zip(problems, found, strict=True)
        ]

    def _together(self, problem: Op, outcome: Any) -> dict[str, Tensor]:
        with self._asking():
            if isinstance(outcome, BaseException):
                raise outcome
        return formed(problem, outcome)

    @contextmanager
    def _asking(self, *problems: Op) -> Iterator[None]:
        """While a backend is asked about valid problems in its domain, its exceptions are violations."""
        first = problems[0] if problems else self.problem
        try:
            for problem in problems:
                if not self.backend.offers(problem.name):
                    raise Unsupported(f"the backend has no {problem.name}")
            with self._clock.stage("backend"):
                for problem in problems:
                    if not self.backend.supports(problem):
                        raise Unsupported("outside the backend's stated domain")
                yield
        except (Unsupported, Violation):
            raise
        except Lost as lost:
            raise gone(lost, Evidence(first, expected=None if first.random else first.reference())) from lost
        except (Exception, SystemExit) as error:
            text = (str(error).strip().splitlines() or [""])[0][:300]
            of_domain = isinstance(error, NoDomain)
            raise Violation(
                "raised in supports" if of_domain else f"raised {type(error).__name__}",
                str(error) if of_domain else f"raised {type(error).__name__}: {text}",
                Evidence(first, expected=None if first.random else first.reference()),
            ) from error

    def answers(self, problem: Op, handed: Op | None = None) -> dict[str, Tensor]:
        """The outputs for a valid problem by name, each of the right type, dtype and shape.

        `handed` is the same problem in memory that will hold other values later.
        """
        problem.validate()
        answers = formed(problem, self.raw(handed or problem))
        if not isinstance(problem, Composition):  # of which the layers are the calls
            self._note(problem, answers)
        return answers

    def layer(self, problem: Op, *, restore: bool = True) -> Tensor:
        """The first output of a layer of a valid network, whose rules were looked at with the network's."""
        answers = formed(problem, self.raw(problem, restore=restore))
        self._note(problem, answers)
        return answers[problem.outputs[0]]

    def _note(self, problem: Op, answers: dict[str, Tensor]) -> None:
        # Copies: a backend may hand out one buffer again and again.
        self.calls.append((problem, {name: np.array(answer) for name, answer in answers.items()}))

    def answer(self, problem: Op) -> Tensor:
        """The first output for a valid problem: the only one of most operations."""
        return self.answers(problem)[problem.outputs[0]]

    def values(self, problem: Op) -> npt.NDArray[np.float64]:
        """The first output in float64, with no error attached."""
        return np.array(self.answer(problem), np.float64)

    def outputs(self, problem: Op) -> dict[str, Measured]:
        """The outputs with the error that each may carry. Elements that may overflow carry any."""
        answers = {name: np.array(answer, np.float64) for name, answer in self.answers(problem).items()}
        arithmetic = self._arithmetic(problem)

        def error(name: str, value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return _error(value, self._oracle.bounds(self._as_read(problem, answers), arithmetic)[name], arithmetic)

        return {name: Measured(value, partial(error, name, value)) for name, value in answers.items()}

    def __call__(self, problem: Op) -> Measured:
        """The first output with the error that it may carry."""
        return self.outputs(problem)[problem.outputs[0]]

    def truths(self, problem: Op, answers: dict[str, Tensor]) -> dict[str, Truth]:
        """What each output should be, given what the answers settle and what the backend declares."""
        return self._oracle.truths(self._as_read(problem, answers), self._arithmetic(problem))

    def _as_read(self, problem: Op, answers: dict[str, Tensor]) -> Op:
        return problem.settled(answers[problem.outputs[0]]).declared(self.backend.conventions)

    def bound(self) -> Bound:
        """How far the answer to the case's problem may be off, of an operation with one output and no chance."""
        problem = self.problem.declared(self.backend.conventions)
        return self._oracle.bounds(problem, self.arithmetic)[problem.outputs[0]]

    def convention(self, name: str) -> str:
        """What the backend declares for a choice that the specification leaves open."""
        return self.backend.conventions.get(name, "")

    @property
    def rounds_products(self) -> bool:
        return self.arithmetic.input_rounding > 0 or self.transforms

    @property
    def transforms(self) -> bool:
        return self.arithmetic.algorithm != "direct"

    @property
    def smallest(self) -> float:
        """Where flushing is declared, numbers below this may have become zero."""
        return self.arithmetic.out.smallest_normal if self.arithmetic.flush_to_zero else 0.0

    def _arithmetic(self, problem: Op) -> Arithmetic:
        return self.backend.arithmetic_of(problem)


def _error(value: npt.NDArray[np.float64], bound: Bound, arithmetic: Arithmetic) -> npt.NDArray[np.float64]:
    """How far an answer may be from the truth, whatever it is beyond the range."""
    tolerance = np.where(bound.overflows | np.isinf(value), np.inf, bound.tolerance)
    if arithmetic.flush_to_zero:  # a zero may have been a subnormal, itself off by as much
        least = arithmetic.out.smallest_normal
        tolerance = np.where((np.abs(value) < least) & (bound.size > 0), tolerance + least, tolerance)
    return tolerance
