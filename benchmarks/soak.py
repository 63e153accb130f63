"""No false alarm: many seeds of the thorough profile on the backends that are bundled.

    python -m benchmarks.soak [--seeds N] [--op GLOB] [--dtype NAME ...] [--jobs N] [--minutes M]

A unit is a seed, an operation and a dtype: one run of the suite, as a user would start it, on numpy, c and torch
together, so that problems, truths and bounds are made once for all. A unit that is done is a line of docs/soak.jsonl,
so that a soak that was stopped goes on where it was, on another day or another machine; docs/soak.md is written from
it after every unit. Units of operations whose sources have changed since are run anew: a line holds the fingerprint of
what decides a verdict on its operation. Anything but a pass or a deviation declared beforehand is shown, and the exit
status is 1; where a soak is interrupted, what was running is given up and the exit status is 2.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

from convspec.adapters import load
from convspec.reference import SPECIFIED
from convspec.reference.formats import FORMATS
from convspec.reports.record import read_run

from .fingerprint import ROOT, of_operation
from .machine import vectors

LEDGER, PAGE = ROOT / "docs/soak.jsonl", ROOT / "docs/soak.md"
BACKENDS = ("numpy", "c", "torch")
DTYPES = ("float32", "float64", "float16", "bfloat16")
# Several runs at once: libraries that start a thread per core would get in each other's way. And oneDNN looks through
# all the kernels that it remembers when it forgets one, which a full cache does for every new shape: 10 ms for 20,000.
LEAN = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "512"}
# No alarm: `fixed` passed, as chance drew nothing of what is known to fail; `not run` is a law silent in a dtype.
FINE = ("pass", "deviation", "fixed", "unsupported", "thin", "not run")


@dataclass(frozen=True)
class Unit:
    """A seed, an operation and a dtype, and what came of them on each backend."""

    seed: int
    op: str
    dtype: str
    fingerprint: str
    cells: dict[str, int] = field(default_factory=dict)  # by backend
    cases: dict[str, int] = field(default_factory=dict)
    deviations: dict[str, int] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()  # backend, clause and status of the cells that are not fine
    seconds: float = 0.0
    # The versions of numpy and torch and the vectors of the processor; older lines do not tell all of it.
    made_on: dict[str, str] = field(default_factory=dict)
    ended: str = ""  # how the suite ended, where it did not get to its end: such a unit is run again

    @property
    def key(self) -> tuple[int, str, str, str]:
        return self.seed, self.op, self.dtype, self.fingerprint

    @property
    def current(self) -> bool:
        """Was it run on what decides its verdicts today?"""
        return self.fingerprint == of_operation(self.op, dtype=self.dtype)


class EndedEarly(RuntimeError):
    """The suite did not get to its end: a backend ended its process, or the suite itself is at fault."""


class Commands:
    """Those that are running, so that they can be stopped."""

    def __init__(self) -> None:
        self.stopped = False
        self._going: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()

    def run(self, command: list[str]) -> tuple[int, str]:
        """Its exit status and the end of what it said. Raises RuntimeError where all was stopped."""
        with self._lock:
            if self.stopped:
                raise RuntimeError("stopped")
            # In a session of its own: an interrupt from the keyboard reaches it through `stop`, once.
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | LEAN,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            self._going.add(process)
        said, complained = process.communicate()
        with self._lock:
            self._going.discard(process)
        return process.returncode, said[-300:] + complained[-300:]

    def stop(self, patience: float = 10.0) -> None:
        """Interrupt what is running, and let nothing new begin."""
        with self._lock:
            self.stopped = True
            going = list(self._going)
        for process in going:
            process.send_signal(signal.SIGINT)
        for process in going:
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
            process.kill()


COMMANDS = Commands()


def run(unit: Unit) -> Unit:
    """The unit with what came of it. Raises EndedEarly if the suite did not get to its end, RuntimeError if it was not
    to begin any more."""
    began = time.perf_counter()
    results = ROOT / "build/soak" / f"{unit.seed}-{unit.op}-{unit.dtype}"
    command = [sys.executable, "-m", "pytest", "conformance/", "-q", f"--op={unit.op}", f"--dtype={unit.dtype}"]
    command += [f"--backend={backend}" for backend in BACKENDS]
    command += [f"--seed={unit.seed}", "--profile=thorough", f"--results-dir={results}"]
    status, said = COMMANDS.run(command)
    if status == 5:  # no backend has the operation in this dtype
        return Unit(*unit.key)
    if status not in (0, 1):
        if COMMANDS.stopped:
            raise RuntimeError("stopped")
        raise EndedEarly(f"exit {status}" if status > 0 else signal.Signals(-status).name, said)
    found = read_run((results / "latest").resolve())
    of = {b: [cell for cell in found.cells if cell.backend == b] for b in BACKENDS}
    return Unit(
        *unit.key,
        cells={b: len(cells) for b, cells in of.items()},
        cases={b: sum(cell.cases.executed for cell in cells) for b, cells in of.items()},
        deviations={b: Counter(cell.status for cell in cells)["deviation"] for b, cells in of.items()},
        wrong=tuple(f"{c.backend} {c.clause} {c.status}" for c in found.cells if c.status not in FINE),
        seconds=round(time.perf_counter() - began, 1),
        made_on={b.key: b.version for b in found.info.backends if b.key != "c"} | {"vectors": vectors()},
    )


def ledger(file: Path | None = None, *, tell: bool = False) -> list[Unit]:
    """The units that are done, of whatever sources. A line that was half written is left out, and `tell` says so."""
    file = file or LEDGER
    units = []
    for number, line in enumerate(file.read_text().splitlines() if file.exists() else [], 1):
        try:
            held = json.loads(line)
            units.append(Unit(**{**held, "wrong": tuple(held["wrong"])}))
        except (ValueError, TypeError, KeyError):
            if tell and line:
                print(f"{file.name}, line {number}: not a whole unit, left out", flush=True)
    return units


def write_down(unit: Unit) -> None:
    """Add a unit to the ledger, on a line of its own, and write the page anew."""
    whole = not LEDGER.exists() or LEDGER.read_bytes()[-1:] in (b"", b"\n")
    with LEDGER.open("a") as out:
        out.write("\n" * (not whole) + json.dumps(asdict(unit)) + "\n")
    PAGE.write_text(page(ledger()))


def page(units: list[Unit]) -> str:
    """How many seeds are done of the sources as they are, and what came of them on each backend, in Markdown."""
    everything = {(op.name, dtype) for op in SPECIFIED for dtype in DTYPES}
    # One that two soaks ran counts once, and with its alarms; one that did not get to its end counts as an alarm alone.
    lost = [unit for unit in units if unit.ended and unit.current]
    ran = sorted((unit for unit in units if not unit.ended), key=lambda unit: len(unit.wrong))
    units = list({unit.key: unit for unit in ran}.values())
    mine = [unit for unit in units if unit.current]
    done: dict[int, set[tuple[str, str]]] = {}
    for unit in mine:
        done.setdefault(unit.seed, set()).add((unit.op, unit.dtype))
    whole = sorted(seed for seed, seen in done.items() if seen >= everything)
    others = [f"seed {s}: {len(seen)} of {len(everything)} units" for s, seen in sorted(done.items()) if s not in whole]
    parts = [
        INTRO,
        f"**{len(whole)} whole seed{'' if len(whole) == 1 else 's'}**; of others: {', '.join(others) or 'none'}"
        f". {len(units) - len(mine)} units more were run on sources that have changed since, and are not counted.\n",
        "| backend | cells | cases | declared deviations | false alarms |",
        "|---|---:|---:|---:|---:|",
    ]
    for backend in BACKENDS:
        cells, cases, deviations = (
            sum(getattr(unit, what).get(backend, 0) for unit in mine) for what in ("cells", "cases", "deviations")
        )
        wrong = sum(w.startswith(f"{backend} ") for unit in mine for w in unit.wrong)
        parts.append(f"| {backend} | {cells:,} | {cases:,} | {deviations:,} | {wrong} |")
    declared = {name: load(name).relaxed or "nothing but the default arithmetic" for name in BACKENDS}
    parts += ["", *(f"- {name} declares {what}" for name, what in declared.items())]
    alarms = [(u, wrong) for u in mine for wrong in u.wrong]
    parts += ["", _made_on(mine), ""]
    parts += [f"- seed {u.seed} {u.dtype} ({u.made_on.get('vectors', 'unknown')}): {wrong}" for u, wrong in alarms]
    parts += [
        f"- seed {u.seed} {u.dtype} ({u.made_on.get('vectors', 'unknown')}): {u.op} did not get to its end, {u.ended}"
        for u in lost
    ]
    return "\n".join(parts).rstrip() + "\n"


def _made_on(units: list[Unit]) -> str:
    """With which versions and vectors units were run."""
    kinds = Counter(tuple(unit.made_on.get(of, "") for of in ("numpy", "torch", "vectors")) for unit in units)
    told = [
        f"{count} units with NumPy {numpy}, PyTorch {torch}, vectors {widest or 'unknown'}"
        for (numpy, torch, widest), count in sorted(kinds.items())
        if numpy
    ]
    if not units:
        return "No unit was run on these sources yet."
    untold = sum(count for (numpy, *_), count in kinds.items() if not numpy)
    return "; ".join(told + [f"{untold} units do not tell with what they were run"] * bool(untold)) + "."


INTRO = """# Soak: false alarms

Written by `make soak`, which goes on where it was stopped: the thorough profile (1,000 cases per clause) with many
seeds on the backends that are bundled. A unit is a seed, an operation and a dtype; a cell is a clause in a dtype with a
seed on a backend. A deviation is one that was declared beforehand with its reproducer; everything else that does not
pass is a false alarm until it is explained, a run that did not get to its end too. A backend is held to the arithmetic
that it declares: below the table, what is other than the default, on the machine that wrote this page. What counts was
run on the very program that decides a verdict on its operation today: comments, docstrings, wording, the laws of other
operations and what adapters do for operations or in dtypes that it does not call may have changed.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Many seeds of the thorough profile; resumable")
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0 to N - 1 (default 10)")
    parser.add_argument("--op", default="*", help="names of operations")
    parser.add_argument("--dtype", nargs="*", default=list(DTYPES), choices=list(FORMATS), help="default: all")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (default 2)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing new after so long")
    asked = parser.parse_args()
    began = time.monotonic()
    done = {unit.key for unit in ledger(tell=True) if not unit.ended}
    ops = [op.name for op in SPECIFIED if fnmatch(op.name, asked.op)]
    marks = [(op, dtype, of_operation(op, dtype=dtype)) for dtype in asked.dtype for op in ops]
    left = [unit for s in range(asked.seeds) for mark in marks if (unit := Unit(s, *mark)).key not in done]

    def in_time(unit: Unit) -> Unit | None:
        return run(unit) if time.monotonic() - began < asked.minutes * 60 else None

    pool = ThreadPoolExecutor(asked.jobs)
    jobs = {pool.submit(in_time, unit): unit for unit in left}
    waiting = set(jobs)
    try:
        for number, job in enumerate(as_completed(jobs), 1):
            _told(job, jobs[job], f"{number}/{len(left)}")
            waiting.discard(job)
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        COMMANDS.stop()
        pool.shutdown()
        written = {unit.key for unit in ledger()}  # the interrupt may have come while one was told
        for job in waiting:
            if not job.cancelled() and job.exception() is None and jobs[job].key not in written:
                _told(job, jobs[job], "at the end")
        PAGE.write_text(page(ledger()))
        print(f"interrupted: what was done is in {LEDGER.name}, and the same command goes on from there", flush=True)
        return 2
    PAGE.write_text(page(ledger()))
    print(page(ledger()))
    mine = [unit for unit in ledger() if unit.current]
    return int(any(unit.wrong or unit.ended for unit in mine))


def _told(job: Future[Unit | None], asked: Unit, number: str) -> None:
    """Write down and print what became of a unit."""
    here = f"{number} seed {asked.seed} {asked.op} {asked.dtype}"
    try:
        unit = job.result()
    except EndedEarly as error:
        how, said = error.args
        write_down(replace(asked, ended=how, made_on={"vectors": vectors()}))
        print(f"{here}: the suite did not get to its end: {how}: {said}", flush=True)
        return
    if unit is not None:
        write_down(unit)
        alarms = "".join(f"\n    {w}" for w in unit.wrong)
        print(f"{here}: {sum(unit.cases.values()):,} cases, {unit.seconds} s{alarms}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
