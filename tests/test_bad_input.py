"""What a user gets wrong is told in one line, with the documented exit code."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from convspec.adapters import Backend, load

from .commands import RELU, suite


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


def test_a_verdict_on_nothing_is_exit_code_5(tmp_path: Path) -> None:
    none = RELU.format(body="return problem.x") + "\n    def supports(self, problem):\n        return False\n"
    (tmp_path / "none.py").write_text(none)
    result = suite(tmp_path, "--backend=none.py", "--profile=smoke", "--op=relu")
    assert result.returncode == 5, result.stdout
    assert "nothing was exercised: every case lies outside what the backend says it supports" in result.stdout
