"""Synchronized batch normalization on as many processes as there are devices, which talk to each other through gloo."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import SyncBatchNorm2d
from convspec.reference.formats import dtype_named
from convspec.reference.running import NAMES
from convspec.reference.shards import slices

Tensor = npt.NDArray[Any]

MOST_DEVICES = 4
START_SECONDS, ANSWER_SECONDS = 120.0, 60.0  # longer than a collective waits for the others: sync_worker.GLOO_SECONDS


class DeviceLost(RuntimeError):
    """A process that stands for a device ended, failed or did not answer in time; the message says which and how."""


class Devices:
    """The processes, one for each device. They end with `close`, with this object, and with this process."""

    def __init__(self, count: int = MOST_DEVICES) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="convspec-gloo-"))
        self.processes: list[subprocess.Popen[bytes]] = []
        self._end = weakref.finalize(self, _ended, self.processes, self.folder)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        if "lo" in (name for _, name in socket.if_nameindex()):
            environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
        command = [sys.executable, "-m", "convspec.adapters.sync_worker"]
        for rank in range(count):
            with self._log(rank).open("wb") as log:
                self.processes.append(
                    subprocess.Popen(
                        [*command, str(rank), str(count), str(self.folder)],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        env=environment,
                    )
                )
        self._to = [Connection(os.dup(p.stdin.fileno()), readable=False) for p in self.processes if p.stdin]
        self._from = [Connection(os.dup(p.stdout.fileno()), writable=False) for p in self.processes if p.stdout]
        for process in self.processes:  # so that closing a connection is the end of the input
            if process.stdin and process.stdout:
                process.stdin.close()
                process.stdout.close()
        for rank in range(count):
            self._answer(rank, time.monotonic() + START_SECONDS)

    def ask(self, requests: list[dict[str, Any]]) -> list[Any]:
        """The answers of the first devices, one request each. After a DeviceLost the others are of no use either."""
        for rank, request in enumerate(requests):
            try:
                self._to[rank].send((len(requests), request))
            except OSError as error:
                raise DeviceLost(self._last_words(rank, "has ended")) from error
        until = time.monotonic() + ANSWER_SECONDS
        answers = [self._answer(rank, until) for rank in range(len(requests))]
        for rank, (status, told) in enumerate(answers):
            if status != "done":
                raise DeviceLost(f"device {rank}: {told}")
        return [told for _, told in answers]

    def close(self) -> None:
        for connection in (*self._to, *self._from):
            connection.close()
        self._end()

    def _answer(self, rank: int, until: float) -> Any:
        if not self._from[rank].poll(max(until - time.monotonic(), 0.0)):
            raise DeviceLost(self._last_words(rank, "did not answer in time"))
        try:
            return self._from[rank].recv()
        except (EOFError, OSError) as error:
            raise DeviceLost(self._last_words(rank, "has ended")) from error

    def _last_words(self, rank: int, what: str) -> str:
        lines = self._log(rank).read_text(errors="replace").strip().splitlines()
        return f"device {rank} {what}" + (f": {lines[-1]}" if lines else "")

    def _log(self, rank: int) -> Path:
        return self.folder / f"device-{rank}.txt"


def _ended(processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    """End the processes, if they have not ended with their input, and remove what they left."""
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def synchronized(devices: Devices, problem: SyncBatchNorm2d) -> tuple[Tensor | None, ...]:
    """y, put together from what each device has of it, and the running statistics, on which all devices must agree."""
    shared = {name: _packed(getattr(problem, name)) for name in ("weight", "bias", *NAMES)}
    shared |= {"momentum": problem.momentum, "eps": problem.eps}
    answers = devices.ask([shared | {"x": _packed(problem.x[part])} for part in slices(problem)])
    stored = answers[0][1:]
    for rank, answer in enumerate(answers):
        if answer[1:] != stored:
            raise ArithmeticError(f"device {rank} stores other running statistics than device 0")
    y = np.concatenate([_unpacked(answer[0]) for answer in answers])
    return y, *(None if one is None else _unpacked(one) for one in stored)


def _packed(array: Tensor | None) -> Any:
    """As sync_worker takes tensors apart."""
    return None if array is None else (np.ascontiguousarray(array).tobytes(), array.dtype.name, array.shape)


def _unpacked(packed: Any) -> Tensor:
    data, dtype, shape = packed
    return np.frombuffer(bytearray(data), dtype_named(dtype)).reshape(shape)
