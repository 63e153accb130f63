"""The commands as a user runs them, in an empty folder, and backends to run them on."""

import json
import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent

SWAPPED = """
import numpy as np


class Swapped:
    def supports(self, problem):
        return problem.padding_mode == "zeros" and problem.groups == 1

    def conv2d(self, problem):
        x, w = np.pad(problem.x, ((0, 0), (0, 0), *problem.padding)), problem.weight
        (a, b), (d, e), (k, _, r, s) = problem.stride[::-1], problem.dilation, w.shape
        i, j = (x.shape[2] - d * (r - 1) - 1) // a + 1, (x.shape[3] - e * (s - 1) - 1) // b + 1
        y = np.zeros((len(x), k, i, j), x.dtype)
        for u, v in np.ndindex(r, s):
            seen = x[:, :, u * d : u * d + a * (i - 1) + 1 : a, v * e : v * e + b * (j - 1) + 1 : b]
            y += np.einsum("kc,ncij->nkij", w[:, :, u, v], seen)
        return y if problem.bias is None else y + problem.bias[:, None, None]
"""

RELU = """
import numpy as np


class Backend:
    def relu(self, problem):
        if problem.x.dtype.kind in "cb":
            raise TypeError("no order")
        {body}
"""


def run(folder: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))} | env
    return subprocess.run([*map(str, command)], cwd=folder, env=clean, capture_output=True, text=True, timeout=300)


def suite(folder: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run(folder, BIN / "pytest", "--pyargs", "convspec.conformance", "-p", "no:cacheprovider", *options, **env)


def cells(folder: Path) -> list[dict[str, object]]:
    text = (folder / "conformance-results/latest/cells.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]
