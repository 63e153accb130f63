"""What a soak counts: units of the very program that decides today, and no seed before all of it is done."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.fingerprint import ROOT, deciding, excuses, of_operation, taken_in
from benchmarks.soak import DTYPES, Unit, page
from convspec.adapters import load
from convspec.conformance.checks import clauses_of
from convspec.reference import SPECIFIED, Op


@pytest.mark.parametrize("op", SPECIFIED, ids=lambda op: op.name)
def test_what_an_operation_and_its_clauses_are_made_of_is_taken_in(op: type[Op]) -> None:
    found = taken_in([ROOT / f"reference/{op.name}.py"])
    makers = [*op.__mro__, *(clause.enforce for clause in clauses_of(op)), *vars(op).values()]
    modules = {getattr(inspect.unwrap(one), "__module__", None) or "" for one in makers if callable(one)}
    names = {name.removeprefix("convspec.") for name in modules if name.startswith("convspec.reference.")}
    ours = {ROOT / f"{name.replace('.', '/')}.py" for name in names}
    assert ROOT / f"reference/{op.name}.py" in ours
    assert ours <= found


def test_a_law_of_another_operation_is_not() -> None:
    laws = ROOT / "reference/conv2d_laws.py"
    assert laws in taken_in([ROOT / "reference/lenet5.py"])
    assert laws not in taken_in([ROOT / "reference/relu.py"])


@pytest.mark.parametrize("op", ["relu", "lenet5"])
def test_what_tells_a_verdict_is_not(op: str) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in deciding(op)}
    assert {f"reference/{op}.py", "conformance/compare.py", "conformance/engine.py", "adapters/c.py"} <= files
    assert not {file for file in files if file.startswith("reports/")}
    assert not files & {"conformance/terminal.py", "conformance/shrink.py", "conformance/smaller.py"}


def test_known_deviations_count_for_their_operation_alone(tmp_path: Path) -> None:
    file = tmp_path / "deviations-mine.toml"
    file.write_text('[["conv2d.no_channels"]]\nreason = "refuses them"\nwhen = "x.shape[1] == 0"\n')
    assert excuses(file, "conv2d") == [("conv2d.no_channels", "x.shape[1] == 0", "")]
    assert excuses(file, "conv2d_backward") == []


def test_marks_are_of_operations_and_of_what_else_is_named() -> None:
    assert of_operation("relu") == of_operation("relu") != of_operation("linear")
    assert of_operation("relu", "tests/broken") != of_operation("relu")


def units(seed: int) -> list[Unit]:
    cases = {"numpy": 10, "c": 10, "torch": 10}
    return [
        Unit(seed, op.name, dtype, of_operation(op.name), cells=cases, cases=cases, deviations=dict.fromkeys(cases, 0))
        for op in SPECIFIED
        for dtype in DTYPES
    ]


def test_a_seed_is_whole_when_every_operation_is_done_in_every_dtype() -> None:
    assert "**2 whole seeds**; of others: none." in page(units(0) + units(1))
    assert "**1 whole seeds**; of others: seed 1: " in page(units(0) + units(1)[1:])


def test_what_ran_on_other_sources_does_not_count() -> None:
    stale = [replace(unit, fingerprint="0" * 16) for unit in units(0)[:3]]
    text = page(stale + units(0)[3:])
    assert "**0 whole seeds**" in text
    assert "3 units more" in text


def test_what_each_backend_declares_is_told() -> None:
    text = page(units(0))
    assert "\n- numpy declares nothing but the default arithmetic\n" in text
    assert f"\n- torch declares {load('torch').relaxed}\n" in text + "\n"
    assert "16-bit sums (" in text


def test_a_false_alarm_is_shown_with_its_backend() -> None:
    text = page([replace(units(0)[0], wrong=("torch relu.maximum_with_zero fail",))])
    assert "- seed 0 float32: torch relu.maximum_with_zero fail" in text
    assert "| torch | 10 | 10 | 0 | 1 |" in text
