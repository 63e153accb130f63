"""What an operation is: fields, a size formula, a ground truth, a bound, rules and laws.

An operation is a class and a problem is an instance of it. A clause of the specification is a tagged
method of that class: its name is the clause's name, its docstring the clause's text.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, Protocol, Self, TypeVar, cast, dataclass_transform

import numpy as np
import numpy.typing as npt

from .features import Exclusion, Feature
from .measured import Measured
from .pick import Pick
from .rounding import Arithmetic, Bound

T = TypeVar("T")

Tensor = npt.NDArray[Any]
Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
Shape = tuple[int, ...]
Sizes = tuple[int, ...]
Sides = tuple[Measured | npt.NDArray[Any], Measured | npt.NDArray[Any]]

CORE, STRICT = "core", "strict"


class InvalidProblem(ValueError):
    """The problem breaks a rule of its operation; the message is the rule's sentence and the values."""


class Undetermined(ValueError):
    """The result is a matter of chance, and no answer has settled it: the problem has no one truth."""


class Run(Protocol):
    """How a law asks the implementation under test for an answer."""

    def __call__(self, problem: Op) -> Measured:
        """The answer with the error that it may carry: zero wherever the result is forced."""

    def outputs(self, problem: Op) -> dict[str, Measured]:
        """Everything that comes back for an operation with several outputs, by name; what is absent is left out."""

    def values(self, problem: Op) -> npt.NDArray[np.float64]:
        """The answer alone, for laws about NaN, infinities and single bits."""

    def convention(self, name: str) -> str:
        """What the implementation declares where the specification leaves a choice; "" where it declares nothing."""

    @property
    def rounds_products(self) -> bool:
        """Does the implementation declare that products with 1 are not exact: it rounds inputs, or transforms them?"""

    @property
    def transforms(self) -> bool:
        """Does the implementation declare a transform, by which outputs are made of more than their own products?"""


@dataclass(frozen=True)
class Clause:
    """One entry of the specification. Its text is the docstring of the method that enforces it."""

    name: str  # "conv2d.padding_is_zeros"
    kind: str  # rule, law, example, edge or check
    level: str
    text: str
    source: str
    enforce: Callable[..., Any]
    broken: Callable[[Any, Pick], Any] | None = None
    may_refuse: bool = False
    values: bool = False  # of a rule: does it look at the elements of arrays, not just at their shapes?
    kinds: tuple[str, ...] = ()  # of a check of values: it tries every stored row, with data of these kinds in turn

    @property
    def op(self) -> str:
        return self.name.split(".")[0]

    @property
    def title(self) -> str:
        return re.split(r"(?<=\.)\s", self.text, maxsplit=1)[0].rstrip(".")


@dataclass(frozen=True)
class _Tag:
    kind: str
    level: str
    source: str
    broken: Callable[[Any, Pick], Any] | None = None
    may_refuse: bool = False
    values: bool = False


F = TypeVar("F", bound=Callable[..., Any])


def _tagged(method: F, tag: _Tag) -> F:
    method.__dict__["convspec_tag"] = tag
    return method


def rule(
    broken: Callable[[Any, Pick], Any], level: str = CORE, source: str = "", values: bool = False
) -> Callable[[F], F]:
    """A condition that a valid problem obeys; `broken(problem, pick)` makes a problem that does not.

    `values`: it looks at the elements of arrays; otherwise it may look at shapes, dtypes and parameters only.
    """
    return lambda method: _tagged(method, _Tag("rule", level, source, broken, values=values))


def law(source: str, level: str = CORE) -> Callable[[F], F]:
    """Two sides that must agree: `method(self, run, pick) -> (left, right)`, or None where it says nothing."""
    return lambda method: _tagged(method, _Tag("law", level, source))


def example(source: str, level: str = CORE) -> Callable[[F], F]:
    """A worked example: `method(cls, dtype) -> [(problem, output), ...]`, outputs computed elsewhere."""
    return lambda method: _tagged(method, _Tag("example", level, source))


def edge(source: str, level: str = CORE, may_refuse: bool = False) -> Callable[[F], F]:
    """A legal problem at a limit of the domain: `method(cls, pick) -> problem`; it must be accepted."""
    return lambda method: _tagged(method, _Tag("edge", level, source, may_refuse=may_refuse))


def snake_case(name: str) -> str:
    """`MaxPool2d` -> `max_pool2d`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Op:
    """A problem of some operation: its arrays and parameters. Subclasses are the specification.

    A subclass writes `output_shape`, `reference`, `judgement` and `draw`; everything here follows from them.
    Building a problem does not validate it, so that an invalid one can be handed to a backend.
    """

    name: ClassVar[str]
    clauses: ClassVar[tuple[Clause, ...]]
    chapters: ClassVar[tuple[ModuleType | SimpleNamespace, ...]] = ()  # where more clauses are: laws, examples, edges
    _kinds: ClassVar[dict[str, str]] = {}  # the fields, in order, and the names of their types
    _tensors: ClassVar[tuple[str, ...]] = ()  # those that are arrays
    _rules: ClassVar[tuple[Clause, ...]] = ()  # the clauses that a valid problem obeys
    _of_values: ClassVar[tuple[Clause, ...]] = ()  # those that look at the elements of arrays
    has_batch: ClassVar[bool] = True  # axis 0 of `x` is `n`, and every image is treated alone
    spreads: ClassVar[str] = ""  # how it passes on a NaN (spoilt.py); empty where laws of its own say that
    has_windows: ClassVar[bool] = False  # are there windows along rows and columns: `axes`, here or of the forward one?
    outputs: ClassVar[tuple[str, ...]] = ("y",)  # the names of what comes back; several come back as a tuple
    features: ClassVar[tuple[Feature, ...]] = ()  # what is told of a problem; all pairs of their classes are drawn
    excluded: ClassVar[tuple[Exclusion, ...]] = ()  # combinations of classes that the rules forbid

    # What a subclass provides.

    def output_shape(self) -> Shape:
        """The output-size formula, for a problem known to be valid."""
        raise NotImplementedError

    def reference(self) -> npt.NDArray[np.float64]:
        """The ground truth of a valid problem, computed in float64."""
        raise NotImplementedError

    def truth(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """An unevaluated sum `hi + lo` closer to the truth than float64; exact operations have lo = 0."""
        hi = self.reference()
        return hi, np.zeros_like(hi)

    def judgement(self, arithmetic: Arithmetic) -> Bound:
        """How far a correct result in this arithmetic may be from the truth, per element."""
        return Bound.exact(self.output_shape())

    def likely_errors(self, arithmetic: Arithmetic) -> dict[str, npt.NDArray[np.float64]]:
        """Of outputs that a model of rounding speaks of, by name: the standard deviation of each element's error.

        A model and no bound. It holds for random numbers without structure (`Kind.unstructured`).
        """
        return {}

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        """A valid problem out of choices."""
        raise NotImplementedError

    def declared(self, conventions: Mapping[str, str]) -> Op:
        """The problem as a backend with these declared conventions reads it."""
        return self

    @property
    def random(self) -> bool:
        """Is the result drawn, so that there is no one truth before an answer has settled what was drawn?"""
        return False

    def weighs(self, output: str) -> bool:
        """Has everything that this output adds up a weight other than zero?"""
        return True

    def settled(self, answer: Tensor) -> Op:
        """The problem with what the implementation was free to draw taken from its answer: dropout's mask."""
        return self

    # An operation with several outputs says the same of each of them, by name; one that is absent is left out.

    def output_shapes(self) -> dict[str, Shape]:
        return {self.outputs[0]: self.output_shape()}

    def references(self) -> dict[str, npt.NDArray[np.float64]]:
        return {self.outputs[0]: self.reference()}

    def truths(self) -> dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
        return {self.outputs[0]: self.truth()}

    def judgements(self, arithmetic: Arithmetic) -> dict[str, Bound]:
        """That of the one output; an operation with several says where each is derived."""
        return {self.outputs[0]: self.judgement(arithmetic)}

    # What everyone uses. Of an operation with several outputs these return a tuple, with None for an absent one.

    def shape(self) -> Any:
        """The shape of the output. Raises InvalidProblem with the rule's sentence for an invalid problem."""
        self.validate()
        return self._in_order(self.output_shapes())

    def expected(self) -> Any:
        """The ground truth in float64. Raises InvalidProblem with the rule's sentence for an invalid problem.

        Raises Undetermined for a problem whose result is drawn, before an answer has settled it.
        """
        self.validate()
        return self._in_order(self.references())

    def bound(self, arithmetic: Arithmetic | None = None) -> Any:
        """How far each element of a correct result may be from `expected()`, in the units of the output.

        `arithmetic` is what the implementation computes in; by default strict IEEE in the dtype of `x`.
        """
        self.validate()
        bounds = self.judgements(arithmetic or Arithmetic.ieee(self.dtype))
        return self._in_order({name: bound.tolerance for name, bound in bounds.items()})

    @property
    def unstructured(self) -> bool:
        """Were the arrays drawn at random without structure, as far as is known?"""
        return bool(vars(self).get("_unstructured", False))

    def note_kind(self, unstructured: bool) -> None:
        """Remember what the arrays were drawn from. A problem made of this one with `but` does not know."""
        vars(self)["_unstructured"] = unstructured

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """What `make` gives, made once and kept with the problem until `forget`."""
        store: dict[str, T] = vars(self).setdefault("_kept", {})
        if name not in store:
            store[name] = make()
        return store[name]

    def forget(self) -> None:
        """Let go of what was kept."""
        vars(self).pop("_kept", None)

    def _in_order(self, by_name: dict[str, Any]) -> Any:
        several = tuple(by_name.get(name) for name in self.outputs)
        return several if len(several) > 1 else several[0]

    def image(self, n: int) -> Self:
        """The problem of one image of the batch alone."""
        return self.but(x=np.array(self.arrays()["x"][n : n + 1], order="C"))

    def read(self, **choices: Any) -> Self:
        """The same problem, read with choices that are no fields: a declared convention, a mask that was drawn."""
        problem = self.but()
        vars(problem)["_reading"] = self.reading | choices
        return problem

    @property
    def reading(self) -> dict[str, Any]:
        """The choices beyond the fields with which the problem is read; none, for the problem as it stands."""
        return dict(vars(self).get("_reading", {}))

    @property
    def dtype(self) -> np.dtype[Any]:
        x: Tensor = vars(self)["x"]
        return x.dtype

    def arrays(self) -> dict[str, Tensor]:
        """The arrays that are present, by field name, `x` first."""
        mine = vars(self)
        return {name: mine[name] for name in self._tensors if mine[name] is not None}

    def may_lack(self, name: str) -> bool:
        """Is this an array that need not be there?"""
        return any(f.name == name and f.default is None for f in self._fields())

    def parameters(self) -> dict[str, Any]:
        """The fields that are not arrays."""
        mine = vars(self)
        return {name: mine[name] for name in self._kinds if name not in self._tensors}

    def but(self, **changes: Any) -> Self:
        """The same problem with some fields changed."""
        mine, kinds = vars(self), self._kinds
        if not changes.keys() <= kinds.keys():
            raise TypeError(f"{self.name} has no field {', '.join(sorted(changes.keys() - kinds.keys()))}")
        # What dataclasses.replace does, without writing out again what is as it was: problems are made by the million.
        problem = object.__new__(type(self))
        vars(problem).update(
            {name: _normal(changes[name], kind) if name in changes else mine[name] for name, kind in kinds.items()}
        )
        if mine.get("_broken") == () and all(_alike(mine[name], vars(problem)[name]) for name in changes):
            vars(problem)["_shaped"] = True
        return problem

    def broken_rules(self) -> tuple[str, ...]:
        """The names of the rules that this problem breaks; empty for a valid problem."""
        known: tuple[str, ...] | None = vars(self).get("_broken")  # everyone who is handed a problem asks
        if known is None:
            known = vars(self)["_broken"] = self._break()
        return known

    def _break(self) -> tuple[str, ...]:
        broken: list[str] = []
        # One made of a valid problem by other values alone obeys what does not look at values.
        for clause in self._of_values if "_shaped" in vars(self) else self._rules:
            try:
                obeyed = clause.enforce(self)
            except Exception:
                if not broken:  # a later rule may rely on an earlier one, never the other way round
                    raise
                continue
            if not obeyed:
                broken.append(clause.name.split(".")[1])
        return tuple(broken)

    def validate(self) -> None:
        """Raise InvalidProblem, with the sentence of the first rule that is broken, unless there is none."""
        broken = self.broken_rules()
        if broken:
            text = next(c.text for c in self.clauses if c.name == f"{self.name}.{broken[0]}")
            raise InvalidProblem(f"{self.name}: {text} Here: {self.summary()}")

    def summary(self) -> str:
        """One line: shapes of the arrays, then the parameters that differ from their defaults."""
        parts = [f"{k}({','.join(map(str, np.shape(v)))})" for k, v in self.arrays().items()]
        defaults = {f.name: f.default for f in self._fields()}
        for key, value in self.parameters().items():
            if value != _normal(defaults[key], self._kinds[key]):
                parts.append(f"{key}={value!r}".replace(" ", ""))
        return f"{self.name} {' '.join(parts)} {self.dtype}"

    def elements(self) -> int:
        """How many input elements the problem has, all arrays together: the size that shrinking reduces."""
        return sum(int(np.size(a)) for a in self.arrays().values())

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The names of the arrays and parameters, in order."""
        return tuple(cls._kinds)

    @classmethod
    def _fields(cls) -> tuple[dataclasses.Field[Any], ...]:
        return dataclasses.fields(cast(Any, cls))

    def __post_init__(self) -> None:
        mine = vars(self)
        mine.update({name: _normal(mine[name], kind) for name, kind in self._kinds.items()})

    def __repr__(self) -> str:
        return self.summary()


def _alike(old: Any, new: Any) -> bool:
    """Are these two arrays of one shape and dtype?"""
    arrays = isinstance(old, np.ndarray) and isinstance(new, np.ndarray)
    return arrays and old.shape == new.shape and old.dtype == new.dtype


def _normal(value: Any, kind: str) -> Any:
    """Shorthand written out: 2 -> (2, 2); padding 1 -> ((1, 1), (1, 1)), (1, 2) -> ((1, 1), (2, 2)); lists: arrays."""
    if kind.startswith("Tensor"):
        return np.asarray(value, dtype=np.float64) if isinstance(value, (list, tuple, int, float)) else value
    if kind not in ("Pair", "Padding", "Sizes"):
        return value
    if type(value) is int and kind in ("Pair", "Padding"):
        value = (value, value)
    if kind == "Padding" and isinstance(value, (list, tuple)):
        value = tuple((v, v) if type(v) is int else tuple(v) if isinstance(v, list) else v for v in value)
    return tuple(value) if isinstance(value, list) else value


def clause_text(function: Callable[..., Any]) -> str:
    """The docstring of the method that enforces a clause: its whole text, on one line per paragraph."""
    text = inspect.getdoc(function)
    if not text:
        raise TypeError(f"{function.__qualname__} enforces a clause but has no docstring to be its text")
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


C = TypeVar("C", bound=type[Op])


@dataclass_transform(kw_only_default=True, frozen_default=True, eq_default=False)
def operation(cls: C) -> C:
    """Make a class an operation: a frozen, keyword-only dataclass whose tagged methods are its clauses."""
    cls.name = vars(cls).get("name", "") or snake_case(cls.__name__)
    dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)(cls)
    cls._kinds = {f.name: str(f.type) for f in cls._fields()}
    cls._tensors = tuple(name for name, kind in cls._kinds.items() if kind.startswith("Tensor"))
    cls.clauses = tuple(_clauses(cls, cls.name))
    cls._rules = tuple(clause for clause in cls.clauses if clause.kind == "rule")
    cls._of_values = tuple(clause for clause in cls._rules if clause.values)
    return cls


def _clauses(cls: type[Op], op: str) -> Iterable[Clause]:
    for home in (cls, *cls.chapters):
        for name, member in vars(home).items():
            tag = getattr(member, "convspec_tag", None)
            if isinstance(tag, _Tag):
                of_class = tag.kind in ("example", "edge")
                yield Clause(
                    name=f"{op}.{name}",
                    kind=tag.kind,
                    level=tag.level,
                    text=clause_text(member),
                    source=tag.source,
                    enforce=partial(member, cls) if of_class else member,
                    broken=tag.broken,
                    may_refuse=tag.may_refuse,
                    values=tag.values,
                )
