"""Operations one after another: what a backend gives for one layer is what the next one is asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .between import Between
from .formats import FORMATS
from .op import InvalidProblem, Op, Shape, Tensor
from .passing import off_by, passed_on, spread_on
from .rounding import Arithmetic, Bound

Array = npt.NDArray[np.float64]
Layer = Callable[[Tensor], Op]  # the problem of a layer, once its input is known; a flattening belongs to it
Step = Layer | Between


@dataclass(frozen=True)
class Passed:
    """A step of the ground truth: what came in, the layer's problem about it (none between layers), what went out."""

    step: Step
    x: Array
    problem: Op | None
    y: Array


class Composition(Op):
    """A problem made of others. A backend has no method for it: its layers are asked for one by one.

    A subclass says what the steps are; the ground truth is that of the steps, each on the truth of the one before, in
    float64. The rules are those of the layers.
    """

    requires: ClassVar[tuple[str, ...]] = ()  # the operations that a backend must have to be asked at all
    may_have: ClassVar[tuple[str, ...]] = ()  # those that a layer may be besides

    def steps(self) -> tuple[Step, ...]:
        """The layers, first to last, and what is computed between them."""
        raise NotImplementedError

    def follow(self, ask: Callable[[Op], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The result, when `ask` gives the first output of each layer's problem."""
        x = self.arrays()["x"]
        for step in self.steps():
            x = step.applied(x) if isinstance(step, Between) else ask(step(x))
        return x

    def layers(self) -> tuple[Op, ...]:
        """The layers' problems with zeros for their inputs: for all that depends on sizes and parameters alone.

        Raises InvalidProblem with the sentence of the first rule that a layer breaks.
        """
        known = vars(self).get("_layers")
        if known is None:
            found: list[Op] = []

            def ask(problem: Op) -> npt.NDArray[Any]:
                problem.validate()
                found.append(problem)
                return np.zeros(problem.output_shapes()[problem.outputs[0]], problem.dtype)

            vars(self)["_shape"] = self.follow(ask).shape
            known = vars(self)["_layers"] = tuple(found)
        return tuple(known)

    def broken_rules(self) -> tuple[str, ...]:
        """The rules that the network breaks; if none, those that its first invalid layer breaks, as `layer.rule`."""
        broken = super().broken_rules()
        if broken:
            return broken
        try:
            self.layers()
        except InvalidProblem as error:
            return (str(error).partition(":")[0],)
        return ()

    def validate(self) -> None:
        broken = super().broken_rules()
        if broken:
            super().validate()
        try:
            self.layers()
        except InvalidProblem as error:
            raise InvalidProblem(f"{self.name}: {error}") from None

    @property
    def mixes_images(self) -> bool:
        """Has it a layer in which the images of a batch act on each other?"""
        return not all(problem.has_batch for problem in self.layers())

    def output_shape(self) -> Shape:
        self.layers()
        shape: Shape = vars(self)["_shape"]
        return shape

    def declared(self, conventions: Mapping[str, str]) -> Op:
        """Each layer as the backend reads it; the network itself, if that changes none of them."""
        if all(problem.declared(conventions) is problem for problem in self.layers()):
            return self
        return self.read(conventions=tuple(sorted(conventions.items())))

    def path(self) -> tuple[Passed, ...]:
        """The steps of the ground truth."""
        known = vars(self).get("_path")
        if known is None:
            conventions = dict(self.reading.get("conventions", ()))
            found: list[Passed] = []
            x = np.asarray(self.arrays()["x"], np.float64)
            for step in self.steps():
                if isinstance(step, Between):
                    problem, y = None, step.value(x)
                else:
                    problem = step(x).declared(conventions)
                    y = problem.references()[problem.outputs[0]]
                found.append(Passed(step, x, problem, y))
                x = y
            known = vars(self)["_path"] = tuple(found)
        return tuple(known)

    def reference(self) -> Array:
        return self.path()[-1].y

    def judgement(self, arithmetic: Arithmetic) -> Bound:
        """How far the last answer may be from the truth when every layer is as far off as it may be.

        D_0 = 0. Let the input of a layer be off by at most D, the layer's own error be at most e, and that of the
        reference, which computes in float64, e64. Then the output is off by at most

            sup |f(x') - f(x)| + sup e(x') + e64(x)    over all |x' - x| <= D,

        elementwise; passing.py has both suprema for every layer, and the next D: how far an answer that is accepted may
        be off, which is that and, where flushing is declared, what a zero in its place may be. Derived here. Where
        nothing is off and a layer's result is forced (integers), it stays forced. The bound grows by about the sum of a
        filter's absolute weights in each layer.
        """
        x = np.asarray(self.arrays()["x"], np.float64)
        bound, off = Bound.exact(x.shape), np.zeros(x.shape)
        for passed in self.path():
            if passed.problem is not None:
                bound = passed_on(passed.problem, bound, off, arithmetic)
            else:
                assert isinstance(passed.step, Between)
                error = passed.step.passed_on(passed.x, off, self.dtype)
                size = np.abs(passed.y) + passed.step.size(passed.x)
                over = ~(np.abs(passed.y) + error < arithmetic.out.largest)
                bound = Bound(error, np.zeros(error.shape, bool), over, size)
            off = off_by(bound, passed.y, arithmetic)
        return bound

    def likely_errors(self, arithmetic: Arithmetic) -> dict[str, Array]:
        return {self.outputs[0]: self.spread(arithmetic)}

    def spread(self, arithmetic: Arithmetic) -> Array:
        """The standard deviation of the last answer's error, were every rounding an independent random number.

        A model and no bound: data with structure may exceed it, by ten times and more.
        """
        spread: Array = np.zeros(self.arrays()["x"].shape)
        for passed in self.path():
            if passed.problem is not None:
                spread = spread.reshape(passed.problem.arrays()["x"].shape)
                spread = spread_on(passed.problem, spread, arithmetic)
            else:
                assert isinstance(passed.step, Between)
                own = 0.4 * (arithmetic.out.unit if arithmetic.out.p < 53 else FORMATS["float64"].unit)
                spread = np.hypot(passed.step.spread(passed.x, spread), own * np.abs(passed.y))
        return spread
