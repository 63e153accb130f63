"""A backend in a process of its own: what ends that process is a verdict, and the run goes on."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from convspec.adapters import CannotLoad, Lost, NoDomain, isolated, load_apart
from convspec.adapters.isolated import Isolated, Limits
from convspec.adapters.wire import packed, unpacked
from convspec.reference import BatchNorm2d, Conv2d, Op, Relu

from .commands import cells, run, suite

pytestmark = pytest.mark.skipif(os.name != "posix", reason="isolation needs fork and Unix sockets")

EVIL = """
import ctypes, os, sys, threading, time
import numpy as np
{at_load}
LEAKED = []

class Evil:
    dtypes = ("float32", "bfloat16")

    def supports(self, problem):
        if problem.x.size == 14: raise KeyError("layout")
        return problem.x.size != 13 if problem.x.size != 15 else None

    def relu(self, problem):
        word = problem.x.flat[0] if problem.x.size else 0
        if word == 101: ctypes.string_at(0)
        if word == 102: print("free(): invalid pointer", flush=True); os.abort()
        if word == 103: os._exit(0)
        if word == 104: time.sleep(60)
        if word == 105:
            held = []
            while True: held.append(b"x" * (1 << 24))
        if word == 111: LEAKED.append(b"x" * (1 << 22))
        if word == 106: raise KeyError("no such tile")
        if word == 107: return [1, 2]
        if word == 108: problem.x[...] = 5
        if word == 109: return (problem.x, None)
        if word == 110:
            base = problem.x if problem.x.base is None else problem.x.base
            offset = problem.x.ctypes.data - base.ctypes.data
            return np.array([problem.x.strides[0], offset, base.size, problem.x.flags.writeable], np.float32)
        return np.maximum(problem.x, 0)
"""


@pytest.fixture(params=["forks", "does not fork"])
def evil(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    path = tmp_path / "evil.py"
    thread = "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"
    path.write_text(EVIL.format(at_load="" if request.param == "forks" else thread))
    backend = Isolated.loaded(str(path), Limits(seconds=2, memory=1 << 28))
    assert backend.worker.forks == (request.param == "forks")
    yield backend
    backend.close()


def relu(word: float, count: int = 3) -> Op:
    return Relu(x=np.array([word, *[-1.0] * (count - 1)], np.float32))


@pytest.mark.parametrize(
    ("word", "status", "told"),
    [
        (101, "crash", "the process was killed by signal 11 (SIGSEGV)"),
        (102, "crash", "the process was killed by signal 6 (SIGABRT); it said: free(): invalid pointer"),
        (103, "crash", "the process exited with code 0"),
        (104, "timeout", "no answer within 2 s"),
        (105, "crash", "more than the limit of 0.25 GiB"),
    ],
)
def test_what_ends_the_process_is_told_and_the_next_call_is_answered(
    evil: Isolated, word: int, status: str, told: str
) -> None:
    with pytest.raises(Lost, match=r".") as lost:
        evil.call(relu(word))
    assert lost.value.status == status
    assert told in str(lost.value)
    assert evil.call(relu(2)).tolist() == [2, 0, 0]


def test_memory_that_quick_calls_leave_behind_adds_up(evil: Isolated, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them takes so long that anybody would look at it alone."""
    monkeypatch.setattr(isolated, "SLICE", 0.5)
    with pytest.raises(Lost, match=r"more than the limit of 0\.25 GiB") as lost:
        end = time.monotonic() + 20  # as many as it takes until somebody looks
        while time.monotonic() < end:
            evil.call(relu(111))
    assert lost.value.status == "crash"
    assert evil.call(relu(2)).tolist() == [2, 0, 0]


def test_what_a_backend_says_and_does_arrives(evil: Isolated) -> None:
    assert evil.operations == ("relu",)
    assert evil.dtypes == ("float32", "bfloat16")
    assert evil.subject_name == "Evil"
    assert evil.supports(relu(1))
    assert not evil.supports(relu(1, 13))
    due = "it must return True or False for every valid problem of its operations"
    for size, told in ((14, "its `supports` raised KeyError: 'layout'; "), (15, "its `supports` returned None; ")):
        with pytest.raises(NoDomain) as silent:
            evil.supports(relu(1, size))
        assert str(silent.value) == told + due
    with pytest.raises(RuntimeError, match="no such tile") as raised:
        evil.call(relu(106))
    assert type(raised.value).__name__ == "KeyError"
    assert type(evil.call(relu(107))).__qualname__ == "list"
    problem = relu(108)
    evil.call(problem)
    assert problem.arrays()["x"].tolist() == [5, 5, 5]
    first, second = evil.call(relu(109))
    assert first.tolist() == [109, -1, -1]
    assert second is None


def test_calls_at_once_are_made_in_the_process(evil: Isolated) -> None:
    one, two = evil.together([relu(2), relu(3, 4)], 2)
    assert [y.tolist() for y in (*one, *two)] == [[2, 0, 0]] * 2 + [[3, 0, 0, 0]] * 2
    (error,), (y,) = evil.together([relu(106), relu(3)], 1)
    assert type(error).__name__ == "KeyError"
    assert y.tolist() == [3, 0, 0]
    with pytest.raises(Lost, match="SIGSEGV"):
        evil.together([relu(1), relu(101)], 1)


REMEMBERS = """
class Remembers:
    calls, first = 0, {{}}

    def relu(self, problem):
        self.calls += 1
        x = self.first.setdefault(problem.x.shape, problem.x.copy())
        return {answer}
"""


def test_a_backend_that_forgets_has_not_been_called(tmp_path: Path) -> None:
    path = tmp_path / "counts.py"
    path.write_text(REMEMBERS.format(answer="problem.x + self.calls"))
    backend = Isolated.loaded(str(path), Limits())
    assert backend.forget()
    assert [backend.call(relu(1))[0] for _ in range(2)] == [2, 3]
    assert backend.forget()
    assert backend.call(relu(1))[0] == 2
    backend.close()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("problem.x.clip(0) + (problem.x.size > 1 and problem.x.flat[0] < problem.x.flat[-1])", "pass"),
        ("x.clip(0)", "fail"),
    ],
    ids=["wrong values", "wrong calls"],
)
def test_what_is_called_in_between_is_wrong_where_it_is_right_alone(tmp_path: Path, answer: str, status: str) -> None:
    (tmp_path / "remembers.py").write_text(REMEMBERS.format(answer=answer))
    clause = "relu.calls_in_between_change_nothing"
    suite(tmp_path, "--backend=remembers.py", "--profile=smoke", f"--clause={clause}", "--no-report")
    (cell,) = cells(tmp_path)
    assert cell["status"] == status, cell["reason"]
    if status == "fail":
        assert str(cell["reason"]).startswith("right as the first call, wrong after one"), cell["reason"]


@pytest.mark.parametrize(
    ("answer", "clause", "code", "noted"),
    [
        ("x.clip(0)", "calls_in_between_change_nothing", 1, False),  # the script makes the calls of the case in order
        ("problem.x.clip(0) + (self.calls > 1)", "repeating_a_call_repeats_the_bits", 1, False),
        ("problem.x.clip(0) + (self.calls > 5)", "within_the_bound", 0, True),
        ("problem.x", "within_the_bound", 1, False),
    ],
)
def test_a_script_shows_the_failure_or_the_run_says_what_does(
    tmp_path: Path, answer: str, clause: str, code: int, noted: bool
) -> None:
    (tmp_path / "remembers.py").write_text(REMEMBERS.format(answer=answer))
    result = suite(tmp_path, "--backend=remembers.py", "--profile=smoke", f"--clause=relu.{clause}", "--no-report")
    (script,) = (tmp_path / "conformance-results/latest/failures").glob("*.py")
    again = run(tmp_path, sys.executable, script)
    assert again.returncode == code, again.stdout + again.stderr
    told = [line for line in result.stdout.splitlines() if "alone this case is right" in line]
    assert len(told) == noted, result.stdout
    for line in told:
        command = line.partition("again: ")[2].split()
        assert command[:2] == ["convspec", "run"]
        assert run(tmp_path, sys.executable, "-m", "convspec", *command[1:]).returncode == 1


def test_a_view_arrives_as_it_is(evil: Isolated) -> None:
    memory = np.full(40, 110, np.float32)
    for view in (memory, memory[5:25], memory[::-3], memory[3::2], np.broadcast_to(memory[:1], (4,))):
        offset = view.ctypes.data - memory.ctypes.data
        due = [view.strides[0], offset, memory.size, view.flags.writeable]
        assert evil.call(Relu(x=view)).tolist() == due


def test_one_array_in_two_roles_arrives_as_one() -> None:
    once = np.ones(3, np.float32)
    problem = BatchNorm2d(
        x=np.ones((2, 3, 1, 2), np.float32), weight=once, bias=once, running_mean=once.copy(), running_var=once
    )
    there = unpacked(packed(problem))
    assert there.weight is there.bias is there.running_var  # type: ignore[attr-defined]
    assert not np.shares_memory(there.running_mean, there.weight)  # type: ignore[attr-defined]


def test_a_backend_that_cannot_be_loaded_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "dies.py"
    path.write_text("import ctypes\nctypes.string_at(0)\n")
    with pytest.raises(CannotLoad, match=r"the process that loads it was killed by signal 11 \(SIGSEGV\)"):
        load_apart(str(path))
    with pytest.raises(CannotLoad, match="there is no file"):
        load_apart(str(tmp_path / "none.py"))


def test_only_what_may_be_dangerous_has_a_process_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "evil.py"
    path.write_text(EVIL.format(at_load=""))
    for spec, how, apart in (("numpy", "auto", False), ("numpy", "process", True), (str(path), "auto", True),
                             (str(path), "none", False)):  # fmt: skip
        backend = load_apart(spec, how)
        assert isinstance(backend, Isolated) == apart, (spec, how)
        backend.close()


def test_the_bundled_kernel_gives_the_same_bits_in_a_process_of_its_own() -> None:
    random = np.random.default_rng(3)
    x, weight = (random.standard_normal(s).astype(np.float32) for s in ((2, 3, 5, 6), (4, 3, 2, 3)))
    problem = Conv2d(x=x[:, ::-1], weight=weight, stride=2, padding=1)
    apart, here = load_apart("c"), load_apart("c", "none")
    assert apart.call(problem).tobytes() == here.call(problem).tobytes()
    apart.close()


def test_no_process_is_left_when_the_suite_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "evil.py"
    path.write_text(EVIL.format(at_load=""))
    program = f"""if True:
        import numpy as np
        from convspec.adapters.isolated import Isolated, Limits
        from convspec.reference import Relu
        backend = Isolated.loaded({str(path)!r}, Limits(seconds=60))
        backend.call(Relu(x=np.ones(2, np.float32)))
        print(backend.worker._process.pid, backend.worker._pid, flush=True)
        backend.call(Relu(x=np.full(2, 104, np.float32)))
    """
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


DEADLY = """
import ctypes, os, time
import numpy as np

class Deadly:
    def relu(self, problem):
        if problem.x.dtype.kind in "cb":
            raise TypeError("no order")
        if problem.x.ndim >= 2 and problem.x.shape[-1] > 1:
            {death}
        return np.maximum(problem.x, 0)
"""


@pytest.mark.parametrize(
    ("death", "status", "told"),
    [
        ("ctypes.string_at(0)", "crash", "the process was killed by signal 11 (SIGSEGV)"),
        ("os._exit(0)", "crash", "the process exited with code 0"),
        ("time.sleep(60)", "timeout", "no answer within 1 s"),
    ],
)
def test_a_lost_process_is_a_verdict_with_its_smallest_case(tmp_path: Path, death: str, status: str, told: str) -> None:
    path = tmp_path / "deadly.py"
    path.write_text(DEADLY.format(death=death))
    clauses = "relu.size_follows_the_formula,relu.numbers_are_ordered,relu.one_number"
    result = suite(tmp_path, "--backend=deadly.py", f"--clause={clauses}", "--profile=smoke", "--case-timeout=1",
                   "--examples=40")  # fmt: skip
    assert result.returncode == 1, result.stdout
    seen = {str(c["clause"]): c["status"] for c in cells(tmp_path)}
    assert seen == {
        "relu.size_follows_the_formula": status, "relu.numbers_are_ordered": "pass", "relu.one_number": "pass",
    }  # fmt: skip
    assert status.upper() in result.stdout
    assert told in result.stdout
    [stored] = (tmp_path / "conformance-results/latest/failures").glob("*.json")
    failure = json.loads(stored.read_text())
    assert failure["status"] == status
    assert failure["inputs"]["x"]["shape"][-1] > 1
    assert failure["elements"] <= 6
    script = stored.with_suffix(".py")
    assert run(tmp_path, sys.executable, str(script)).returncode == 1
    path.write_text(DEADLY.format(death="pass"))
    assert run(tmp_path, sys.executable, str(script)).returncode == 0


def test_a_backend_that_always_hangs_costs_a_few_time_limits(tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text(
        "import time\nclass Hangs:\n    def relu(self, problem):\n        time.sleep(60)\n"
    )
    result = suite(tmp_path, "--backend=hangs.py", "--profile=smoke", "--case-timeout=0.2")
    assert result.returncode == 1
    statuses = [c["status"] for c in cells(tmp_path)]
    assert statuses.count("timeout") == 3
    assert statuses.count("not run") == len(statuses) - 3


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--isolate=yes", "--isolate: no 'yes'; it may be auto, process, none"),
        ("--case-timeout=soon", "--case-timeout: 'soon' is not a number"),
        ("--case-timeout=0", "--case-timeout: 0 is not a number above 0"),
        ("--memory-limit=-1", "--memory-limit: -1 is not a number above 0"),
    ],
)
def test_a_wrong_limit_is_told_in_one_line(tmp_path: Path, option: str, told: str) -> None:
    result = suite(tmp_path, "--backend=numpy", option)
    assert result.returncode == 4
    assert told in result.stderr


def test_string_at_zero_is_deadly_here() -> None:
    """What the tests above rely on."""
    code = f"import {ctypes.__name__}; ctypes.string_at(0)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGSEGV
