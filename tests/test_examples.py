"""What the pages tell a newcomer to do works as it stands: the examples, and the code in docs/backends.md."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from convspec.adapters import Backend, c, load
from convspec.conformance.checks import clauses_of
from convspec.conformance.engine import Engine
from convspec.conformance.expectations import expectations_for
from convspec.conformance.settings import PROFILES, Settings
from convspec.reference import Conv2d
from convspec.reference.rounding import Arithmetic

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "docs/backends.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
ENGINE = Engine(Settings(profile=PROFILES["smoke"], examples=10))


def statuses(backend: Backend) -> set[str]:
    """What became of the clauses of conv2d."""
    return {ENGINE.run(clause, backend, "float32").cell.status for clause in clauses_of(Conv2d)}


def told(language: str, about: str) -> str:
    """The one block of the page in this language that speaks of this."""
    (found,) = (text for said, text in BLOCKS if said == language and about in text)
    return found


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C example, compiled."""
    folder = tmp_path_factory.mktemp("examples")
    source = ROOT / "examples/my_kernel.c"
    return Path(shutil.copy(c.compiled("example", c.compiler(), [source], [source]), folder / "my_kernel.so"))


@pytest.mark.parametrize("name", ["my_kernel", "device_kernel"])
def test_a_python_example_is_right(name: str) -> None:
    assert statuses(load(str(ROOT / f"examples/{name}.py"))) <= {"pass", "unsupported"}


def test_the_c_example_is_right(library: Path) -> None:
    assert statuses(load(str(library))) <= {"pass", "unsupported"}


def test_the_example_with_a_bug_is_wrong() -> None:
    assert "fail" in statuses(load(str(ROOT / "examples/swapped_strides.py")))


def test_a_wrapped_library_declares(library: Path) -> None:
    file = library.with_name("mine.py")
    file.write_text(told("python", "CLibrary"))
    backend = load(f"{file}:Mine")
    assert backend.operations == ("conv2d",)
    assert backend.arithmetic("conv2d", "float32").algorithm == "tiled"
    assert backend.conventions == {"threads": "one"}


def test_arithmetic_is_declared_as_told() -> None:
    names: dict[str, Any] = {}
    exec(told("python", "half_sums"), names)
    subject = type("Mine", (), {"arithmetic": names["arithmetic"], "dtypes": ("float16",), "conv2d": print})()
    assert Backend.of("mine", subject, "test").arithmetic("conv2d", "float16") == names["half_sums"]
    assert names["half_sums"].accumulator == "float16" != Arithmetic.ieee("float16").accumulator


def test_deviations_are_declared_as_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "expectations").mkdir()
    (tmp_path / "expectations/my_kernel.py.toml").write_text(told("toml", "no_channels"))
    monkeypatch.chdir(tmp_path)
    assert [known.clause for known in expectations_for("examples/my_kernel.py", None)] == ["conv2d.no_channels"]


def test_all_that_may_be_declared_is_told() -> None:
    from convspec.adapters.declarations import CONVENTIONS
    from convspec.reference.rounding import DECLARED

    page = (ROOT / "docs/backends.md").read_text("utf-8")
    for name, choices in CONVENTIONS.items():
        (line,) = (line for line in page.splitlines() if line.startswith("| `") and f"`{name}`" in line.split("|")[1])
        places = [line.index(f"`{choice}`") for choice in choices]
        assert places == sorted(places), f"{name}: the default comes first"
    assert not [name for name in DECLARED if f"`{name}`" not in page]
