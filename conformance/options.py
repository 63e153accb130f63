"""The command line: what may be said, and one clear line for what may not."""

from __future__ import annotations

import difflib
import fnmatch
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest

from convspec.reference import SPECIFIED
from convspec.reference.formats import FORMATS

from .checks import all_clauses
from .settings import PROFILES, Settings

ISOLATE = ("auto", "process", "none")

# How many clauses a hint names, and how like what was typed they are, by difflib's measure.
MOST_NEAR, LIKE = 3, 0.7


@dataclass(frozen=True)
class Options:
    """The options of a run, checked."""

    backends: tuple[str, ...]
    ops: tuple[str, ...]  # names of operations
    clauses: tuple[str, ...]  # globs
    dtypes: tuple[str, ...]  # empty: those each backend declares (smoke: float32)
    settings: Settings
    results_dir: Path
    report: bool
    isolate: str
    case_timeout: float  # seconds
    memory_limit: float  # GiB
    expect: Path | None
    grade: bool
    command: str

    def wants(self, op: str, clause: str) -> bool:
        return op in self.ops and (not self.clauses or any(fnmatchcase(clause, g) for g in self.clauses))

    def selection(self) -> str:
        """What was asked for, for the message that nothing matches it."""
        parts = [f"operations {', '.join(self.ops)}"] if len(self.ops) < len(SPECIFIED) else []
        parts += [f"clauses {', '.join(self.clauses)}"] if self.clauses else []
        parts += [f"dtypes {', '.join(self.dtypes)}"] if self.dtypes else []
        return f"no clause matches {'; '.join(parts) or 'the selection'} on {', '.join(self.backends)}"


def add_options(parser: pytest.Parser) -> None:
    """Add the suite's options. Each has a private dest: a project may have options of the same name elsewhere."""
    group = parser.getgroup("convspec", "conformance of convolutional-network kernels (convspec)")

    def option(name: str, help: str, **more: Any) -> None:
        group.addoption(name, dest="convspec_" + name.lstrip("-").replace("-", "_"), help=help, **more)

    option(
        "--backend",
        "what to check: numpy, c, torch, cuda, FILE.py[:Class], module:Class or a shared library; repeatable. "
        "A file is executed. Default: numpy",
        action="append",
        metavar="SPEC",
    )
    option(
        "--op",
        "only operations whose name matches, e.g. conv2d or '*pool2d'; repeatable",
        action="append",
        metavar="GLOB",
    )
    option(
        "--clause",
        "only clauses whose name matches, e.g. 'conv2d.groups_*'; repeatable",
        action="append",
        metavar="GLOB",
    )
    option(
        "--dtype",
        "only these dtypes, comma-separated; repeatable. Default: those the backend declares; float32 in smoke",
        action="append",
        metavar="LIST",
    )
    option(
        "--profile",
        "how hard to try: smoke (10 cases per clause), default (100) or thorough (1000)",
        default="default",
        metavar="NAME",
    )
    option("--examples", "cases per clause, instead of the profile's", metavar="N")
    option("--seed", "an integer, or 'random'. Default: 0", default="0", metavar="N")
    option("--level", "core or strict. Default: strict", default="strict", metavar="LEVEL")
    option(
        "--results-dir",
        "where run folders go. Default: conformance-results",
        default="conformance-results",
        metavar="DIR",
    )
    option("--expect", "known deviations (TOML). Default: expectations/<backend>.toml if it is there", metavar="FILE")
    option(
        "--isolate",
        "auto: every backend but numpy and torch is called in a process of its own; process: all are; none: none is",
        default="auto",
        metavar="HOW",
    )
    option("--case-timeout", "seconds that a call in such a process may take. Default: 20", default="20", metavar="SEC")
    option("--memory-limit", "GiB of memory that such a process may hold. Default: 4", default="4", metavar="GIB")
    option(
        "--grade",
        "find out from outside how each operation computes, as `convspec grade` does, too; where that is less than is "
        "declared, the run fails",
        action="store_true",
    )
    option("--no-report", "write no HTML page", action="store_true")


def read_options(config: pytest.Config) -> Options:
    """The options as given. Raises ValueError with one line: what is wrong, and what would be right."""

    def given(name: str) -> Any:
        return config.getoption("convspec_" + name)

    profile = PROFILES.get(given("profile"))
    if profile is None:
        raise ValueError(_unknown("--profile", given("profile"), PROFILES))
    if given("level") not in ("core", "strict"):
        raise ValueError(_unknown("--level", given("level"), ("core", "strict")))
    if given("isolate") not in ISOLATE:
        raise ValueError(_unknown("--isolate", given("isolate"), ISOLATE))
    examples = profile.examples if given("examples") is None else _number("--examples", given("examples"), 1)
    seed = SystemRandom().getrandbits(31) if given("seed") == "random" else _number("--seed", given("seed"), 0)
    if any(not _split(spec) for spec in given("backend") or []):
        raise ValueError(
            "--backend: the name is empty; it may be numpy, c, torch, cuda, FILE.py[:Class] or module:Class"
        )
    expect = Path(given("expect")) if given("expect") else None
    return Options(
        backends=tuple(dict.fromkeys(s for spec in given("backend") or ["numpy"] for s in _split(spec))) or ("numpy",),
        ops=_operations(given("op")),
        clauses=_clauses(given("clause")),
        dtypes=_dtypes(given("dtype")),
        settings=Settings(profile=profile, examples=examples, seed=seed, level=given("level")),
        results_dir=Path(given("results_dir")),
        report=not given("no_report"),
        isolate=given("isolate"),
        case_timeout=_positive("--case-timeout", given("case_timeout")),
        memory_limit=_positive("--memory-limit", given("memory_limit")),
        expect=expect,
        grade=given("grade"),
        command=" ".join(map(str, config.invocation_params.args)),
    )


def _split(spec: str) -> list[str]:
    """At commas outside brackets."""
    return [part.strip() for part in re.split(r",(?![^\[]*\])", spec) if part.strip()]


def _unknown(option: str, value: object, known: Any) -> str:
    near = difflib.get_close_matches(str(value), list(known), n=1)
    hint = f"did you mean {near[0]}?" if near else f"it may be {', '.join(known)}"
    return f"{option}: no {value!r}; {hint}"


def _number(option: str, value: str, least: int) -> int:
    try:
        number = int(value)
    except ValueError:
        raise ValueError(f"{option}: {value!r} is not a whole number") from None
    if number < least:
        raise ValueError(f"{option}: {number} is less than {least}")
    return number


def _positive(option: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{option}: {value!r} is not a number") from None
    if not 0 < number < float("inf"):
        raise ValueError(f"{option}: {value} is not a number above 0")
    return number


def _operations(globs: list[str] | None) -> tuple[str, ...]:
    names = [op.name for op in SPECIFIED]
    if not globs:
        return tuple(names)
    chosen: dict[str, None] = {}
    for glob in (g for text in globs for g in _split(text)):
        matching = [n for n in names if fnmatchcase(n, glob)]
        if not matching:
            raise ValueError(_unknown("--op", glob, names))
        chosen |= dict.fromkeys(matching)
    return tuple(n for n in names if n in chosen)


def _clauses(globs: list[str] | None) -> tuple[str, ...]:
    known = [c.name for c in all_clauses()]
    wanted = tuple(g for text in globs or () for g in _split(text))
    for glob in wanted:
        if not fnmatch.filter(known, glob):
            near = _nearest_clauses(glob, known)
            hint = f"did you mean {' or '.join(near)}?" if near else "a clause is named like conv2d.padding_is_zeros"
            raise ValueError(f"--clause: no {glob!r}; {hint}")
    return wanted


def _nearest_clauses(glob: str, known: list[str]) -> list[str]:
    """What may be meant by a name or pattern that no clause fits: the operation left out, a slip in it or in the rest;
    a pattern where one is meant, else whole names."""
    op, _, name = glob.rpartition(".")
    ops = [o.name for o in SPECIFIED]
    if glob.rstrip(".") in ops:
        return [f"{glob.rstrip('.')}.*"]
    meant = [o for o in ops if fnmatchcase(o, op or "*")] or difflib.get_close_matches(op, ops, MOST_NEAR)
    fitting = [f"{o}.{name}" for o in meant if fnmatch.filter(known, f"{o}.{name}")]
    if fitting:
        return fitting[:MOST_NEAR]
    bare = name.strip("*")
    here = [c for c in known if bare and c.partition(".")[0] in (meant or ops)]
    for length in (None, len(bare)):  # the whole of a name; if none is like it, its beginning
        near = {c: difflib.SequenceMatcher(None, bare, c.partition(".")[2][:length]).ratio() for c in here}
        found = sorted((c for c in here if near[c] >= LIKE), key=near.__getitem__, reverse=True)
        if found:
            return found[:MOST_NEAR]
    return []


def _dtypes(lists: list[str] | None) -> tuple[str, ...]:
    wanted = tuple(name.strip() for text in lists or () for name in text.split(",") if name.strip())
    for dtype in wanted:
        if dtype not in FORMATS:
            raise ValueError(_unknown("--dtype", dtype, FORMATS))
    return tuple(d for d in FORMATS if d in wanted)
