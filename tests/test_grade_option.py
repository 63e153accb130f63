"""`--grade`: a run that also finds out how each operation computes, and fails where that is less than is declared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convspec.conformance.grading import Grade
from convspec.conformance.grading.warned import remark_warnings
from convspec.reports.record import Cell

from .commands import suite

SHORTENS = """
import numpy as np


def eleven(array):
    return ((array.view(np.uint32) + 0x1000) & 0xFFFFE000).astype(np.uint32).view(np.float32)


class Shortens:
    {declared}

    def linear(self, problem):
        y = eleven(problem.x) @ eleven(problem.weight).T
        return y if problem.bias is None else y + problem.bias
"""
FOUND = "found inputs rounded to 11 bits: TF32 or float16"
OPTIONS = ("--backend=mine.py", "--clause=linear.dtype_is_that_of_x", "--profile=smoke", "--grade")


def test_what_falls_short_of_its_declaration_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SHORTENS.format(declared=""))
    done = suite(tmp_path, *OPTIONS)
    assert done.returncode == 1, done.stdout
    assert "1 passed" in done.stdout
    lines = done.stdout.splitlines()
    assert f"GRADE mine.py  linear (float32): declared float32 (ieee), {FOUND}" in lines
    assert "grades   0 of 1 as declared: an operation in a dtype on a backend each" in lines
    (made,) = json.loads((tmp_path / "conformance-results/latest/grades.json").read_text())
    assert (made["grade"], made["input_bits"], made["agrees"]) == ("R(11)", 11, False)
    assert FOUND in (tmp_path / "conformance-results/latest/report.html").read_text()


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_what_is_declared_does_not(tmp_path: Path, workers: tuple[str, ...]) -> None:
    (tmp_path / "mine.py").write_text(SHORTENS.format(declared='arithmetic = "tf32"'))
    done = suite(tmp_path, *OPTIONS, *workers)
    assert done.returncode == 0, done.stdout
    assert "grades   1 of 1 as declared: an operation in a dtype on a backend each" in done.stdout
    assert "GRADE" not in done.stdout


OFF_BY_HALF = """
import numpy as np


class OffByHalf:
    \"\"\"Exact; of random numbers, which no probe has, off by half of the bound, where that is several roundings.\"\"\"

    def linear(self, problem):
        y, more = problem.expected(), 0.5 * problem.bound()
        off = problem.unstructured & (more > 4 * np.spacing(np.abs(y).astype(np.float32)))
        return np.where(off, y + more, y).astype(np.float32)
"""


def test_a_warning_makes_an_a_an_a_minus(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OFF_BY_HALF)
    options = ("--backend=mine.py", "--clause=linear.within_the_bound", "--isolate=none", "--grade")
    done = suite(tmp_path, *options)
    assert done.returncode == 0, done.stdout
    assert "warning  mine.py linear float32: errors are " in done.stdout
    (made,) = json.loads((tmp_path / "conformance-results/latest/grades.json").read_text())
    assert (made["grade"], made["agrees"]) == ("A-", True)
    assert "; in linear.within_the_bound errors are " in made["found"]
    assert "every answer" not in made["found"]


def test_a_warning_is_a_note_of_a_lesser_grade() -> None:
    def cell(rms: float, clause: str) -> Cell:
        return Cell(backend="b", op="o", clause=clause, dtype="d", level="core", status="pass", rms=rms)

    grades = [Grade(backend="b", op="o", dtype=d, grade=g, found="f") for d, g in (("d", "R(8)"), ("e", "A"))]
    remark_warnings(grades, [cell(20, "o.c"), cell(30, "o.d"), cell(1, "o.e")])
    assert [(made.grade, made.found) for made in grades] == [("R(8)", "f"), ("A", "f")]
    assert grades[1].notes == []
    assert grades[0].notes[0].startswith("o.d: errors are 30 times")


def test_without_it_nothing_is_graded(tmp_path: Path) -> None:
    done = suite(tmp_path, "--backend=numpy", "--clause=relu.dtype_is_that_of_x", "--profile=smoke")
    assert done.returncode == 0, done.stdout
    assert "grades " not in done.stdout
    assert not (tmp_path / "conformance-results/latest/grades.json").exists()
