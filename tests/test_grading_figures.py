"""What is told beside the grade: subnormal numbers, zeros, the table."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from convspec.adapters import load
from convspec.conformance.grading import Grade
from convspec.conformance.grading.__main__ import main
from convspec.conformance.grading.figures import Graded, Grades
from convspec.conformance.grading.page import page
from convspec.reference.rounding import Arithmetic

from . import simulated
from .simulated import Plain
from .simulated.graded import graded

# Subnormal numbers.


class FlushesOutputs(Plain):
    def multiply(self, filters: Any, columns: Any) -> Any:
        y = super().multiply(filters, columns)
        return np.where(np.abs(y) < np.finfo(np.float32).smallest_normal, np.float32(0), y)


class FlushesInputs(FlushesOutputs):
    def multiply(self, filters: Any, columns: Any) -> Any:
        least = np.finfo(np.float32).smallest_normal
        return super().multiply(*(np.where(np.abs(a) < least, np.float32(0), a) for a in (filters, columns)))


class FlushesSome(Plain):
    """All but the last filter."""

    def multiply(self, filters: Any, columns: Any) -> Any:
        y = super().multiply(filters, columns)
        y[:-1] = np.where(np.abs(y[:-1]) < np.finfo(np.float32).smallest_normal, 0, y[:-1])
        return y


class FlushesCopies:
    def relu(self, problem: Any) -> Any:
        y = np.maximum(problem.x, 0)
        return np.where(y < np.finfo(np.float32).smallest_normal, np.float32(0), y)


def flushed_in_vectors(y: Any, lanes: int = 8) -> Any:
    """Subnormal numbers are zero in whole vectors, and kept in what is left over behind the last."""
    flat = np.array(y).ravel()
    body = flat[: flat.size // lanes * lanes]
    body[np.abs(body) < np.finfo(flat.dtype).smallest_normal] = 0
    return flat.reshape(y.shape)


class FlushesVectors(simulated.Centred):
    def relu(self, problem: Any) -> Any:
        return flushed_in_vectors(np.maximum(problem.x, 0))

    def linear(self, problem: Any) -> Any:
        return flushed_in_vectors(Plain().linear(problem))

    def layer_norm(self, problem: Any) -> Any:
        return flushed_in_vectors(super().layer_norm(problem))

    def layer_norm_backward(self, problem: Any) -> Any:
        grads = load("numpy").subject.layer_norm_backward(problem)
        return tuple(g if g is None else flushed_in_vectors(g) for g in grads)


class FlushesLargeOnes(simulated.Centred):
    """Numbers are flushed where there are whole vectors at all."""

    def relu(self, problem: Any) -> Any:
        y = np.maximum(problem.x, 0)
        return y if y.size < 8 else flushed_in_vectors(y, lanes=1)


class FlushesGradients:
    """Those of layer_norm, on the way out."""

    def layer_norm_backward(self, problem: Any) -> Any:
        grads = load("numpy").subject.layer_norm_backward(problem)
        return tuple(g if g is None else np.where(np.abs(g) < np.finfo(g.dtype).smallest_normal, 0, g) for g in grads)


@pytest.mark.parametrize(
    ("cls", "op", "words"),
    [
        (FlushesGradients, "layer_norm_backward", "flushes outputs"),
        (FlushesOutputs, "conv2d", "flushes outputs"),
        (FlushesInputs, "linear", "flushes inputs too"),
        (FlushesSome, "conv2d", "inconsistent"),
        (FlushesVectors, "relu", "inconsistent"),
        (FlushesVectors, "linear", "inconsistent"),
        (FlushesVectors, "layer_norm", "inconsistent"),
        (FlushesVectors, "layer_norm_backward", "inconsistent"),
        (FlushesLargeOnes, "relu", "inconsistent"),
        (FlushesCopies, "relu", "flushes"),
        (Plain, "linear", "keeps"),
    ],
)
def test_flushing_is_told(cls: type, op: str, words: str) -> None:
    made = graded(cls, op)
    assert made.flush == words
    assert made.agrees == (words == "keeps")
    flushing = replace(Arithmetic.ieee("float32"), flush_to_zero=True, name="ftz")
    declares = graded(type("Declares", (cls,), {"arithmetic": flushing}), op)
    assert declares.agrees == (words != "inconsistent")  # which nothing can declare


# Zero times infinity.


class SkipsZeroWeights(Plain):
    """Products with weights of zero are not formed, as in sparse kernels."""

    def multiply(self, filters: Any, columns: Any) -> Any:
        y = np.zeros((len(filters), columns.shape[1]), np.float32)
        for k, row in enumerate(filters):
            y[k] = np.matmul(row[row != 0], columns[row != 0])
        return y


class SkipsZeroPixels(Plain):
    def multiply(self, filters: Any, columns: Any) -> Any:
        y = np.zeros((len(filters), columns.shape[1]), np.float32)
        for m, column in enumerate(columns.T):
            y[:, m] = np.matmul(filters[:, column != 0], column[column != 0])
        return y


class SkipsZerosOfOneFilter(Plain):
    def multiply(self, filters: Any, columns: Any) -> Any:
        with np.errstate(invalid="ignore"):
            y = Plain.multiply(self, filters, columns)
        y[0] = SkipsZeroWeights().multiply(filters[:1], columns)[0]
        return y


@pytest.mark.parametrize(
    ("cls", "filters", "images", "padding"),
    [
        (Plain, "computed", "computed", "computed"),
        (SkipsZeroWeights, "skipped", "computed", "computed"),
        (SkipsZeroPixels, "computed", "skipped", "skipped"),
        (SkipsZerosOfOneFilter, "computed or skipped", "computed", "computed"),
    ],
)
def test_skipped_zeros_are_told_and_nothing_held_against_them(
    cls: type, filters: str, images: str, padding: str
) -> None:
    made = graded(cls, "conv2d")
    assert made.zeros == {"filters": filters, "images": images, "padding": padding}
    assert (made.grade, made.agrees) == ("A", True)
    others = [f"{where} {how}" for where, how in made.zeros.items() if how != "computed"]
    assert made.zeros_told == (", ".join(others) if others else "computed")
    made = graded(cls, "linear")
    assert made.zeros == {"filters": filters, "images": images}
    assert made.agrees


def test_nothing_is_said_about_zeros_where_a_nan_goes_anywhere() -> None:
    assert graded(simulated.Winograd4, "conv2d").zeros == {}
    assert graded(simulated.Centred, "layer_norm").zeros == {}


# The table, the page, and data.


def test_the_table() -> None:
    ran = CliRunner().invoke(main, ["numpy", "--op", "linear", "--dtype", "float32"], env={"COLUMNS": "200"})
    assert ran.exit_code == 0, ran.output
    assert "summed in 24 bits" in " ".join(ran.output.split())
    ran = CliRunner().invoke(main, ["nupmy"])
    assert (ran.exit_code, "did you mean numpy" in ran.output) == (4, True)


LOUD = """
import numpy as np
print("loaded")

class Loud:
    def relu(self, problem):
        print("called")
        return np.maximum(problem.x, 0)
"""


@pytest.mark.parametrize("isolate", ["process", "none"])
def test_data_is_alone_on_stdout(tmp_path: Path, isolate: str) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    command = [sys.executable, "-m", "convspec.conformance.grading", "loud.py", "numpy", "--op=relu", "--op=linear"]
    ran = subprocess.run(
        [*command, "--dtype=float32", "--json=-", f"--isolate={isolate}"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    made = msgspec.json.decode(ran.stdout, type=Grades, strict=True)
    assert made.schema == "convspec-grades/1"
    assert made.environment["python"] == platform.python_version()
    assert [(b.backend, [g.op for g in b.grades]) for b in made.backends] == [
        ("loud.py", ["relu"]),
        ("numpy", ["relu", "linear"]),
    ]
    linear = made.backends[1].grades[1]
    assert (linear.grade, linear.input_bits, linear.accumulator_bits) == ("A", 24, 24)
    assert (linear.flush, linear.zeros) == ("keeps", {"filters": "computed", "images": "computed"})
    raw = json.loads(ran.stdout)["backends"][1]["grades"][1]
    assert set(raw) == {field.name for field in msgspec.structs.fields(Grade)}


def test_data_goes_to_a_file_beside_the_table_and_the_page(tmp_path: Path) -> None:
    data, page = tmp_path / "grades.json", tmp_path / "grades.md"
    ask = ["numpy", "--op", "relu", "--dtype", "float32", "--json", str(data)]
    ran = CliRunner().invoke(main, ask)
    assert ran.exit_code == 0, ran.output
    assert "every answer" in ran.output
    first = data.read_text()
    assert msgspec.json.decode(first, type=Grades).backends[0].grades[0].grade == "X"
    ran = CliRunner().invoke(main, [*ask, "--write", str(page)])
    assert (ran.exit_code, ran.output) == (0, f"{page}\n")
    assert data.read_text() == first
    assert page.read_text().startswith("# Grades")


def test_where_nothing_can_be_written_one_line_says_so(tmp_path: Path) -> None:
    wrong = {str(tmp_path / "no" / "file"): "there is no folder", str(tmp_path): "is a folder"}
    if Path("/dev/full").exists():
        wrong["/dev/full"] = "cannot be written: No space left"
    for path, why in wrong.items():
        for option in ("--json", "--write"):
            ran = CliRunner().invoke(main, ["numpy", "--op", "relu", "--dtype", "float32", option, path])
            assert ran.exit_code == 4, ran.output
            assert (ran.stderr.count("\n"), f"{option}: " in ran.stderr, why in ran.stderr) == (1, True, True), (
                ran.stderr
            )


def test_all_figures_stand_on_the_page() -> None:
    classes = ((Plain, "conv2d"), (simulated.OnePassFolded, "layer_norm"), (FlushesSome, "conv2d"))
    made = [graded(cls, op) for cls, op in classes]
    text = page(
        [
            Graded(
                "simulated",
                "1",
                "cpu",
                [*made, msgspec.structs.replace(made[0], op="linear", accumulator_bits="wider")],
            )
        ]
    )
    heading = "| operation | dtype | inputs | products | sums | radius | variance | output | subnormals | 0 x inf |"
    lines = text.splitlines()
    rows = lines[lines.index(heading) + 2 :]
    assert rows[0] == "| conv2d | float32 | 24 | 24 | 24 | 0 |  |  | keeps | computed |"
    assert rows[1] == "| layer_norm | float32 |  |  |  |  | V-C | F-1 | keeps |  |"
    assert rows[2] == "| conv2d | float32 | 24 | 24 | 24 | 0 |  |  | inconsistent | computed |"
    assert rows[3] == "| linear | float32 | 24 | 24 | wider | 0 |  |  | keeps | computed |"
    grades = lines[lines.index("| operation | float32 |") + 2]
    assert grades == "| conv2d | **A** 24 bits |", "the bits, and nothing of the sentence behind them"
    relu = graded(FlushesCopies, "relu")
    assert "| relu | float32 | flushes |" in page([Graded("simulated", "", "", [relu])]).splitlines()
