"""What a known bug is: a right backend with one bug of a released library in it, and a case on which it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from convspec.reference import Op
from convspec.reference.op import snake_case

B = TypeVar("B", bound=type)


@dataclass(frozen=True)
class Known:
    """One bug that a library was released with, as a backend that has it in some operations."""

    id: str  # its number in the catalogue of bugs
    ref: str  # where it was reported: owner/repository#issue, or a commit
    backend: type
    ops: tuple[str, ...]  # the operations that it breaks
    clause: str  # a clause of the first of them that sees it ...
    at: Callable[[], Op]  # ... on this problem,
    choices: tuple[int, ...]  # with these further choices of the clause
    also: dict[str, Callable[[], Op]]  # problems of the other operations, on which the same clause sees it
    spared: Callable[[], Op] | None  # a problem near by that the bug leaves alone; None: see `known`
    setting: str  # what stands for what, where the bug's own mechanism is at work in another setting
    analog: str  # why it does not misbehave by the bug's own mechanism; empty if it does
    needs: str  # why no case of at most twenty input elements triggers it; empty if one does

    @property
    def name(self) -> str:
        return snake_case(self.backend.__name__)

    @property
    def text(self) -> str:
        return " ".join((self.backend.__doc__ or "").split())

    @property
    def library(self) -> str:
        return self.ref.partition("#")[0].partition("@")[0]

    @property
    def held_out(self) -> bool:
        """Is it in the half that generators and checks were not developed on? The catalogue counts B001, B003, ..."""
        return (int(self.id[1:]) + 1) // 2 % 2 == 0


KNOWN: list[Known] = []

# Settings of several bugs.
TRANSPOSED = "the gradient of the image, which is a transposed convolution of that of the output, stands for one"


def known(
    id: str,
    ref: str,
    *ops: str,
    clause: str,
    at: Callable[[], Op],
    choices: Sequence[int] = (),
    also: dict[str, Callable[[], Op]] | None = None,
    spared: Callable[[], Op] | None = None,
    setting: str = "",
    analog: str = "",
    needs: str = "",
) -> Callable[[B], B]:
    """Enter a backend into the gallery of known bugs; its docstring says what goes wrong and when.

    `clause` is the name, within the first of `ops`, of a clause that fails on the problem `at()`, and within the others
    on theirs in `also`. `spared()` is a problem on which the same clause passes, because the bug is not triggered. Left
    out where it is the clause that triggers it, by what it does to a problem: `at()` itself is spared before that.
    """

    def enter(backend: B) -> B:
        full = f"{ops[0]}.{clause}"
        KNOWN.append(Known(id, ref, backend, ops, full, at, tuple(choices), also or {}, spared, setting, analog, needs))
        return backend

    return enter


def filled(shape: Sequence[int], start: float = 1.0, dtype: Any = "float32") -> Any:
    """Small whole numbers, all different from their neighbours: what an element is tells where it came from."""
    import numpy as np

    size = int(np.prod(shape))
    return (np.arange(size) % 97 * 7 % 31 + start).reshape(tuple(shape)).astype(dtype)
