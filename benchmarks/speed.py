"""docs/speed.md: what the suite takes, beside what it may take.

    python -m benchmarks.speed [--write docs/speed.md]

Some minutes on a machine that does nothing else. Without --write the page is printed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from . import isolation, suite
from .machine import processor, vectors

INTRO = """# Speed

Written by `make speed`, on {on}. Seconds are those of the whole command as
a user starts it, on the NumPy backend with all operations in float32. What is over its budget is in bold.

| profile | processes | s | budget, s | bounds over expected values, times |
|---|---:|---:|---:|---:|"""

STAGES = """
Where the time goes, in seconds of all processes together:

| profile | {} |
|---|{}"""

CALLS = """
A backend in a process of its own costs, for each small call of the bundled C kernel (medians):

| call | in this process, ms | in its own, ms | cost, ms | budget, ms |
|---|---:|---:|---:|---:|"""

OVER = "**{}**"  # what is over its budget


def machine() -> str:
    """What was measured on."""
    wide = f", vectors {vectors()}" if vectors() else ""
    versions = f"Python {platform.python_version()}, NumPy {version('numpy')}"
    return f"{processor()}{wide}, {versions}, under a load of {_load():.1f} beforehand"


def page(on: str, runs: Sequence[suite.Spent], calls: Sequence[isolation.Call]) -> str:
    """The page, in Markdown; what is over its budget is in bold."""
    lines = [INTRO.format(on=on)]
    for run in runs:
        seconds = _within(f"{run.seconds:.1f}", run.seconds <= run.budget)
        lines.append(f"| {run.profile} | {run.processes} | {seconds} | {run.budget:.0f} | {run.bounds:.2f} |")
    stages = list(dict.fromkeys(stage for run in runs for stage in run.stages))
    lines.append(STAGES.format(" | ".join(stages), "---:|" * len(stages)))
    for run in runs:
        seconds = " | ".join(f"{run.stages.get(stage, 0):.1f}" for stage in stages)
        lines.append(f"| {run.profile} | {seconds} |")
    lines.append(CALLS)
    for call in calls:
        cost = _within(f"{call.cost:.3f}", call.cost < isolation.BUDGET)
        lines.append(f"| {call.name} | {call.here:.3f} | {call.apart:.3f} | {cost} | {isolation.BUDGET} |")
    return "\n".join(lines) + "\n"


def _load() -> float:
    """How many processes ran here in the last minute, on average."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _within(figure: str, ok: bool) -> str:
    return figure if ok else OVER.format(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description="What the suite takes, beside what it may take")
    parser.add_argument("--write", type=Path, help="the page to write")
    asked = parser.parse_args()
    if _load() > 0.5:
        print(f"something else runs here (load {_load():.1f}): times are longer than they need be", file=sys.stderr)
    text = page(machine(), [suite.spent(profile) for profile in suite.BUDGET], isolation.calls())
    if asked.write:
        asked.write.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
