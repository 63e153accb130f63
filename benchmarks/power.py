"""Which bugs that libraries were released with the suite catches, after how many cases; and whom it leaves alone.

    python -m benchmarks.power [--seeds N] [--jobs N] [--only GLOB] [--half HALF] [--page FILE]

Runs every backend of the gallery of known bugs (tests/broken/known) and every legal one (tests/broken/legal.py) in the
default profile in float32, or in a dtype of its own where it has no float32, each on its own operations, clause by
clause in the order of the specification until one fails. What is done is kept in build/power/ under a fingerprint of
what decides on its operation and on the size of its smallest cases, each result with a mark of its backend's sources,
so that a run that was stopped goes on where it was, and what has changed begins anew. Then docs/power.md is written,
unless something is missing from it: a part is only written to a page that is named.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from convspec.conformance.engine import Engine
from convspec.conformance.settings import PROFILES, Settings
from tests.broken.known import KNOWN
from tests.broken.legal import LEGAL
from tests.detection import Result, subjects, tried

from .fingerprint import ROOT, of_module, of_operation
from .power_page import page

ALSO = ("tests/detection.py", "conformance/shrink.py", "conformance/smaller.py")  # the page tells sizes
PAGE = "docs/power.md"


def kept_in(op: str) -> Path:
    """Where the results of an operation are kept, as long as nothing changes that decides on it."""
    return ROOT / "build/power" / f"{op}-{of_operation(op, *ALSO)}.jsonl"


def mark(backend: type) -> str:
    """Changes with the module of a backend and with those of the tests that it takes in."""
    return of_module(Path(inspect.getfile(backend)).resolve(), "tests")


def unit(seed: int, op: str, wanted: list[tuple[str, str]]) -> list[Result]:
    """All backends of one operation with one seed: their problems and truths are made once."""
    profile = PROFILES["default"]
    engine = Engine(Settings(profile=profile, examples=profile.examples, seed=seed))
    results = []
    for kind, id, backend in subjects(op):
        if (kind, id) in wanted:
            result = replace(tried(engine, kind, id, op, backend), mark=mark(backend))
            with kept_in(op).open("a") as out:
                out.write(json.dumps(asdict(result)) + "\n")
            results.append(result)
    return results


def load(file: Path) -> dict[tuple[Any, ...], Result]:
    """The results that are kept, but for a half-written last line and backends that have changed since."""
    kept = {}
    marks = {(kind, id): mark(backend) for kind, id, backend in everybody()}
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            result = Result(**json.loads(line))
        except ValueError:
            continue
        if result.mark == marks.get((result.kind, result.id)):
            kept[result.key] = result
    return kept


def operations() -> list[str]:
    """Those that some backend is tried on."""
    return sorted({op for bug in KNOWN for op in bug.ops} | {op for _, ops in LEGAL for op in ops})


def everybody() -> set[tuple[str, str, type]]:
    """Kind, id and class of all backends."""
    return {subject for op in operations() for subject in subjects(op)}


def half(name: str) -> set[str]:
    """The ids of the known bugs on which generators and checks were developed, or of the others."""
    return {bug.id for bug in KNOWN if bug.held_out == (name == "held-out")}


def main() -> int:
    parser = argparse.ArgumentParser(description="Which known bugs the suite catches; writes docs/power.md")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to N - 1 (default 5)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (default 2)")
    parser.add_argument("--only", default="*", help="names of operations, or ids of bugs")
    parser.add_argument("--half", choices=("development", "held-out"), help="known bugs of one half only")
    parser.add_argument("--page", help=f"the page to write, be it of a part; {PAGE} when nothing is missing")
    asked = parser.parse_args()
    ops = operations()
    (ROOT / "build/power").mkdir(parents=True, exist_ok=True)
    kept = {key: result for op in ops for key, result in load(kept_in(op)).items()}
    with ProcessPoolExecutor(asked.jobs) as pool:
        jobs = {}
        for seed in range(asked.seeds):
            for op in ops:
                left = [
                    (kind, id)
                    for kind, id, _ in subjects(op)
                    if (seed, kind, id, op) not in kept
                    and (fnmatch(op, asked.only) or fnmatch(id, asked.only))
                    and (asked.half is None or id in half(asked.half))
                ]
                if left:
                    jobs[pool.submit(unit, seed, op, left)] = f"seed {seed} {op}"
        for number, job in enumerate(as_completed(jobs), 1):
            results = job.result()
            known = [r for r in results if r.kind == "known"]
            wrong = [r for r in results if bool(r.caught) == (r.kind == "legal")]
            caught = sum(bool(r.caught) for r in known)
            print(
                f"{number}/{len(jobs)} {jobs[job]}: {caught} of {len(known)} known bugs caught"
                + "".join(f"\n    {r.id}: {r.caught + ': ' + r.told if r.caught else 'NOT CAUGHT'}" for r in wrong),
                flush=True,
            )
            kept |= {r.key: r for r in results}
    missing = sum(
        (s, kind, id, op) not in kept for s in range(asked.seeds) for op in ops for kind, id, _ in subjects(op)
    )
    if missing and not asked.page:
        print(f"{PAGE} is left as it is: {missing} results are missing; --page FILE writes what is there")
    else:
        (ROOT / (asked.page or PAGE)).write_text(page(list(kept.values())))
        print(f"{asked.page or PAGE} is written")
    wrong = [r for r in kept.values() if bool(r.caught) == (r.kind == "legal")]
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
