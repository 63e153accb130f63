"""No false alarm: many seeds of the thorough profile on the backends that are bundled.

    python -m benchmarks.soak [--seeds N] [--backend NAME ...] [--op GLOB] [--jobs N] [--minutes M]

A unit is a seed, a backend and an operation: one run of the suite, as a user would start it, in every dtype that the
backend has. A unit that is done is a line of docs/soak.jsonl, so that a soak that was stopped goes on where it was, on
another day or another machine. What was run on sources that have changed since is kept and told apart by its
fingerprint. Anything but a pass or a deviation declared beforehand is shown, and is the exit status.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

from convspec.reference import SPECIFIED
from convspec.reports.record import read_run

from .fingerprint import ROOT, fingerprint

LEDGER = ROOT / "docs/soak.jsonl"
SOURCES = ("reference", "adapters", "conformance")
BACKENDS = ("numpy", "c", "torch")
FINE = ("pass", "deviation", "unsupported", "thin")


@dataclass(frozen=True)
class Unit:
    """A seed, a backend and an operation, and what came of them."""

    seed: int
    backend: str
    op: str
    fingerprint: str
    cells: int = 0
    cases: int = 0
    deviations: int = 0
    wrong: tuple[str, ...] = ()  # clause, dtype and status of the cells that are not fine
    seconds: float = 0.0

    @property
    def key(self) -> tuple[int, str, str, str]:
        return self.seed, self.backend, self.op, self.fingerprint


def run(unit: Unit) -> Unit:
    """The unit with what came of it."""
    began = time.perf_counter()
    results = ROOT / "build/soak" / f"{unit.seed}-{unit.backend}-{unit.op}"
    command = [sys.executable, "-m", "pytest", "conformance/", "-q", f"--backend={unit.backend}", f"--op={unit.op}"]
    command += [f"--seed={unit.seed}", "--profile=thorough", f"--results-dir={results}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1, 5):
        return Unit(*unit.key, wrong=(f"exit {done.returncode}: {done.stdout[-300:]}",))
    if done.returncode == 5:  # the backend has no such operation
        return Unit(*unit.key)
    found = read_run((results / "latest").resolve())
    statuses = Counter(cell.status for cell in found.cells)
    return Unit(
        *unit.key,
        cells=len(found.cells),
        cases=sum(cell.cases.executed for cell in found.cells),
        deviations=statuses["deviation"],
        wrong=tuple(f"{c.clause} {c.dtype} {c.status}" for c in found.cells if c.status not in FINE),
        seconds=round(time.perf_counter() - began, 1),
    )


def ledger(file: Path = LEDGER) -> list[Unit]:
    """The units that are done, of whatever sources."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [Unit(**{**json.loads(line), "wrong": tuple(json.loads(line)["wrong"])}) for line in lines if line]


def told(units: list[Unit], mark: str) -> str:
    """How many seeds are done on each backend, of these sources and of all."""
    lines = []
    for backend in BACKENDS:
        for what, of_it in (
            ("of these sources", [u for u in units if u.backend == backend and u.fingerprint == mark]),
            ("of any", [u for u in units if u.backend == backend]),
        ):
            ops_of_seed: dict[int, set[str]] = {}
            for u in of_it:
                ops_of_seed.setdefault(u.seed, set()).add(u.op)
            whole = [s for s, ops in ops_of_seed.items() if ops >= {op.name for op in SPECIFIED}]
            wrong = [w for u in of_it for w in u.wrong]
            lines.append(
                f"{backend}, {what}: {len(whole)} seeds done, {sum(u.cases for u in of_it):,} cases in {len(of_it)} "
                f"units, {sum(u.deviations for u in of_it)} declared deviations, {len(wrong)} false alarms"
            )
            lines += [f"    {w}" for w in wrong]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Many seeds of the thorough profile; resumable")
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0 to N - 1 (default 10)")
    parser.add_argument("--backend", nargs="*", default=list(BACKENDS), help="default: numpy c torch")
    parser.add_argument("--op", default="*", help="names of operations")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (default 2)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing new after so long")
    asked = parser.parse_args()
    mark, began = fingerprint(*SOURCES), time.monotonic()
    done = {unit.key for unit in ledger()}
    ops = [op.name for op in SPECIFIED if fnmatch(op.name, asked.op)]
    left = [Unit(s, b, op, mark) for s in range(asked.seeds) for b in asked.backend for op in ops]
    left = [unit for unit in left if unit.key not in done]

    def in_time(unit: Unit) -> Unit | None:
        return run(unit) if time.monotonic() - began < asked.minutes * 60 else None

    with ThreadPoolExecutor(asked.jobs) as pool:
        jobs = [pool.submit(in_time, unit) for unit in left]
        for number, job in enumerate(as_completed(jobs), 1):
            unit = job.result()
            if unit is None:
                continue
            with LEDGER.open("a") as out:
                out.write(json.dumps(asdict(unit)) + "\n")
            print(
                f"{number}/{len(left)} seed {unit.seed} {unit.backend} {unit.op}: {unit.cells} cells, {unit.cases} "
                f"cases, {unit.seconds} s" + "".join(f"\n    {w}" for w in unit.wrong),
                flush=True,
            )
    print(told(ledger(), mark))
    return int(any(u.wrong for u in ledger() if u.fingerprint == mark))


if __name__ == "__main__":
    sys.exit(main())
