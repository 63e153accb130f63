"""What an implementation under test may provide, and how the suite holds one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from convspec.reference import NETWORKS, OPS, Composition, Op
from convspec.reference.formats import FORMATS, name_of
from convspec.reference.rounding import DECLARED, Arithmetic

from .declarations import MULTIPLYING, REDUCED, conventions_of, fits, misspelt, not_called, told, without_transform
from .errors import CannotLoad, NoDomain, Unsupported
from .stale import spoil
from .together import on_the_host, together
from .watch import Watch

_REQUIRED = {network.name: network.requires for network in NETWORKS}
_LAYERS = {network.name: (*network.requires, *network.may_have) for network in NETWORKS}


@dataclass
class Backend:
    """An implementation under test: the user's object and what it declares, checked once when it is loaded."""

    key: str  # what the user typed after --backend; the column of the report
    subject: Any
    kind: str  # "shipped" or "file" or "module"
    name: str = ""
    version: str = ""
    device: str = "cpu"
    notes: str = ""
    source: Path | None = None
    dtypes: tuple[str, ...] = ("float32",)
    operations: tuple[str, ...] = ()
    conventions: dict[str, str] = field(default_factory=dict)
    prepares: bool = False  # can its calls be prepared, so that threads meet in the kernels themselves?
    attribute: str = ""  # the class of an object that lives in another process
    misspelt: dict[str, str] = field(default_factory=dict)  # methods that are never called, and what may be meant
    computes_in: dict[tuple[str, np.dtype[Any]], Arithmetic] = field(default_factory=dict, repr=False)
    watch: Watch = field(default_factory=Watch, repr=False)
    seen: tuple[str, ...] = ()

    @classmethod
    def of(cls, key: str, subject: Any, kind: str, source: Path | None = None) -> Backend:
        """Read and check what the object declares. Raises CannotLoad with the first thing that is wrong."""
        dtypes = getattr(subject, "dtypes", ("float32",))
        dtypes = (dtypes,) if isinstance(dtypes, str) else tuple(str(d) for d in dtypes)
        for dtype in dtypes:
            if dtype not in FORMATS:
                raise CannotLoad(f"{key}: dtypes names {dtype!r}; it may name {', '.join(FORMATS)}")
        operations = tuple(op.name for op in OPS if callable(getattr(subject, op.name, None)))
        if not operations:
            known = ", ".join(op.name for op in OPS)
            hint = " ".join(not_called(misspelt(subject))) or f"it may have any of {known}"
            raise CannotLoad(f"{key}: has no method named like an operation; {hint}")
        backend = cls(
            key=key,
            subject=subject,
            kind=kind,
            name=str(getattr(subject, "name", type(subject).__name__)),
            version=str(getattr(subject, "version", "")),
            device=str(getattr(subject, "device", "cpu")),
            notes=str(getattr(subject, "notes", "")),
            source=source,
            dtypes=tuple(d for d in FORMATS if d in dtypes),
            operations=operations,
            conventions=conventions_of(key, getattr(subject, "conventions", {})),
            misspelt=misspelt(subject),
            prepares=any(hasattr(getattr(subject, op), "prepared") for op in operations),
        )
        for op in operations:
            for dtype in backend.dtypes:
                backend.arithmetic(op, dtype)
        return backend

    def offers(self, op: str) -> bool:
        """Has it this operation, or those that this network is made of?"""
        return set(_REQUIRED.get(op, (op,))) <= set(self.operations)

    def supports(self, problem: Op) -> bool:
        """The backend's own word on whether the problem is in its domain. Raises NoDomain where it gives none."""
        supports = getattr(self.subject, "supports", None)
        if supports is None:
            return True
        due = "it must return True or False for every valid problem of its operations"
        try:
            answer = supports(problem)
        except Unsupported:
            raise
        except (Exception, SystemExit) as error:
            text = (str(error).strip().splitlines() or [""])[0][:300]
            raise NoDomain(f"its `supports` raised {type(error).__name__}: {text}; {due}") from error
        if not isinstance(answer, (bool, np.bool_)):
            raise NoDomain(f"its `supports` returned {answer!r:.100}; {due}")
        return bool(answer)

    def call(self, problem: Op) -> Any:
        """What the backend returns for the problem, on the host; its exceptions pass through.

        `seen` then says what it did with the memory of its answers that it should not.
        """
        result = self._called(problem)
        self.seen = self.watch.look(problem, result)
        return result

    def together(self, problems: Sequence[Op], times: int) -> list[list[Any]]:
        """What comes back when as many threads as there are problems call at once, each of them so often.

        In place of an answer stands the exception that the call raised.
        """
        return together(self.subject, problems, times)

    def _called(self, problem: Op) -> Any:
        if not self.prepares:  # whose outputs are memory of ours, spoiled too
            spoil(problem)
        return on_the_host(self.subject, getattr(self.subject, problem.name)(problem))

    def arithmetic(self, op: str, dtype: str) -> Arithmetic:
        """The arithmetic that the backend declares for an operation and a dtype; strict IEEE by default, and where a
        reduced multiplication is declared by name for an operation that has none. Without a transform of which the
        operation knows nothing."""
        declared = getattr(self.subject, "arithmetic", "ieee")
        if isinstance(declared, Mapping):
            declared = declared.get((op, dtype), "ieee")
        if isinstance(declared, Arithmetic):
            fits(self.key, declared, op, dtype)
            return without_transform(declared, op)
        if declared != "ieee" and declared not in DECLARED:
            raise CannotLoad(f"{self.key}: arithmetic {declared!r} is unknown; known are ieee, {', '.join(DECLARED)}")
        named = Arithmetic.named("ieee" if declared in REDUCED and op not in MULTIPLYING else declared, dtype)
        return without_transform(named, op)

    def arithmetic_of(self, problem: Op) -> Arithmetic:
        """The arithmetic declared for a problem; for a network, the loosest of those of its layers."""
        if isinstance(problem, Composition):
            dtype = name_of(problem.dtype)
            names = sorted({layer.name for layer in problem.layers()})
            return Arithmetic.loosest([self.arithmetic(name, dtype) for name in names])
        key = problem.name, problem.dtype  # whose name takes microseconds to make
        if key not in self.computes_in:
            self.computes_in[key] = self.arithmetic(problem.name, name_of(problem.dtype))
        return self.computes_in[key]

    @property
    def relaxed(self) -> str:
        """The declared arithmetics other than ieee, each with the dtypes and operations that it is declared for."""
        return told(
            {(op, dtype): self.arithmetic(op, dtype).name for dtype in self.dtypes for op in self.operations},
            self.operations,
        )

    def declares(self, op: str, dtype: str) -> str:
        """The name of the arithmetic declared for an operation or a network, if it is other than ieee: printed wherever
        a verdict on it is."""
        used = {self.arithmetic(one, dtype).name for one in _LAYERS.get(op, (op,)) if one in self.operations}
        return "+".join(sorted(used - {"ieee"}))

    @property
    def warnings(self) -> list[str]:
        """What the user should know of it before it is tried, one line each."""
        return [f"backend {self.key}: {line}" for line in not_called(self.misspelt)]

    @property
    def fingerprint(self) -> str:
        """The first digits of the SHA-256 of the file it came from; empty where there is no file."""
        if self.source is None or not self.source.is_file():
            return ""
        return hashlib.sha256(self.source.read_bytes()).hexdigest()[:12]

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """For a while, wait no longer than this for an answer; a backend in this process cannot be left waiting."""
        yield

    def forget(self) -> bool:
        """Start anew, as if no call had been made; False where that cannot be done."""
        return False

    @property
    def limit(self) -> float:
        """Seconds that a call may take, where somebody waits."""
        return 20.0

    @property
    def place(self) -> str:
        """Where it is called, if that is worth a word."""
        return ""

    @property
    def subject_name(self) -> str:
        """The name of the class in its file, for a script that loads it."""
        return self.attribute or type(self.subject).__name__

    def description(self) -> dict[str, Any]:
        """What the object declares, without the object: for a process that does not load it."""
        here = ("subject", "watch", "computes_in")
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in here}
        told["attribute"] = self.subject_name
        told["has_domain"] = hasattr(self.subject, "supports")
        told["arithmetics"] = {(op, d): self.arithmetic(op, d) for op in self.operations for d in self.dtypes}
        return told

    def close(self) -> None:
        close = getattr(self.subject, "close", None)
        if close is not None:
            close()
