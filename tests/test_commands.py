"""The commands as a user runs them, in an empty folder: exit codes, the lines printed, the record, the reproducers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from convspec.adapters import Backend, load

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
    ("options", "says"),
    [
        (["--backend=tortch"], "did you mean torch?"),
        (["--backend=nowhere.py"], "there is no file nowhere.py"),
        (["--backend="], "the name is empty"),
        (["--backend=empty.py"], "no class with a method named like an operation"),
        (["--backend=near.py"], "method `conv_2d` is no operation; did you mean `conv2d`?"),
        (["--backend=broken.py"], "SyntaxError"),
        (["--backend=raises.py"], "ZeroDivisionError: division by zero (line 1)"),
        (["--backend=no.such.module:Thing"], "there is no module 'no'"),
        (["--backend=json:Nothing"], "it has no 'Nothing'"),
        (["--backend=cuda"], "sees no CUDA device here"),
        (["--backend=numpy[fast]"], "numpy has no variant 'fast'"),
        (["--backend=odd.py"], "dtypes names 'float31'"),
        (["--op=conv3d"], "did you mean conv2d?"),
        (["--clause=conv2d.padding_is_zeroes"], "did you mean conv2d.padding_is_zeros?"),
        (["--clause=conv2d.grouos_*"], "did you mean conv2d.groups_"),
        (["--clause=cnov2d.padding_*"], "did you mean conv2d.padding_*?"),
        (["--clause=padding_is_zeros"], "did you mean conv2d.padding_is_zeros"),
        (["--clause=relu.repeating_a_call"], "did you mean relu.repeating_a_call_repeats_the_bits"),
        (["--clause=conv2d"], "did you mean conv2d.*?"),
        (["--clause=conv2d.qqq*"], "no 'conv2d.qqq*'; a clause is named like conv2d.padding_is_zeros"),
        (["--profile=fast"], "it may be smoke, default, thorough"),
        (["--dtype=float31"], "did you mean float32?"),
        (["--examples=many"], "'many' is not a whole number"),
        (["--examples=0"], "0 is less than 1"),
        (["--seed=x"], "'x' is not a whole number"),
        (["--level=must"], "core, strict"),
        (["--expect=none.toml"], "cannot read none.toml"),
        (["--expect=bad.toml"], "no clause 'conv2d.nothing'"),
    ],
    ids=lambda v: v[0] if isinstance(v, list) else "",
)
def test_bad_input_is_one_line(tmp_path: Path, options: list[str], says: str) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "near.py").write_text("class K:\n    def conv_2d(self, problem): ...\n")
    (tmp_path / "broken.py").write_text("class :\n")
    (tmp_path / "raises.py").write_text("1 / 0\n")
    (tmp_path / "odd.py").write_text("class K:\n    dtypes = ('float31',)\n    def relu(self, problem): ...\n")
    (tmp_path / "bad.toml").write_text('[["conv2d.nothing"]]\nreason = "x"\n')
    result = suite(tmp_path, *options)
    told = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    assert result.returncode == 4, told
    assert len(told) == 1, told
    assert says in told[0]
    assert not (tmp_path / "conformance-results").exists()


def test_a_misspelt_method_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        RELU.format(body="return np.maximum(problem.x, 0)\n\n    def conv_2d(self, p): ...")
    )
    for how in ("auto", "none"):
        result = suite(
            tmp_path,
            "--backend=mine.py",
            f"--isolate={how}",
            "--profile=smoke",
            "--clause=relu.one_number",
            "--no-report",
        )
        told = "backend mine.py: method `conv_2d` is no operation; did you mean `conv2d`? It is not called."
        assert result.stdout.count(told) == 1, result.stdout + result.stderr
        assert json.loads((tmp_path / "conformance-results/latest/run.json").read_text())["stamps"] == [told]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("conv_2d", "conv2d"),
        ("Conv2d", "conv2d"),
        ("maxpool2d", "max_pool2d"),
        ("maxpool", "max_pool2d"),
        ("batchnorm2d", "batch_norm2d"),
        ("conv2d_backwards", "conv2d_backward"),
        ("relu_", ""),  # of an operation that is there: a helper of it
        ("conv3d", ""),
        ("relu6", ""),
        ("pool2d", ""),
        ("pack", ""),
        ("_conv2d", ""),
        ("supports", ""),
    ],
)
def test_what_may_be_meant_by_a_name(name: str, meant: str) -> None:
    subject = SimpleNamespace(relu=abs, **{name: abs})
    assert Backend.of("mine", subject, "test").misspelt == ({name: meant} if meant else {})


def test_the_names_of_shipped_backends_are_no_slips() -> None:
    for spec in ("numpy", "c", "torch"):
        assert load(spec).warnings == []


def test_a_missing_compiler_is_one_line(tmp_path: Path) -> None:
    result = suite(tmp_path, "--backend=c", CC="/nonexistent/cc", PATH="/nonexistent", XDG_CACHE_HOME=str(tmp_path))
    told = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    assert result.returncode == 4
    assert len(told) == 1, told
    assert "compiler" in told[0]


def test_nothing_selected_is_exit_code_5(tmp_path: Path) -> None:
    result = suite(tmp_path, "--backend=numpy", "--op=relu", "--clause=conv2d.*")
    assert result.returncode == 5
    assert "nothing selected: no clause matches operations relu; clauses conv2d.*" in result.stdout
    result = suite(tmp_path, "--backend=c", "--op=relu", "--dtype=float16")
    assert result.returncode == 5, result.stdout


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


def test_a_verdict_on_nothing_is_exit_code_5(tmp_path: Path) -> None:
    none = RELU.format(body="return problem.x") + "\n    def supports(self, problem):\n        return False\n"
    (tmp_path / "none.py").write_text(none)
    result = suite(tmp_path, "--backend=none.py", "--profile=smoke", "--op=relu")
    assert result.returncode == 5, result.stdout
    assert "nothing was exercised: every case lies outside what the backend says it supports" in result.stdout


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


def test_check_inside_another_test_suite(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import numpy as np, pytest, convspec\n"
        "def relu(problem):\n"
        "    if problem.x.dtype.kind in 'cb': raise TypeError\n"
        "    return np.maximum(problem.x, np.float32(0))\n"
        "def test_right(): assert convspec.check(relu, op='relu')\n"
        "def test_wrong():\n"
        "    with pytest.raises(AssertionError, match='relu.within_the_bound'):\n"
        "        convspec.check(lambda problem: np.abs(problem.x), op='relu')\n"
        "def test_typo():\n"
        "    with pytest.raises(ValueError, match='it may be'): convspec.check(relu, op='rule')\n"
    )
    result = run(tmp_path, BIN / "pytest", "-q", "test_mine.py")
    assert result.returncode == 0, result.stdout


NEIGHBOUR = """
def pytest_addoption(parser):
    parser.addoption("--backend", choices=["sqlite", "postgres"], default="sqlite")
    parser.addoption("--op", type=int, default=1)
"""


def test_beside_a_project_with_a_backend_option_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(NEIGHBOUR)
    (tmp_path / "test_own.py").write_text(
        "def test_own(pytestconfig): assert pytestconfig.getoption('backend') == 'postgres'\n"
    )
    own = run(tmp_path, BIN / "pytest", "-q", "--backend=postgres")
    assert own.returncode == 0, own.stdout + own.stderr
    ours = suite(tmp_path, "--backend=numpy", "--profile=smoke", "--op=relu")
    assert ours.returncode == 0, ours.stdout + ours.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a user gets it: a wheel, put into a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    root = Path(__file__).parent.parent
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", str(folder / "wheel"), str(root)], check=True)
    (wheel,) = (folder / "wheel").glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl"), "pure Python"
    subprocess.run([*pip, "install", "-q", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


def test_installed_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    names = {p.relative_to(installed).as_posix() for p in installed.rglob("*") if p.is_file()}
    assert "convspec/adapters/kernel/convspec.h" in names
    assert {"convspec/conformance/isolated.ini", "convspec/conformance/deviations-torch.toml"} <= names
    assert {"convspec/reference/notes/conv2d.toml", "convspec/reference/lecture.toml"} <= names
    assert not [
        n for n in names if n.endswith((".so", ".o")) or n.split("/")[0] in ("reference", "adapters", "reports")
    ]
    (tmp_path / "conftest.py").write_text(NEIGHBOUR)
    where = {"PYTHONPATH": str(installed)}
    shown = run(tmp_path, sys.executable, "-c", "import convspec.conformance as c; print(c.__file__)", **where)
    assert shown.stdout.startswith(str(installed)), shown
    options = ["--backend=numpy", "--backend=c", "--profile=smoke", "--op=relu,conv2d"]
    result = suite(tmp_path, *options, **where)
    assert result.returncode == 0, result.stdout + result.stderr
    assert {c["backend"] for c in cells(tmp_path)} == {"numpy", "c"}


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
