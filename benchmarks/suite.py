"""How long the suite takes on one backend, and where the time goes.

    python -m benchmarks.suite [BACKEND] [--dtype NAME ...]

Runs the smoke profile in one process and the default profile in two over all operations, as a user would, and draws the
frozen lists once more to time the drawing alone. The budgets are those of float32, which is measured unless another
dtype is asked for. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convspec.reference import OPS
from convspec.reference.formats import FORMATS
from convspec.reference.pick import RandomPick

BUDGET = {"smoke": (10.0, 1), "default": (90.0, 2)}  # seconds, processes


@dataclass(frozen=True)
class Spent:
    """What a profile took, in seconds: the whole command, and its stages in all processes together."""

    profile: str
    seconds: float
    stages: dict[str, float]

    @property
    def budget(self) -> float:
        return BUDGET[self.profile][0]

    @property
    def processes(self) -> int:
        return BUDGET[self.profile][1]

    @property
    def bounds(self) -> float:
        """How many times as long the bounds took as the expected values."""
        return self.stages["bound"] / self.stages["reference"]


def spent(profile: str, backend: str = "numpy", dtypes: Sequence[str] = ("float32",)) -> Spent:
    """A run over all operations, timed."""
    processes = BUDGET[profile][1]
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--backend={backend}", f"--profile={profile}", f"--results-dir={folder}"]
        options += [f"--dtype={','.join(dtypes)}"]
        options += ["-n", str(processes)] if processes > 1 else []
        start = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "--pyargs", "convspec.conformance", "-q", *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        return Spent(profile, seconds, json.loads((Path(folder) / "latest/run.json").read_text())["stages"])


def main() -> None:
    parser = argparse.ArgumentParser(description="How long the suite takes, and where the time goes")
    parser.add_argument("backend", nargs="?", default="numpy")
    parser.add_argument("--dtype", nargs="*", default=["float32"], choices=list(FORMATS), help="default: float32")
    asked = parser.parse_args()
    print(f"{asked.backend}, {', '.join(asked.dtype)}, all operations; whole command, in s\n")
    for profile in BUDGET:
        run = spent(profile, asked.backend, asked.dtype)
        print(f"{profile:8} {run.seconds:6.1f}  ({run.seconds / run.budget:.2f} of its budget of {run.budget:.0f} s)")
        for stage, seconds in run.stages.items():
            print(f"   {stage:10} {seconds:6.2f}  {seconds / run.seconds:5.0%}")
        print(f"   bounds over expected values: {run.bounds:.2f}")
    print("\ndrawing, in ms per problem")
    for op in OPS:
        start = time.perf_counter()
        for k in range(1000):
            op.draw(RandomPick(f"{k}", np.dtype(np.float32), 100_000))
        print(f"   {op.name:12} {time.perf_counter() - start:.3f}")


if __name__ == "__main__":
    main()
