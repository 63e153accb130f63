"""The search for wrong memory tells what is wrong, what ends a process, and goes on behind it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import memory
from benchmarks.fingerprint import ROOT
from benchmarks.memory import draw, is_right, search, tell
from convspec.adapters import Unsupported, load
from convspec.reference import Conv2d, Conv2dBackward, Op


def checked_maps() -> str:
    """What a process has loaded that begins under the checks."""
    read = [sys.executable, "-c", "print(open('/proc/self/maps').read())"]
    return subprocess.run(read, env=os.environ | memory.CHECKS, capture_output=True, text=True).stdout


SEEN = [draw(random.Random(seed), "float16") for seed in range(12)]


def right(problem: Op) -> Any:
    """In double, as NumPy adds up."""
    answer = load("numpy").call(problem.but(**{n: a.astype(np.float64) for n, a in problem.arrays().items()}))
    return answer


def other(on: int, does: Callable[[Any], Any]) -> Callable[[Op], Any]:
    """Right, but for this one of the problems in 16 bits."""

    def call(problem: Op) -> Any:
        mine = problem.x.dtype == np.float16 and np.array_equal(problem.x, SEEN[on].x)
        return does(right(problem)) if mine else right(problem)

    return call


def beside(answer: Any) -> Any:
    """The last answer with an element that is none of its sums."""
    *others, last = answer if isinstance(answer, tuple) else (answer,)
    if last is None:
        *others, last = others
    last = last.copy()
    last.flat[-1] = 0.5
    return (*others, last)


def test_what_is_right_is_not_told() -> None:
    assert not list(search(SEEN, right, "float16"))


def test_a_wrong_value_is_told() -> None:
    (found,) = search(SEEN, other(5, beside), "float16")
    assert found.problem is SEEN[5]
    assert found.how == "wrong values"


@pytest.mark.parametrize("at", [0, 5, 11])
def test_a_process_that_ends_is_told_and_the_rest_is_tried(at: int) -> None:
    def call(problem: Op) -> Any:
        ends = other(at, lambda answer: os.kill(os.getpid(), signal.SIGKILL))
        return ends(problem) if problem.x is SEEN[at].x else other((at + 1) % 12, beside)(problem)

    found = {id(one.problem): one.how for one in search(SEEN, call, "float16")}
    assert found == {id(SEEN[at]): "SIGKILL", id(SEEN[(at + 1) % 12]): "wrong values"}


def test_what_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SECONDS", 0.2)
    (found,) = search(SEEN[:1], other(0, lambda answer: signal.pause()), "float16")
    assert found.how == "SIGALRM"


@pytest.mark.parametrize("error", [Unsupported, RuntimeError])
def test_what_is_not_called_is_none(error: type[Exception]) -> None:
    def refuse(answer: Any) -> Any:
        raise error("no")

    assert is_right(SEEN[0], other(0, refuse), "float16") is None


def test_a_sum_that_the_dtype_cannot_hold_is_not_asked_for() -> None:
    """4,096 and one product more have no exact sum in float16."""
    x, weight = np.ones((1, 2, 1, 1), np.float16), np.array([4096, 1], np.float16).reshape(1, 2, 1, 1)
    problem = Conv2d(x=x, weight=weight)
    assert is_right(problem, lambda p: right(p).astype(p.x.dtype), "float16")
    assert not is_right(problem.but(weight=weight / 4), lambda p: right(p) + (p.x.dtype == np.float16), "float16")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_problems_are_legal_and_of_many_kinds(dtype: str) -> None:
    rng = random.Random(1)
    drawn = [draw(rng, dtype) for _ in range(200)]
    for problem in drawn:
        problem.validate()
    assert {str(problem.x.dtype) for problem in drawn} == {dtype}
    assert {type(problem) for problem in drawn} == {Conv2d, Conv2dBackward}
    assert any(not problem.x.flags.c_contiguous for problem in drawn)
    assert any(problem.stride[0] > problem.weight.shape[2] <= problem.padding[0][0] for problem in drawn)


def test_a_finding_is_one_line_with_all_that_makes_it() -> None:
    x = np.ones((1, 5, 5, 2), np.float16).transpose(0, 3, 1, 2)
    said = tell(
        memory.Found(Conv2d(x=x, weight=np.ones((1, 2, 1, 3), np.float16), stride=(2, 1)), "SIGABRT"), "float16"
    )
    assert said == (
        "SIGABRT: conv2d float16 x (1, 2, 5, 5) strides (100, 2, 20, 4), weight (1, 2, 1, 3), "
        "stride (2, 1), padding ((0, 0), (0, 0)), dilation (1, 1), groups 1"
    )


BESIDE = """
import ctypes
import numpy as np
class Mine:
    name = "mine"
    def relu(self, problem):
        y = np.maximum(problem.x, 0)
        if y.size > 300:
            ctypes.memmove(y.ctypes.data + y.nbytes, y.ctypes.data, y.itemsize)
        return y
"""


@pytest.mark.skipif("libc_malloc_debug" not in checked_maps(), reason="glibc's checks of memory are not installed")
def test_the_suite_under_the_checks_sees_what_is_written_beside_an_array(tmp_path: Path) -> None:
    """The command of docs/backends.md. Without the checks nothing shows."""
    (tmp_path / "mine.py").write_text(BESIDE)
    command = [sys.executable, "-m", "pytest", "conformance/", "-q", f"--backend={tmp_path / 'mine.py'}"]
    command += ["--op=relu", "--dtype=float32", "--profile=smoke", f"--results-dir={tmp_path / 'results'}"]
    checks = {"LD_PRELOAD": "libc_malloc_debug.so.0", "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    said = {
        name: subprocess.run(command, cwd=ROOT, env=os.environ | more, capture_output=True, text=True).stdout
        for name, more in (("alone", {}), ("checked", checks))
    }
    assert "CRASH" not in said["alone"]
    assert "SIGABRT" in said["checked"]
