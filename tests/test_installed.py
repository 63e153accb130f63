"""Installed as a user installs it, and beside the tests of another project."""

import subprocess
import sys
from pathlib import Path

import pytest

from .commands import BIN, cells, run, suite

NEIGHBOUR = """
def pytest_addoption(parser):
    parser.addoption("--backend", choices=["sqlite", "postgres"], default="sqlite")
    parser.addoption("--op", type=int, default=1)
"""


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
