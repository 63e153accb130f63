"""What `make power` keeps, and when it writes its page."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import power

from .broken.known import KNOWN
from .detection import Result, subjects


@pytest.fixture(autouse=True)
def stubbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No backend is run, and nothing is written but in a folder of its own."""
    (tmp_path / "docs").mkdir()
    (tmp_path / power.PAGE).write_text("the page as it was\n")

    def unit(seed: int, op: str, wanted: list[tuple[str, str]]) -> list[Result]:
        caught = {"known": f"{op}.within_the_bound", "legal": ""}
        marks = {(kind, id): power.mark(backend) for kind, id, backend in subjects(op)}
        found = [
            Result(seed, kind, id, op, caught[kind], 1, 0.1, 30 if id == "B069" else 1, mark=marks[kind, id])
            for kind, id in wanted
        ]
        with power.kept_in(op).open("a") as out:
            out.writelines(json.dumps(asdict(one)) + "\n" for one in found)
        return found

    monkeypatch.setattr(power, "ROOT", tmp_path)
    monkeypatch.setattr(power, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(power, "unit", unit)
    return tmp_path


def ran(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["power", "--seeds=1", *options])
    return power.main()


@pytest.mark.parametrize("part", ["--only=relu", "--half=held-out"])
def test_a_part_leaves_the_page_as_it_is_unless_one_is_named(
    part: str, stubbed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(monkeypatch, part) == 0
    assert (stubbed / power.PAGE).read_text() == "the page as it was\n"
    assert "docs/power.md is left as it is: " in capsys.readouterr().out
    assert ran(monkeypatch, part, "--page=docs/part.md") == 0
    assert (stubbed / "docs/part.md").read_text().startswith("# Power")
    assert (stubbed / power.PAGE).read_text() == "the page as it was\n"


def test_a_whole_run_writes_the_page_and_says_which_cases_are_large(
    stubbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ran(monkeypatch) == 0
    text = (stubbed / power.PAGE).read_text()
    results = sum(len(bug.ops) for bug in KNOWN)
    assert f"{results - 1} of {results} smallest cases have at most 20 input elements." in text
    assert "- B069 on conv2d: needs at most 20; found 30 (seed 0)." in text
    mechanism = [bug for bug in KNOWN if not bug.analog]
    assert len(mechanism) >= 75
    assert f"| by mechanism | {len(mechanism)} | {len(mechanism)} |" in text
    plain = sum(not bug.setting for bug in mechanism)
    assert f"| - as it was | {plain} | {plain} |" in text


def test_what_is_kept_is_of_the_backend_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ran(monkeypatch, "--only=pad2d") == 0
    kept = power.load(power.kept_in("pad2d"))
    assert {id for _, _, id, _ in kept} >= {"B059", "B169"}
    mark = power.mark
    edited = {bug.backend for bug in KNOWN if bug.id == "B169"}
    monkeypatch.setattr(power, "mark", lambda backend: mark(backend) + "!" * (backend in edited))
    assert kept.keys() - power.load(power.kept_in("pad2d")).keys() == {(0, "known", "B169", "pad2d")}


def test_a_half_written_line_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ran(monkeypatch, "--only=relu") == 0
    file = power.kept_in("relu")
    whole = power.load(file)
    file.write_text(file.read_text()[:-20])
    assert len(power.load(file)) == len(whole) - 1
