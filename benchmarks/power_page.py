"""docs/power.md out of the results of benchmarks/power.py."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from convspec.conformance.smaller import ENOUGH
from tests.broken.known import KNOWN, Known
from tests.broken.legal import LEGAL

if TYPE_CHECKING:
    from tests.detection import Result

FIRST_RUN = Path(__file__).with_name("power_first_run.toml")

INTRO = """# Power: which known bugs are caught

Written by `make power`, which goes on where it was stopped. Every bug below is one that a library was released with,
made into a backend that is right but for this bug and misbehaves on the bug's own trigger (tests/broken/known). *By
mechanism* means that it goes wrong as the original did; some of these are in another setting, which is told below (a
convolution for a transposed one, a view for a layout). An *analog* stands in where this interface cannot show the
mechanism, for the reason given. tests/test_known.py shows each on a case of its own.

Each backend is run in the default profile in float32 (a right one that has no float32, in the first of its own dtypes)
on its own operations, clause by clause in the order of the specification, until a clause fails. *Cases* counts all that
were executed until then; *seconds* include the drawing, the truths that are not known yet and the shrinking; *elements*
are those of the smallest case that was found.
"""

HALVES = """
## Two halves

Generators, data and checks were developed without a look at the bugs of every second number (B003, B007, B011, ...).
*First run* is what was caught of them before anything was mended for their sake.
"""


def page(results: Sequence[Result]) -> str:
    """The page, in Markdown."""
    known = [r for r in results if r.kind == "known"]
    seeds = sorted({r.seed for r in results})
    first = tomllib.loads(FIRST_RUN.read_text()) if FIRST_RUN.exists() else {}
    parts = [INTRO, _summary(known, seeds), HALVES, _halves(known, first), _missed(known, seeds)]
    parts += ["\n## The bugs\n", _table(known), _legal([r for r in results if r.kind == "legal"]), _analogs()]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def _of(known: Sequence[Result], bug: Known, seed: int) -> list[Result]:
    return [r for r in known if r.id == bug.id and r.seed == seed]


def _caught(known: Sequence[Result], bug: Known, seed: int) -> bool:
    """Is it caught on each of the operations that it breaks?"""
    of_it = _of(known, bug, seed)
    return len(of_it) == len(bug.ops) and all(r.caught for r in of_it)


def _summary(known: Sequence[Result], seeds: Sequence[int]) -> str:
    mechanism = [b for b in KNOWN if not b.analog]
    kinds = (
        ("by mechanism", mechanism),
        ("- as it was", [b for b in mechanism if not b.setting]),
        ("- in another setting", [b for b in mechanism if b.setting]),
        ("analogs", [b for b in KNOWN if b.analog]),
        ("all", KNOWN),
    )
    rows = [
        "| | bugs | " + " | ".join(f"seed {s}" for s in seeds) + " |",
        "|---|---:|" + "---:|" * len(seeds),
    ]
    for name, bugs in kinds:
        counts = " | ".join(str(sum(_caught(known, b, s) for b in bugs)) for s in seeds)
        rows.append(f"| {name} | {len(bugs)} | {counts} |")
    cases = [r.cases for r in known if r.caught]
    seconds = [r.seconds for r in known if r.caught]
    if cases:
        rows += [
            "",
            f"Caught after {median(cases):.0f} cases and {median(seconds):.2f} s in the median; the longest took "
            f"{max(cases)} cases, {max(seconds):.1f} s.",
            "",
            *_sizes([r for r in known if r.caught]),
        ]
    return "\n".join(rows)


def _sizes(caught: Sequence[Result]) -> list[str]:
    """How many smallest cases are small, and of each bug with larger ones what it needs and what was found."""
    large = [r for r in caught if r.elements > ENOUGH]
    lines = [f"{len(caught) - len(large)} of {len(caught)} smallest cases have at most {ENOUGH} input elements."]
    if large:
        lines[0] += (
            " The others, with the fewest elements on which the bug shows at all and those found with each seed;"
            " a clause that sees it may need more for itself:"
        )
        lines.append("")
    for bug in KNOWN:
        for op in bug.ops:
            of_it = sorted((r.seed, r.elements) for r in large if (r.id, r.op) == (bug.id, op))
            least = f"{bug.at().elements()}, {bug.needs}" if bug.needs else f"at most {ENOUGH}"
            found = ", ".join(f"{elements} (seed {seed})" for seed, elements in of_it)
            lines += [f"- {bug.id} on {op}: needs {least}; found {found}."] * bool(of_it)
    return lines


def _halves(known: Sequence[Result], first: dict[str, Any]) -> str:
    missed = set(first.get("missed", []))
    then = first.get("held_out", 0)
    rows = ["| half | bugs | first run | now |", "|---|---:|---:|---:|"]
    for name, out in (("development", False), ("held out", True)):
        bugs = [b for b in KNOWN if b.held_out == out]
        at_first = f"{then - len(missed)} of {then}" if out and first else ""
        rows.append(f"| {name} | {len(bugs)} | {at_first} | {sum(_caught(known, b, 0) for b in bugs)} |")
    if missed:
        rows += ["", f"Missed by the first run: {', '.join(sorted(missed))}. What was done then:", ""]
        rows += [f"- {line}" for line in first.get("mended", [])]
        rows += ["", "Bugs of the catalogue that are not in the gallery:", ""]
        rows += [f"- {line}" for line in first.get("left_out", [])]
    return "\n".join(rows)


def _missed(known: Sequence[Result], seeds: Sequence[int]) -> str:
    lines = [
        f"- {bug.id} on {r.op} with seed {r.seed}: {bug.text}"
        for bug in KNOWN
        for s in seeds
        for r in _of(known, bug, s)
        if not r.caught
    ]
    return "\n## Not caught\n\n" + "\n".join(lines) if lines else ""


def _table(known: Sequence[Result]) -> str:
    rows = [
        "| bug | reported at | what goes wrong | operation | caught by | cases | s | elements |",
        "|---|---|---|---|---|---:|---:|---:|",
    ]
    for bug in KNOWN:
        repository, number = bug.ref.split("#") if "#" in bug.ref else (bug.ref, "")
        link = f"[{bug.ref}](https://github.com/{repository}/issues/{number})"
        for r in sorted(_of(known, bug, 0), key=lambda r: bug.ops.index(r.op)):
            caught = f"`{r.caught.partition('.')[2]}`" if r.caught else "**not caught**"
            text = bug.text.replace("|", "\\|") + (" *(analog)*" if bug.analog else "")
            rows.append(
                f"| {bug.id} | {link} | {text} | {r.op} | {caught} | {r.cases} | {r.seconds:.2f} | {r.elements or ''} |"
            )
    return "\n".join(rows)


def _legal(legal: Sequence[Result]) -> str:
    ops = {backend.__name__: ops for backend, ops in LEGAL}
    texts = {backend.__name__: " ".join((backend.__doc__ or "").split()) for backend, _ in LEGAL}
    rows = [
        "\n## Right, if unusual: none of these may fail\n",
        f"{len(ops)} backends, seeds {', '.join(map(str, sorted({r.seed for r in legal})))}.\n",
        "| backend | what it does | operations | cases | failures |",
        "|---|---|---|---:|---:|",
    ]
    for name in ops:
        of_it = [r for r in legal if r.id == name]
        failures = sum(bool(r.caught) for r in of_it)
        names = ", ".join(sorted({r.op for r in of_it}))
        rows.append(f"| {name} | {texts[name]} | {names} | {sum(r.cases for r in of_it)} | {failures} |")
    return "\n".join(rows)


def _analogs() -> str:
    rows = ["\n## The same mechanism in another setting\n"]
    rows += [f"- {bug.id} ({bug.library}): {bug.setting}." for bug in KNOWN if bug.setting]
    rows += ["\n## Analogs, and why\n"]
    rows += [f"- {bug.id} ({bug.library}): {bug.analog}." for bug in KNOWN if bug.analog]
    return "\n".join(rows) if len(rows) > 1 else ""
