"""The child process of an isolated backend: `python -m convspec.adapters.worker FD`.

It loads the backend, says what the backend declares, and then forks for every life of it: where a fork dies, the next
one starts from the backend as it was when it had just been loaded, within milliseconds. A backend that has threads or a
device open once it is loaded cannot be forked: then this process itself serves, and dies with it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from convspec.reference import Op

from . import load
from .backend import Backend
from .errors import CannotLoad, NoDomain, Unsupported
from .wire import Closed, packed_answer, receive, send, unpacked


def main(descriptor: int) -> None:
    """Serve the suite at the other end of this socket until it goes."""
    control = socket.socket(fileno=descriptor)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    spec, sys.path[:] = receive(control)
    threads = _threads()  # NumPy's own, which survive a fork
    try:
        backend = load(spec)
    except CannotLoad as error:
        send(control, ("cannot load", str(error)))
        return
    forks = _threads() == threads and backend.device == "cpu"
    send(control, ("loaded", (backend.description(), forks)))
    with contextlib.suppress(Closed):
        if not forks:
            serve(control, backend)
        while True:
            receive(control)  # a life is wanted
            live(control, backend)


def live(control: socket.socket, backend: Backend) -> None:
    """Fork, hand the suite a socket to the fork, and tell how it ended once the suite asks."""
    theirs, ours = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        control.close()
        theirs.close()
        with contextlib.suppress(Closed):
            serve(ours, backend)
        os._exit(0)
    ours.close()
    try:
        socket.send_fds(control, [str(pid).encode()], [theirs.fileno()])
        theirs.close()
        receive(control)  # the suite has lost it, or has killed it
        send(control, os.waitpid(pid, 0)[1])
    except Closed:
        os.kill(pid, signal.SIGKILL)  # the suite is gone: it may be in an endless loop
        raise


def serve(client: socket.socket, backend: Backend) -> None:
    """Answer calls until the other side goes."""
    while True:
        word, problems, times = receive(client)
        asked = [unpacked(problem) for problem in problems]
        send(client, at_once(asked, times, backend) if word == "together" else reply(word, asked[0], backend))


def at_once(problems: list[Op], times: int, backend: Backend) -> tuple[Any, ...]:
    """What came of calls from as many threads as there are problems."""
    try:
        found = backend.together(problems, times)
    except Unsupported as error:
        return "unsupported", str(error)
    except (Exception, SystemExit) as error:
        return "raised", (type(error).__name__, str(error))
    return "answers", [[_one(outcome) for outcome in mine] for mine in found]


def _one(outcome: Any) -> tuple[str, Any]:
    if isinstance(outcome, Unsupported):
        return "unsupported", str(outcome)
    if isinstance(outcome, BaseException):
        return "raised", (type(outcome).__name__, str(outcome))
    return "answer", packed_answer(outcome)


def reply(word: str, problem: Op, backend: Backend) -> tuple[Any, ...]:
    """What came of a call: the answer and the arguments that it changed, or how it was refused."""
    before = {name: array.tobytes() for name, array in problem.arrays().items()}
    try:
        if word == "supports":
            return "supports", backend.supports(problem)
        answer = backend.call(problem)
    except Unsupported as error:
        return "unsupported", str(error)
    except NoDomain as error:
        return "no domain", str(error)
    except (Exception, SystemExit) as error:
        return "raised", (type(error).__name__, str(error))
    changed = {name: packed_answer(a) for name, a in problem.arrays().items() if a.tobytes() != before[name]}
    return "answer", (packed_answer(answer), changed, backend.seen)


def _threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 0


if __name__ == "__main__":
    main(int(sys.argv[1]))
