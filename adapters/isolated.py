"""A backend in a process of its own: what kills, hangs or fills that process is an answer like any other.

A call costs about a tenth of a millisecond more than in the process of the suite. POSIX only.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from convspec.reference import Op
from convspec.reference.rounding import Arithmetic

from .backend import Backend
from .errors import CannotLoad, Lost, NoDomain, Unsupported
from .wire import Closed, packed, receive, send, unpacked_answer

LOADING = 120.0  # seconds; a compiler or a device may be slow to start
SLICE = 0.05  # seconds between two looks at the memory of the child, in a call or in many
MEMORY = 4 << 30  # bytes
STRAY = ": something outside of an array was read or written"  # arrays for C lie between forbidden pages
KEPT = 1 << 20  # bytes of what the child prints


@dataclass(kw_only=True)
class Limits:
    """What a call may take: seconds, and bytes of memory of the whole process."""

    seconds: float = 20.0
    memory: int = MEMORY


class Worker:
    """The process: started when it is first needed, and again after it was lost."""

    def __init__(self, spec: str, limits: Limits) -> None:
        self.spec = spec
        self.limits = limits
        self.forks = False
        self.guarded = False
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._life: socket.socket | None = None
        self._pid = 0
        self._said: IO[bytes] | None = None
        self._heard = 0  # how much of it was said before this life
        self._looked = 0.0  # when its memory was looked at

    def start(self) -> dict[str, Any]:
        """Load the backend in a new process. Returns what it declares. Raises CannotLoad."""
        self.close()
        ours, theirs = socket.socketpair()
        self._said, self._heard = tempfile.TemporaryFile(), 0  # noqa: SIM115  (closed with the process)
        command = [sys.executable, "-m", "convspec.adapters.worker", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said
        )
        theirs.close()
        self._control = ours
        try:
            send(ours, (self.spec, sys.path))
            if not self._waits(ours, LOADING, self._process.pid):
                raise CannotLoad(f"{self.spec}: loading it took more than {LOADING:.0f} s")
            word, content = receive(ours)
        except (Closed, Lost) as error:
            how = _ending(self._process.wait()) if isinstance(error, Closed) else str(error)
            raise CannotLoad(f"{self.spec}: the process that loads it {how}{self._last_words()}") from None
        if word == "cannot load":
            raise CannotLoad(content)
        description, self.forks = content
        self.guarded = description["kind"] == "library" or self.spec == "c"
        return dict(description)

    def ask(self, word: str, *problems: Op, times: int = 1) -> Any:
        """The reply to a call, or to calls at once. Raises Lost where the process is lost in it."""
        if self._life is None:
            self._begin()
        assert self._life is not None
        try:
            send(self._life, (word, [packed(problem) for problem in problems], times))
            if not self._waits(self._life, self.limits.seconds, self._pid):
                raise Lost("timeout", f"no answer within {self.limits.seconds:g} s")
            reply = receive(self._life)
            if time.monotonic() - self._looked > SLICE:  # what many quick calls leave behind adds up too
                self._look_at_memory(self._pid)
            return reply
        except Closed:
            code = self._end()
            hint = STRAY if -code in (signal.SIGSEGV, signal.SIGBUS) and self.guarded else ""
            raise Lost("crash", f"the process {_ending(code)}{hint}{self._last_words()}") from None
        except Lost:
            os.kill(self._pid, signal.SIGKILL)
            self._end()
            raise
        except BaseException:  # interrupted in the middle of a message
            os.kill(self._pid, signal.SIGKILL)
            self._end()
            raise

    def forget(self) -> bool:
        """End this life, so that the next call is the first one of another; False where only a new process would do,
        which may take seconds."""
        if self.forks and self._life is not None:
            self._end()
        return self.forks

    def close(self) -> None:
        """End the process."""
        for end in (self._life, self._control):
            if end is not None:
                end.close()
        self._life = self._control = None
        if self._process is not None:
            try:
                self._process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        if self._said is not None:
            self._said.close()
            self._said = None

    def _begin(self) -> None:
        """A new life of the backend."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        assert self._control is not None
        assert self._process is not None
        assert self._said is not None
        self._heard = self._said.seek(0, os.SEEK_END)
        if self._heard > KEPT:
            self._heard = self._said.truncate(0)
        if not self.forks:
            self._life, self._pid = self._control, self._process.pid
            return
        send(self._control, "live")
        word, descriptors, _, _ = socket.recv_fds(self._control, 64, 1)
        self._life, self._pid = socket.socket(fileno=descriptors[0]), int(word)

    def _end(self) -> int:
        """What is left of a life that is over: how the process ended, as a wait status gives it."""
        assert self._process is not None
        assert self._control is not None
        if not self.forks:
            status = self._process.wait()
            self._life = None
            return status
        assert self._life is not None
        self._life.close()
        self._life = None
        send(self._control, "reap")
        return os.waitstatus_to_exitcode(receive(self._control))

    def _waits(self, source: socket.socket, seconds: float, pid: int) -> bool:
        """Has the other side something to read within this time? Raises Lost where its memory passes the limit."""
        if select.select([source], [], [], min(SLICE, seconds))[0]:
            return True
        deadline = time.monotonic() + seconds - SLICE
        while time.monotonic() < deadline:
            self._look_at_memory(pid)
            if select.select([source], [], [], SLICE)[0]:
                return True
        return False

    def _look_at_memory(self, pid: int) -> None:
        """Raise Lost where a process holds more than the limit."""
        held, self._looked = _memory(pid), time.monotonic()
        if held > self.limits.memory:
            limit = self.limits.memory / (1 << 30)
            raise Lost("crash", f"the process held {held / (1 << 30):.1f} GiB, more than the limit of {limit:.3g} GiB")

    def _last_words(self) -> str:
        """The last line that the process printed, if it printed any."""
        if self._said is None:
            return ""
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(self._heard, size - 4096))
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f"; it said: {lines[-1].strip()[:200]}" if lines else ""


def _ending(code: int) -> str:
    """How a process ended, in words: the code is that of `subprocess`, minus the signal where one killed it."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"was killed by signal {-code} ({name})"


def _memory(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where the system does not say."""
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return resident * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Isolated(Backend):
    """A backend that is called in a process of its own. The suite's process never loads it."""

    worker: Worker = field(default_factory=lambda: Worker("", Limits()))
    has_domain: bool = True
    arithmetics: dict[tuple[str, str], Arithmetic] = field(default_factory=dict)

    @classmethod
    def loaded(cls, spec: str, limits: Limits) -> Isolated:
        """Load the backend in a process of its own. Raises CannotLoad."""
        worker = Worker(spec, limits)
        try:
            return cls(**worker.start(), subject=None, worker=worker)
        except BaseException:
            worker.close()
            raise

    def supports(self, problem: Op) -> bool:
        return bool(self._ask("supports", problem)) if self.has_domain else True

    def call(self, problem: Op) -> Any:
        answer, changed, self.seen = self._ask("call", problem)
        for name, values in changed.items():
            array = problem.arrays()[name]
            if array.flags.writeable:  # what it wrote into its arguments, seen by whoever looks at them
                array[...] = unpacked_answer(values)
        return unpacked_answer(answer)

    def together(self, problems: Sequence[Op], times: int) -> list[list[Any]]:
        found = self._ask("together", *problems, times=times)
        return [[_outcome(kind, content) for kind, content in mine] for mine in found]

    def arithmetic(self, op: str, dtype: str) -> Arithmetic:
        return self.arithmetics.get((op, dtype)) or Arithmetic.ieee(dtype)

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        limits = self.worker.limits
        before, limits.seconds = limits.seconds, min(seconds, limits.seconds)
        try:
            yield
        finally:
            limits.seconds = before

    def forget(self) -> bool:
        return self.worker.forget()

    @property
    def limit(self) -> float:
        return self.worker.limits.seconds

    @property
    def place(self) -> str:
        return "in its own process"

    def close(self) -> None:
        self.worker.close()

    def _ask(self, word: str, *problems: Op, times: int = 1) -> Any:
        kind, content = self.worker.ask(word, *problems, times=times)
        if kind in ("unsupported", "no domain", "raised"):
            raise _raised(kind, content)
        return content


def _raised(kind: str, content: Any) -> Exception:
    """The exception that was raised on the other side, or one with its name."""
    if kind == "unsupported":
        return Unsupported(content)
    if kind == "no domain":
        return NoDomain(content)
    name, text = content
    error: Exception = type(name, (RuntimeError,), {})(text)
    return error


def _outcome(kind: str, content: Any) -> Any:
    return unpacked_answer(content) if kind == "answer" else _raised(kind, content)
