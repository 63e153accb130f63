"""The commands as a user runs them, in an empty folder: exit codes, the lines printed, the record, the reproducers."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .commands import BIN, RELU, SWAPPED, cells, run, suite


def test_a_right_backend_passes(tmp_path: Path) -> None:
    result = suite(tmp_path, "--backend=numpy", "--profile=smoke", "--op=relu,linear")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "report.html" in result.stdout
    folder = tmp_path / "conformance-results/latest"
    info = json.loads((folder / "run.json").read_text())
    assert info["complete"]
    assert set(info["stages"]) >= {"drawing", "reference", "bound", "backend", "judging"}
    assert all(c["status"] == "pass" for c in cells(tmp_path))
    assert len(json.loads((folder / "cases.json").read_text())) == 2
    assert (folder / "report.html").stat().st_size > 10_000


def test_swapped_strides_are_told_by_a_handful_of_elements(tmp_path: Path) -> None:
    (tmp_path / "swapped.py").write_text(SWAPPED)
    result = suite(tmp_path, "--backend=swapped.py", "--profile=smoke", "--clause=conv2d.size_*,conv2d.stride_is_s*")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "conv2d.size_follows_the_formula" in result.stdout
    failures = [json.loads(f.read_text()) for f in (tmp_path / "conformance-results/latest/failures").glob("*.json")]
    assert failures
    assert all(f["elements"] <= 8 for f in failures)
    for script in (tmp_path / "conformance-results/latest/failures").glob("*.py"):
        again = run(tmp_path, sys.executable, script)
        assert again.returncode == 1, script.read_text() + again.stdout + again.stderr
    # Put the strides right: the same scripts say so.
    (tmp_path / "swapped.py").write_text(SWAPPED.replace("problem.stride[::-1]", "problem.stride"))
    for script in (tmp_path / "conformance-results/latest/failures").glob("*.py"):
        again = run(tmp_path, sys.executable, script)
        assert again.returncode == 0, again.stdout + again.stderr
    (tmp_path / "swapped.py").unlink()
    for script in (tmp_path / "conformance-results/latest/failures").glob("*.py"):
        assert run(tmp_path, sys.executable, script).returncode == 2


def test_a_reproducer_needs_numpy_and_the_backend_only(tmp_path: Path) -> None:
    (tmp_path / "swapped.py").write_text(SWAPPED)
    suite(tmp_path, "--backend=swapped.py", "--profile=smoke", "--clause=conv2d.size_follows_the_formula")
    (script,) = (tmp_path / "conformance-results/latest/failures").glob("*.py")
    hidden = (
        "import sys; sys.modules['convspec'] = None; import runpy; runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    again = run(tmp_path, sys.executable, "-c", hidden, str(script))
    assert again.returncode == 1, again.stdout + again.stderr
    assert "expected shape" in again.stdout


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("raise KeyError('lost')", "raised KeyError"),
        ("return np.maximum(problem.x, 0)[..., :-1]", "shape"),
        ("return np.maximum(problem.x, 0).astype(np.float64)", "returned float64, but x is float32"),
        ("return np.full_like(problem.x, np.nan)", "got nan"),
        ("return None", "returned None, not a NumPy array"),
        ("return np.maximum(problem.x, 0).tolist()", "returned a list, not a NumPy array"),
    ],
)
def test_a_misbehaving_backend_fails_and_the_run_goes_on(tmp_path: Path, body: str, cause: str) -> None:
    (tmp_path / "bad.py").write_text(RELU.format(body=body))
    result = suite(tmp_path, "--backend=bad.py", "--backend=numpy", "--profile=smoke", "--op=relu")
    assert result.returncode == 1, result.stdout + result.stderr
    mine = [c for c in cells(tmp_path) if c["backend"] == "bad.py"]
    assert any(c["status"] == "fail" and cause in str(c["reason"]) for c in mine), [c["reason"] for c in mine]
    assert not any(c["status"] == "error" for c in mine)
    others = [c for c in cells(tmp_path) if c["backend"] == "numpy"]
    assert len(others) == len(mine)
    assert all(c["status"] == "pass" for c in others)


def test_a_backend_that_hands_out_one_buffer_is_compared_by_what_it_said(tmp_path: Path) -> None:
    body = "self.y = getattr(self, 'y', {}); y = self.y.setdefault(problem.x.shape, np.empty_like(problem.x))\n"
    body += "        np.maximum(problem.x, np.float32(0), out=y); return y"
    (tmp_path / "one.py").write_text(RELU.format(body=body))
    result = suite(tmp_path, "--backend=one.py", "--profile=smoke", "--op=relu", "--no-report")
    assert result.returncode == 1, result.stdout
    failed = [c["clause"] for c in cells(tmp_path) if c["status"] != "pass"]
    both = {"relu.results_are_memory_of_their_own", "relu.threads_do_not_disturb_each_other"}
    assert "relu.results_are_memory_of_their_own" in failed
    assert set(failed) <= both, "no other clause accuses it"
    assert "worst error / bound" in result.stdout, "the table is shown without a page too"


def test_two_workers_give_the_same_cells_as_one(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(RELU.format(body="return np.abs(problem.x)"))
    texts = []
    for workers in ("0", "2"):
        options = ["--backend=bad.py", "--backend=numpy", "--profile=smoke", "--op=relu,linear", "-n", workers]
        assert suite(tmp_path, *options).returncode == 1
        folder = tmp_path / "conformance-results/latest"
        texts.append([(folder / name).read_text() for name in ("cells.jsonl", "cases.json")])
    assert texts[0] == texts[1]


@pytest.mark.parametrize("ops", ["relu", "relu,linear,pad2d"])
def test_an_operation_goes_to_one_worker_whole(tmp_path: Path, ops: str) -> None:
    """What a worker knows of it, what hung before and from what a failure is shrunk, is then what one process knows."""
    options = ["--backend=numpy", "--profile=smoke", f"--op={ops}", "--dtype=float32,float64", "--no-report"]
    result = suite(tmp_path, *options, "-n", "2", "-v")
    assert result.returncode == 0, result.stdout
    ran = re.findall(r"\[(gw\d+)\] .* PASSED .*::test_clause\[(\w+)\.", result.stdout)
    assert len(ran) == len(cells(tmp_path))
    workers = {op: {worker for worker, other in ran if other == op} for op in ops.split(",")}
    assert all(len(of_one) == 1 for of_one in workers.values()), workers
    assert len(set.union(*workers.values())) == min(2, len(workers))


@pytest.mark.parametrize("asked", [["--dtype=float16,float64"], ["--dtype=float16", "--dtype=float64"]])
def test_dtypes_are_asked_for_in_one_list_or_in_several(tmp_path: Path, asked: list[str]) -> None:
    assert suite(tmp_path, "--backend=numpy", "--profile=smoke", "--op=relu", *asked).returncode == 0
    assert {cell["dtype"] for cell in cells(tmp_path)} == {"float16", "float64"}


def test_pytests_own_options_work(tmp_path: Path) -> None:
    result = suite(tmp_path, "--backend=numpy", "--profile=smoke", "-k", "relu and twice_is_once", "-q")
    assert result.returncode == 0
    assert [c["clause"] for c in cells(tmp_path)] == ["relu.twice_is_once"]
    (tmp_path / "bad.py").write_text(RELU.format(body="return problem.x"))
    result = suite(tmp_path, "--backend=bad.py", "--profile=smoke", "-x")
    assert result.returncode == 1
    assert not json.loads((tmp_path / "conformance-results/latest/run.json").read_text())["complete"]


def test_an_interrupted_run_is_exit_code_2_with_a_partial_report(tmp_path: Path) -> None:
    command = [BIN / "pytest", "--pyargs", "convspec.conformance", "--backend=numpy", "--profile=thorough", "-v"]

    def heed_interrupts() -> None:  # a job that a shell put into the background ignores them, and so do its children
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        [*map(str, command)], cwd=tmp_path, stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as process:
        _wait_for_cells(tmp_path)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    folder = tmp_path / "conformance-results/latest"
    info = json.loads((folder / "run.json").read_text())
    assert info["interrupted"]
    assert not info["complete"]
    assert "Incomplete" in (folder / "report.html").read_text()


def test_a_killed_run_still_reports(tmp_path: Path) -> None:
    command = [BIN / "pytest", "--pyargs", "convspec.conformance", "--backend=numpy", "--profile=thorough"]
    with subprocess.Popen([*map(str, command)], cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        _wait_for_cells(tmp_path)
        process.kill()
    result = run(tmp_path, BIN / "convspec", "report", "conformance-results/latest")
    assert result.returncode == 0, result.stderr
    assert "Incomplete" in (tmp_path / "conformance-results/latest/report.html").read_text()
    assert run(tmp_path, BIN / "convspec", "report", "nowhere").returncode == 4


def _wait_for_cells(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        written = list((folder / "conformance-results").glob("*/cells-*.jsonl"))
        if written and written[0].stat().st_size:
            return
        time.sleep(0.1)
    raise AssertionError("no cell was written within a minute")


def test_known_deviations_do_not_fail_the_run(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(RELU.format(body="return np.where(problem.x > 1e6, 0, np.maximum(problem.x, 0))"))
    options = ["--backend=bad.py", "--op=relu", "--clause=relu.within_the_bound", "--examples=300"]
    assert suite(tmp_path, *options).returncode == 1
    known = tmp_path / "known.toml"
    known.write_text('[["relu.within_the_bound"]]\nreason = "clips above a million"\nwhen = "x.max() > 1e6"\n')
    result = suite(tmp_path, *options, "--expect=known.toml")
    assert result.returncode == 0, result.stdout
    assert "DEVIATES  bad.py  relu.within_the_bound  [float32]: clips above a million" in result.stdout
    known.write_text('[["relu.within_the_bound"]]\nreason = "another one"\nwhen = "x.max() < 0"\n')
    assert suite(tmp_path, *options, "--expect=known.toml").returncode == 1
    known.write_text('[["relu.within_the_bound"]]\nreason = "misspelt"\nwhen = "X.max() > 1e6"\n')
    result = suite(tmp_path, *options, "--expect=known.toml")
    assert result.returncode == 4
    assert "relu.within_the_bound: when speaks of 'X'; known are x, dtype, " in result.stdout + result.stderr
    (tmp_path / "bad.py").write_text(RELU.format(body="return np.maximum(problem.x, np.float32(0))"))
    assert "FIXED" not in suite(tmp_path, *options, "--expect=known.toml").stdout, "too few cases that it speaks of"
    known.write_text('[["relu.within_the_bound"]]\nreason = "any"\nwhen = "x.size > 0"\n')
    result = suite(tmp_path, *options, "--expect=known.toml")
    assert "FIXED  bad.py  relu.within_the_bound" in result.stdout


def test_the_command_line_tool(tmp_path: Path) -> None:
    result = run(tmp_path, BIN / "convspec", "run", "--backend", "numpy", "--profile", "smoke", "--op", "relu")
    assert result.returncode == 0, result.stdout + result.stderr
    assert run(tmp_path, BIN / "convspec", "run", "--backend", "tortch").returncode == 4
    assert "numpy" in run(tmp_path, BIN / "convspec", "backends").stdout
    assert "sees no CUDA device" in run(tmp_path, BIN / "convspec", "backends", "--json").stdout
    assert (
        "contiguous block of channels" in run(tmp_path, BIN / "convspec", "spec", "conv2d.groups_are_separate").stdout
    )
    wrong = run(tmp_path, BIN / "convspec", "spec", "conv2d.groups_are_seperate")
    assert wrong.returncode == 4
    assert wrong.stderr.strip().endswith("did you mean conv2d.groups_are_separate?")
    assert run(tmp_path, BIN / "convspec", "nonsense").returncode == 4
    assert "numpy: " in run(tmp_path, BIN / "convspec", "env").stdout


def test_grades(tmp_path: Path) -> None:
    coarse = "y = np.maximum(problem.x, 0); return y - y % np.float32(2**-7)"
    (tmp_path / "coarse.py").write_text(RELU.format(body=coarse))
    result = run(tmp_path, BIN / "convspec", "grade", "numpy", "--op", "relu", "--dtype", "float32")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("float32") >= 2, "the dtype, and what was found"
    result = run(tmp_path, BIN / "convspec", "grade", "numpy", "coarse.py", "--op=relu", "--write=grades.md")
    assert result.returncode == 1, result.stderr
    page = (tmp_path / "grades.md").read_text()
    assert "| relu | X | X | X | X |" in page
    assert "## coarse.py" in page
    assert "| relu | **D** |" in page
    for wrong in (["nupmy"], ["numpy", "--op=rule"], ["c", "--dtype=bfloat16"], ["c", "--write=no/page.md"], []):
        result = run(tmp_path, BIN / "convspec", "grade", *wrong)
        assert (result.returncode, result.stderr.count("\n")) == (4, 1), result.stderr


def test_the_reproducer_of_a_view_lays_it_out_as_it_was(tmp_path: Path) -> None:
    """A backend that reads the buffer behind a view is wrong on the view alone: the script must bring the view back."""
    body = "base = problem.x if problem.x.base is None or problem.x.base.size < problem.x.size else problem.x.base\n"
    body += "        return np.maximum(base.reshape(-1)[: problem.x.size].reshape(problem.x.shape), np.float32(0))"
    (tmp_path / "bad.py").write_text(RELU.format(body=body))
    result = suite(tmp_path, "--backend=bad.py", "--clause=relu.views_equal_copies")
    assert result.returncode == 1, result.stdout
    (script,) = (tmp_path / "conformance-results/latest/failures").glob("*.py")
    assert "laid_out" in script.read_text()
    again = run(tmp_path, sys.executable, script)
    assert again.returncode == 1, script.read_text() + again.stdout
