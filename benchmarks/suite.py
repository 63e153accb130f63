"""How long the suite takes on one backend in float32, and where the time goes.

    python benchmarks/suite.py [BACKEND]

Runs the smoke profile in one process and the default profile in two over all operations, as a user would, and draws the
frozen lists once more to time the drawing alone. Nothing is asserted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from convspec.reference import OPS
from convspec.reference.pick import RandomPick

BUDGET = {"smoke": (10.0, 1), "default": (90.0, 2)}  # seconds, processes


def main() -> None:
    backend = sys.argv[1] if len(sys.argv) > 1 else "numpy"
    print(f"{backend}, float32, all operations; whole command, in s\n")
    for profile, (budget, processes) in BUDGET.items():
        with tempfile.TemporaryDirectory() as folder:
            options = [f"--backend={backend}", "--dtype=float32", f"--profile={profile}", f"--results-dir={folder}"]
            options += ["-n", str(processes)] if processes > 1 else []
            start = time.perf_counter()
            command = [sys.executable, "-m", "pytest", "--pyargs", "convspec.conformance", "-q", *options]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            spent = time.perf_counter() - start
            stages = json.loads((Path(folder) / "latest/run.json").read_text())["stages"]
        print(f"{profile:8} {spent:6.1f}  ({spent / budget:.2f} of its budget of {budget:.0f} s)")
        for stage, seconds in stages.items():
            print(f"   {stage:10} {seconds:6.2f}  {seconds / spent:5.0%}")
    print("\ndrawing, in ms per problem")
    for op in OPS:
        start = time.perf_counter()
        for k in range(1000):
            op.draw(RandomPick(f"{k}", np.dtype(np.float32), 100_000))
        print(f"   {op.name:12} {time.perf_counter() - start:.3f}")


if __name__ == "__main__":
    main()
