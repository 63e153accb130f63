"""Convolutions of 16-bit numbers in which PyTorch reads or writes wrong memory and which the adapter calls.

    python -m benchmarks.memory [--dtype NAME ...] [--seed N] [--minutes M]

Finds in minutes what a soak meets once in hours, and what comes of it is a condition in adapters/onednn_faults.py with
an example in tests/test_not_called.py. Shapes are drawn wider than the suite draws them, with integers whose sums are
exact, and both the convolution and its gradients are called some times, in a process of their own that a signal may
end, under glibc's checks of memory: what is written beside an array ends the process, and what is handed out or given
back is filled, so that what is read beside an array shows in values. Exit status 1 if anything was found. Linux with
glibc.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convspec.adapters import Unsupported, load
from convspec.reference import Conv2d, Conv2dBackward, Op
from convspec.reference.formats import dtype_named

CHECKS = {
    "LD_PRELOAD": "libc_malloc_debug.so.0",
    "GLIBC_TUNABLES": "glibc.malloc.check=3:glibc.malloc.perturb=64",
    "OMP_NUM_THREADS": "1",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "512",
}
# Integers up to here are exact in the dtype, so that the sum of absolute products tells which outputs are.
EXACT = {"float16": 2048, "bfloat16": 256}
TOGETHER = 40  # problems in one process
CALLS = 5  # of each problem
SECONDS = 60.0  # for one process; corrupted memory may hang it
LARGEST = 30_000_000  # products of one convolution

Call = Callable[[Op], Any]


@dataclass(frozen=True)
class Found:
    """A problem that is called and got wrong, and how: "wrong values" or the name of a signal."""

    problem: Op
    how: str


def draw(rng: random.Random, dtype: str) -> Op:
    """A convolution or its gradients: strides, padding and filters beyond what is usual, in three layouts."""
    while True:
        taps, dilation, stride, padding, size = zip(*(_axis(rng) for _ in "hw"), strict=True)
        groups = rng.choice([1, 1, 1, 1, 2, 3, 4, 8])
        most = 64 if groups == 1 else 16
        depth, filters = (
            rng.choice([n for n in (1, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 64) if n <= most])
            for _ in range(2)
        )
        images = rng.choice([1, 1, 2, 3])
        outputs = [
            (n + 2 * p - d * (t - 1) - 1) // s + 1
            for n, p, d, t, s in zip(size, padding, dilation, taps, stride, strict=True)
        ]
        products = images * depth * groups * filters * int(np.prod(taps)) * int(np.prod(outputs))
        if min(outputs) >= 1 and products <= LARGEST:
            break
    values = np.random.default_rng(rng.getrandbits(64))

    def integers(*shape: int) -> Any:
        return _laid(rng.choice(LAYOUTS), values.integers(-2, 3, shape).astype(dtype_named(dtype)))

    forward = Conv2d(
        x=integers(images, groups * depth, *size),
        weight=integers(groups * filters, depth, *taps),
        bias=values.integers(-2, 3, groups * filters).astype(dtype_named(dtype)) if rng.random() < 0.3 else None,
        stride=stride,
        padding=tuple((p, p) for p in padding),
        dilation=dilation,
        groups=groups,
    )
    if rng.random() < 0.4:
        return forward
    fields = {
        name: getattr(forward, name) for name in ("x", "weight", "bias", "stride", "padding", "dilation", "groups")
    }
    return Conv2dBackward(**fields, grad_output=integers(images, groups * filters, *outputs))


def _axis(rng: random.Random) -> tuple[int, int, int, int, int]:
    """Taps, dilation, stride, padding and size along an axis."""
    taps, dilation = rng.choice([1, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9]), rng.choice([1, 1, 1, 2, 3])
    stride, padding = rng.choice([1, 1, 2, 2, 3, 4, 5, 6, 8, 9, 12]), rng.choice([0, 0, 0, 1, 1, 2, 3, 4, 5, 7, 9])
    return taps, dilation, stride, padding, rng.choice([rng.randint(1, 12), rng.randint(1, 40)])


LAYOUTS = ("plain", "plain", "plain", "channels last", "columns first")


def _laid(layout: str, array: Any) -> Any:
    if layout == "channels last":
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if layout == "columns first":
        return np.ascontiguousarray(array.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    return array


def is_right(problem: Op, call: Call, dtype: str) -> bool | None:
    """Are all outputs right that are exact, in every call? None where it is not called, or refused. The same backend in
    float64 is the truth: it adds up the same integers without an error."""
    due, most = (_answers(call, _widened(problem, by)) for by in (np.asarray, np.abs))
    for _ in range(CALLS):
        try:
            got = _answers(call, problem)
        except (Unsupported, RuntimeError):
            return None
        for mine, right, size in zip(got, due, most, strict=True):
            wrong = np.asarray(mine, np.float64) != right
            if (wrong & (size <= EXACT[dtype])).any():
                return False
    return True


def _answers(call: Call, problem: Op) -> list[Any]:
    answer = call(problem)
    return [one for one in (answer if isinstance(answer, tuple) else (answer,)) if one is not None]


def _widened(problem: Op, by: Callable[[Any], Any]) -> Op:
    return problem.but(**{name: by(array.astype(np.float64, order="C")) for name, array in problem.arrays().items()})


def search(problems: list[Op], call: Call, dtype: str) -> Iterator[Found]:
    """Those of the problems that are called and got wrong; each process that ends goes on behind what ended it."""
    left = problems
    while left:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            _try_each(left, call, dtype, read, write)
        os.close(write)
        with os.fdopen(read, "rb") as told:
            done = told.read().decode()
        _, status = os.waitpid(child, 0)
        yield from (Found(problem, "wrong values") for problem, right in zip(left, done, strict=False) if right == "0")
        if len(done) < len(left):
            yield Found(left[len(done)], _ending(status))
        left = left[len(done) + 1 :]


def _try_each(problems: list[Op], call: Call, dtype: str, read: int, write: int) -> None:
    """In the child: a letter for each problem. Never returns."""
    try:
        os.close(read)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what glibc says of memory
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        for problem in problems:
            os.write(write, {True: b"1", False: b"0", None: b"-"}[is_right(problem, call, dtype)])
        os._exit(0)
    except BaseException:
        os._exit(3)


def _ending(status: int) -> str:
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"


def tell(found: Found, dtype: str) -> str:
    """In one line: shapes, memory layouts where they are not plain, and parameters."""
    problem = found.problem
    arrays = [
        f"{name} {array.shape}" + ("" if array.flags.c_contiguous else f" strides {array.strides}")
        for name, array in problem.arrays().items()
    ]
    others = [f"{name} {getattr(problem, name)}" for name in ("stride", "padding", "dilation", "groups")]
    return f"{found.how}: {problem.name} {dtype} {', '.join(arrays + others)}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw 16-bit convolutions and try PyTorch under checks of memory")
    parser.add_argument("--dtype", nargs="*", default=list(EXACT), choices=list(EXACT), help="default: both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=5.0, help="for each dtype (default 5)")
    asked = parser.parse_args()
    if "GLIBC_TUNABLES" not in os.environ:  # glibc reads them when a process begins
        return subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", *sys.argv[1:]], env=os.environ | CHECKS
        ).returncode
    if CHECKS["LD_PRELOAD"] not in Path("/proc/self/maps").read_text():
        print(f"{CHECKS['LD_PRELOAD']} cannot be loaded: it comes with glibc 2.34 and later", file=sys.stderr)
        return 2
    backend, any_found = load("torch"), False
    for dtype in asked.dtype:
        rng, end, tried, found = random.Random(f"{asked.seed} {dtype}"), time.monotonic() + asked.minutes * 60, 0, 0
        while time.monotonic() < end:
            problems = [draw(rng, dtype) for _ in range(TOGETHER)]
            for one in search(problems, backend.call, dtype):
                found += 1
                print(tell(one, dtype), flush=True)
            tried += len(problems)
        print(f"{dtype}: {found} found of {tried:,} problems, {CALLS} calls each", flush=True)
        any_found |= found > 0
    return int(any_found)


if __name__ == "__main__":
    sys.exit(main())
