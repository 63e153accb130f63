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

from . import load
from .backend import Backend, CannotLoad, Unsupported
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
        word, problem = receive(client)
        send(client, reply(word, unpacked(problem), backend))


def reply(word: str, problem: Any, backend: Backend) -> tuple[Any, ...]:
    """What came of a call: the answer and the arguments that it changed, or how it was refused."""
    before = {name: array.tobytes() for name, array in problem.arrays().items()}
    try:
        if word == "supports":
            return "supports", backend.supports(problem)
        answer = backend.call(problem)
    except Unsupported as error:
        return "unsupported", str(error)
    except (Exception, SystemExit) as error:
        return "raised", (type(error).__name__, str(error))
    changed = {name: packed_answer(a) for name, a in problem.arrays().items() if a.tobytes() != before[name]}
    return "answer", (packed_answer(answer), changed, backend.seen)


def _threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 0


if __name__ == "__main__":
    main(int(sys.argv[1]))
