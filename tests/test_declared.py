"""A declared arithmetic is one of its dtype, has a name of its own, and is told wherever a verdict is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convspec.adapters import Backend, CannotLoad
from convspec.adapters.declarations import MULTIPLYING, REDUCED
from convspec.conformance.check import NonConformance, check
from convspec.conformance.checks import clauses_of
from convspec.conformance.engine import Engine
from convspec.conformance.session import Item
from convspec.conformance.settings import PROFILES, Settings
from convspec.conformance.terminal import _failures, _notes
from convspec.reference import OPS, AvgPool2d, Linear
from convspec.reference.rounding import Arithmetic
from convspec.reports.page import write_page
from convspec.reports.record import Cell, RunFolder, RunInfo
from convspec.reports.summary import write_summary

from .commands import run, suite

HALF = replace(Arithmetic.ieee("float16"), accumulator="float16", name="half sums")


def declaring(arithmetic: Any, *dtypes: str) -> type:
    return type("Declaring", (), {"arithmetic": arithmetic, "dtypes": dtypes, "linear": print, "relu": print})


@pytest.mark.parametrize(
    ("arithmetic", "told"),
    [
        (HALF, r"^it: arithmetic 'half sums' stores float16, but relu has float32 too; give a mapping such as \{"),
        (replace(HALF, name="ieee"), r"^it: arithmetic 'ieee' stores float16, but relu has float32 too"),
        ({("linear", "float16"): replace(HALF, name="ieee")}, r"^it: an arithmetic of float16 is named 'ieee', but is"),
        ({("linear", "float32"): HALF}, r"^it: arithmetic 'half sums' stores float16, but linear has float32 too"),
        ({("linear", "float16"): replace(HALF, accumulator="fp32")}, r"has the accumulator 'fp32'; it may be float64,"),
        ({("linear", "float16"): replace(HALF, statistics="half")}, r"has the statistics 'half'; it may be float64,"),
        ("fp16", r"^it: arithmetic 'fp16' is unknown; known are ieee, tf32"),
    ],
)
def test_an_arithmetic_that_cannot_be_held_to_is_refused_in_one_line(arithmetic: Any, told: str) -> None:
    with pytest.raises(CannotLoad, match=told) as refused:
        Backend.of("it", declaring(arithmetic, "float32", "float16")(), "test")
    assert "\n" not in str(refused.value)


def test_what_is_declared_is_told_with_its_dtype_and_operation() -> None:
    def of(arithmetic: Any, *dtypes: str) -> Backend:
        return Backend.of("it", declaring(arithmetic, *dtypes)(), "test")

    assert of("ieee", "float32").relaxed == ""
    assert of("tf32", "float32", "float64").relaxed == "tf32 (float32: linear)"
    assert of("fft", "float32").relaxed == "fft (float32: linear)"
    narrow = of({("linear", "float16"): HALF}, "float32", "float16")
    assert narrow.relaxed == "half sums (float16: linear)"
    assert [narrow.declares("linear", d) for d in ("float16", "float32")] == ["half sums", ""]
    assert narrow.declares("relu", "float16") == ""
    assert narrow.declares("stack", "float16") == "half sums"  # which may end in a fully connected layer


@pytest.mark.parametrize("name", REDUCED)
def test_a_reduced_multiplication_is_that_of_operations_which_multiply(name: str) -> None:
    """Normalizations, pooling and dropout are held to strict arithmetic; a network with such a layer is not."""
    every = type("Every", (), {"arithmetic": name, **dict.fromkeys((op.name for op in OPS), print)})
    backend = Backend.of("it", every(), "test")
    reduced = {op for op in backend.operations if backend.arithmetic(op, "float32") != Arithmetic.ieee("float32")}
    assert reduced == set(MULTIPLYING)
    assert backend.declares("stack", "float32") == name
    record = replace(Arithmetic.ieee("float32"), name="own", unit_factor=2.0)
    assert Backend.of("it", declaring(record, "float32")(), "test").arithmetic("relu", "float32") == record


class LosesAllToANaN:
    """Right, but that nothing is left of a batch in which there is a NaN or an infinity."""

    def avg_pool2d(self, problem: Any) -> Any:
        y = np.asarray(problem.expected(), problem.dtype)
        return y if np.isfinite(problem.x).all() else np.full_like(y, np.nan)


OWN = replace(Arithmetic.named("winograd_f4", "float32"), name="own tiles")


@pytest.mark.parametrize("declared", ["winograd_f4", "fft", OWN, "ieee"])
@pytest.mark.parametrize("clause", ["one_nan_touches_its_field", "what_is_not_finite_passes_every_tap"])
def test_a_transform_excuses_no_operation_that_has_none(declared: Any, clause: str) -> None:
    subject = LosesAllToANaN()
    vars(subject)["arithmetic"] = declared
    backend = Backend.of("it", subject, "test")
    checked = next(one for one in clauses_of(AvgPool2d) if one.name == f"avg_pool2d.{clause}")
    engine = Engine(Settings(profile=PROFILES["smoke"], shrink_calls=1))
    assert engine.run(checked, backend, "float32").cell.status == "fail"


def test_a_transform_is_that_of_the_operations_whose_bounds_know_it() -> None:
    """What a record says besides stays."""

    def of(arithmetic: Any) -> dict[str, Arithmetic]:
        every = type("Every", (), {"arithmetic": arithmetic, **dict.fromkeys((op.name for op in OPS), print)})
        backend = Backend.of("it", every(), "test")
        return {op: backend.arithmetic(op, "float32") for op in backend.operations}

    strict = Arithmetic.ieee("float32")
    assert {op for op, of_it in of("winograd_f2").items() if of_it != strict} == {"conv2d"}
    assert {op for op, of_it in of("fft").items() if of_it != strict} == {"conv2d", "linear"}
    faithful = of(replace(OWN, unit_factor=2.0))
    assert faithful["conv2d"].algorithm == "tiled"
    assert faithful["relu"] == replace(strict, name="own tiles", unit_factor=2.0)


DECLARES = """
import numpy as np

class Wrong:
    name = "wrong"
    arithmetic = "tf32"

    def linear(self, problem):
        return problem.expected().astype(np.float32) * np.float32({factor})
"""


@pytest.mark.parametrize("factor", [1, 2])
def test_it_is_told_wherever_a_verdict_is(factor: int, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(DECLARES.format(factor=factor))
    done = suite(tmp_path, "--backend=mine.py", "--profile=smoke", "--op=linear")
    lines = done.stdout.splitlines()
    latest = tmp_path / "conformance-results/latest"
    records = [json.loads(line) for line in (latest / "cells.jsonl").read_text().splitlines()]
    assert {record["arithmetic"] for record in records} == {"tf32"}
    assert "mine.py: arithmetic declared: tf32 (float32)" in lines, done.stdout  # below the table
    assert 'title="arithmetic declared">tf32</span>' in (latest / "report.html").read_text()
    assert "arithmetic declared: tf32" in (latest / "summary.md").read_text()
    if factor == 1:
        assert done.returncode == 0
        return
    assert any(line.startswith("FAIL  mine.py  linear.") and "[float32, tf32]" in line for line in lines)
    assert "` `float32, tf32`: `" in (latest / "summary.md").read_text()
    assert "arithmetic declared: tf32</span>" in (latest / "report.html").read_text()
    for script in (latest / "failures").glob("*.py"):
        assert "\nArithmetic declared: tf32\n" in script.read_text()
    replays = [script for script in (latest / "failures").glob("*.py") if "replay(" in script.read_text()]
    if replays:
        assert "(arithmetic declared: tf32)" in run(tmp_path, "python", str(replays[0])).stdout


def test_it_is_told_with_deviations_errors_and_warnings(tmp_path: Path) -> None:
    def cell(status: str, dtype: str = "float32", **more: Any) -> Cell:
        fields = {"backend": "b", "op": "linear", "clause": "linear.c", "level": "core", "arithmetic": "tf32"}
        return Cell(**{**fields, "status": status, "dtype": dtype, "reason": "why", **more})

    cells = [cell("deviation"), cell("fixed"), cell("fixed", "float16", arithmetic=""), cell("pass", rms=20.0)]
    lines = _notes(cells)
    assert lines[1:4] == [
        "DEVIATES  b  linear.c  [float32, tf32]: why",
        "FIXED  b  linear.c  [float32, tf32]: why",
        "FIXED  b  linear.c  [float16]: why",
    ]
    assert lines[4].startswith("warning  b linear float32, tf32: errors are 20 times")
    session = SimpleNamespace(items=list, failures={})
    told = _failures(session, [cell("error")])  # type: ignore[arg-type]
    assert told == [["ERROR b  linear.c  [float32, tf32]: the suite itself failed", "why"]]
    clause = clauses_of(Linear)[0]
    tf32 = Backend.of("it", declaring("tf32", "float32")(), "test")
    assert Item(clause, "float32", tf32).error("why").arithmetic == "tf32"
    run = RunFolder.create(tmp_path, RunInfo(run_id="one", suite="0", started=""), [])
    run.add_cell(cells[-1])
    assert "- `b linear float32, tf32`: errors are 20 times" in write_summary(run.path).read_text()
    assert "b linear float32, tf32</b>: errors are 20 times" in write_page(run.path).read_text()


def test_it_is_told_inside_somebodys_own_tests() -> None:
    class Wrong:
        arithmetic = "tf32"

        def linear(self, problem: Any) -> Any:
            return np.ones((len(problem.x), len(problem.weight)), problem.dtype)

    with pytest.raises(NonConformance, match=r"\[float32, tf32\]"):
        check(Wrong(), op=Linear.name)
