"""What a soak counts: units of the very program that decides today, and no seed before all of it is done."""

from __future__ import annotations

import ast
import inspect
import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import soak
from benchmarks.fingerprint import CALLS, HELPERS, ROOT, deciding, excuses, of_module, of_operation, program, taken_in
from benchmarks.soak import DTYPES, Commands, Unit, ledger, page, write_down
from convspec.adapters import Backend, load
from convspec.conformance.checks import clauses_of
from convspec.conformance.engine import Engine
from convspec.conformance.settings import PROFILES, Settings
from convspec.reference import SPECIFIED, Op
from convspec.reference.backward import Backward

OF_NAME = {op.name for op in SPECIFIED}


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
    telling = ("plugin", "terminal", "shrink", "smaller")
    assert not files & {f"conformance/{name}.py" for name in telling}


def test_what_of_a_backend_each_operation_calls() -> None:
    """Watched on the backend that has them all, with a case of each clause."""
    seen: set[str] = set()

    class Watched(type(load("numpy").subject)):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> Any:
            if name in OF_NAME:
                seen.add(name)
            return super().__getattribute__(name)

    backend = Backend.of("numpy", Watched(), "watched")
    engine = Engine(Settings(profile=PROFILES["smoke"], examples=1, seed=0))
    for op in SPECIFIED:
        seen.clear()
        for clause in clauses_of(op):
            engine.run(clause, backend, "float32")
        assert seen - {op.name} == set(CALLS.get(op.name, ())), op.name


def test_no_method_of_an_adapter_calls_that_of_another_operation() -> None:
    """But a gradient the forward operation, by its name, which its clauses call too; and helpers are of one alone."""
    for file in sorted((ROOT / "adapters").glob("*.py")):
        for made in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(made, ast.FunctionDef) or made.name in HELPERS:
                continue
            called = [node.func for node in ast.walk(made) if isinstance(node, ast.Call)]
            own = {f.attr for f in called if isinstance(f, ast.Attribute) and ast.unparse(f.value) == "self"}
            assert not own & OF_NAME, f"{file.name}, {made.name}"
            plain = {f.id for f in called if isinstance(f, ast.Name)}
            assert {HELPERS[name] for name in plain & set(HELPERS)} <= {made.name}, f"{file.name}, {made.name}"
    for op in SPECIFIED:
        assert not issubclass(op, Backward) or op.name.removesuffix("_backward") in CALLS[op.name]


def test_of_an_adapter_what_is_for_other_operations_does_not_count(tmp_path: Path) -> None:
    def marked(source: str, *called: str) -> bytes:
        file = tmp_path / f"adapter{len(list(tmp_path.iterdir()))}.py"
        file.write_text(source)
        return program(file, frozenset(called))

    methods = "relu(self, p): return 1", "conv2d(self, p): return 2", "other(self): return 3"
    before = "class Mine:\n" + "".join(f"    def {method}\n" for method in methods)
    for changed, counts in (("2", "conv2d"), ("1", "relu")):
        after = before.replace(f"return {changed}", "return 9")
        assert marked(before, counts) != marked(after, counts)
        assert marked(before, "linear") == marked(after, "linear")
    assert marked(before, "linear") != marked(before.replace("return 3", "return 9"), "linear")
    assert marked("def is_wrong(): return 1", "conv2d") != marked("def is_wrong(): return 2", "conv2d")
    assert marked("def is_wrong(): return 1", "relu") == marked("def is_wrong(): return 2", "relu")


def test_of_an_adapter_what_is_for_other_dtypes_does_not_count(tmp_path: Path) -> None:
    marks = {}
    for number in (1, 2):
        file = tmp_path / f"adapter{number}.py"
        file.write_text(f"def is_wrong(x):\n    if x.dtype is torch.float16:\n        return {number}\n    return 0\n")
        marks[number] = {d: program(file, frozenset({"conv2d"}), d) for d in ("", *DTYPES)}
    assert [d for d in marks[1] if marks[1][d] != marks[2][d]] == ["", "float16"]


def test_of_an_adapter_what_nothing_uses_then_does_not_count(tmp_path: Path) -> None:
    """A helper of a helper of what is for one dtype counts for that one alone, and what others use too for all."""
    source = """
def is_wrong(x):
    if x.dtype is torch.float16:
        return _first(x)
    return _shared(x)
def _first(x): return _second(x) + _shared(x)
class _second: number = 1
def _shared(x): return 2
"""
    marks = {}
    for name, text in {
        "as it was": source,
        "second": source.replace("number = 1", "number = 9"),
        "shared": source.replace("return 2", "return 9"),
        "imported": "from fractions import Fraction\n" + source.replace("number = 1", "number = Fraction(1)"),
    }.items():
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        marks[name] = {d: program(file, frozenset({"conv2d"}), d) for d in ("", *DTYPES)}
    before = marks["as it was"]
    for name in ("second", "imported"):
        assert [d for d in before if marks[name][d] != before[d]] == ["", "float16"]
    assert all(marks["shared"][d] != before[d] for d in before)


def test_no_module_uses_what_is_private_to_an_adapter() -> None:
    """It would not count where its own module does not use it."""
    for path in ROOT.glob("adapters/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not [alias.name for alias in node.names if alias.name.startswith("_")], path.name


def test_known_deviations_count_for_their_operation_alone(tmp_path: Path) -> None:
    file = tmp_path / "deviations-mine.toml"
    file.write_text('[["conv2d.no_channels"]]\nreason = "refuses them"\nwhen = "x.shape[1] == 0"\n')
    assert excuses(file, "conv2d") == [("conv2d.no_channels", "x.shape[1] == 0", "")]
    assert excuses(file, "conv2d_backward") == []


def test_marks_are_of_operations_and_of_what_else_is_named() -> None:
    assert of_operation("relu") == of_operation("relu") != of_operation("linear")
    assert of_operation("relu", "tests/broken") != of_operation("relu")


def test_marks_of_a_module_are_of_it_and_of_what_it_takes_in(tmp_path: Path) -> None:
    known = ROOT / "tests/broken/known"
    limits = {path.name for path in taken_in([known / "limits.py"]) if "tests" in path.parts}
    assert limits == {"limits.py", "base.py", "entry.py"}
    assert of_module(known / "limits.py", "tests") != of_module(known / "special.py", "tests")


def mark(op: type[Op], dtype: str) -> str:
    return of_operation(op.name, dtype=dtype)


def units(seed: int) -> list[Unit]:
    cases = {"numpy": 10, "c": 10, "torch": 10}
    return [
        Unit(
            seed,
            op.name,
            dtype,
            of_operation(op.name, dtype=dtype),
            cells=cases,
            cases=cases,
            deviations=dict.fromkeys(cases, 0),
        )
        for op in SPECIFIED
        for dtype in DTYPES
    ]


def test_a_seed_is_whole_when_every_operation_is_done_in_every_dtype() -> None:
    assert "**2 whole seeds**; of others: none." in page(units(0) + units(1))
    assert "**1 whole seed**; of others: seed 1: " in page(units(0) + units(1)[1:])


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


def test_a_false_alarm_is_shown_with_its_backend_and_processor() -> None:
    text = page([replace(units(0)[0], wrong=("torch relu.maximum_with_zero fail",), made_on={"vectors": "avx2"})])
    assert "- seed 0 float32 (avx2): torch relu.maximum_with_zero fail" in text
    assert "| torch | 10 | 10 | 0 | 1 |" in text


def test_what_two_soaks_ran_counts_once_and_with_its_alarm() -> None:
    one = units(0)[0]
    alarmed = replace(one, wrong=("torch relu.maximum_with_zero fail",))
    for twice in ([one, alarmed], [alarmed, one]):
        text = page(twice)
        assert "seed 0: 1 of 112 units. 0 units more" in text
        assert "| torch | 10 | 10 | 0 | 1 |" in text


def test_a_run_that_a_backend_ended_is_told_and_not_done() -> None:
    """Also where it got to its end when it was run again."""
    lost = replace(units(0)[0], cells={}, cases={}, deviations={}, ended="SIGSEGV", made_on={"vectors": "avx2"})
    told = f"- seed 0 float32 (avx2): {lost.op} did not get to its end, SIGSEGV"
    alone = page([lost, *units(0)[1:]])
    assert told in alone
    assert "**0 whole seeds**; of others: seed 0: 111 of 112 units. 0 units more" in alone
    again = page([lost, *units(0)])
    assert told in again
    assert "**1 whole seed**" in again
    assert "SIGSEGV" not in page([replace(lost, fingerprint="0" * 16), *units(0)])


def test_how_a_run_ended_is_written_down_and_it_is_run_again(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, began = {"relu": (-signal.SIGSEGV, ""), "pad2d": (3, "INTERNALERROR")}, []

    def ended(command: list[str]) -> tuple[int, str]:
        op = next(part.removeprefix("--op=") for part in command if part.startswith("--op="))
        began.append(op)
        return ends[op]

    monkeypatch.setattr(soak.COMMANDS, "run", ended)
    for op in ends:
        monkeypatch.setattr(sys, "argv", ["soak", "--seeds", "1", "--op", op, "--dtype", "float32", "--jobs", "1"])
        assert soak.main() == 1
        assert soak.main() == 1
    assert began == ["relu", "relu", "pad2d", "pad2d"]
    assert [unit.ended for unit in ledger()] == ["SIGSEGV", "SIGSEGV", "exit 3", "exit 3"]


def test_the_page_tells_with_what_units_were_run() -> None:
    first, second, old = units(0)[:3]
    made_on = {"numpy": "2.1", "torch": "2.5", "vectors": "avx2"}
    text = page([replace(first, made_on=made_on), replace(second, made_on=made_on), old])
    assert "2 units with NumPy 2.1, PyTorch 2.5, vectors avx2; 1 units do not tell with what they were run." in text


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    found = tmp_path / "soak.jsonl", tmp_path / "soak.md"
    monkeypatch.setattr(soak, "LEDGER", found[0])
    monkeypatch.setattr(soak, "PAGE", found[1])
    return found


def soaked(monkeypatch: pytest.MonkeyPatch, run: Callable[[Unit], Unit], *options: str) -> int:
    monkeypatch.setattr(soak, "run", run)
    monkeypatch.setattr(soak, "COMMANDS", Commands())
    monkeypatch.setattr(sys, "argv", ["soak", "--seeds=1", "--op=relu", "--jobs=1", *options])
    return soak.main()


def test_a_half_written_line_is_left_out_and_told(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = [json.dumps(asdict(unit)) for unit in units(0)[:2]]
    files[0].write_text(whole[0] + "\n" + whole[1][:-40])
    assert [unit.key for unit in ledger()] == [units(0)[0].key]
    assert capsys.readouterr().out == ""
    assert soaked(monkeypatch, lambda unit: unit) == 0
    assert "soak.jsonl, line 2: not a whole unit, left out\n" in capsys.readouterr().out
    assert {unit.dtype for unit in ledger() if unit.op == "relu"} == set(DTYPES)


def test_a_unit_is_written_on_a_line_of_its_own_and_on_the_page(files: tuple[Path, Path]) -> None:
    files[0].write_text('{"seed": 0, "op"')
    for unit in units(0)[:2]:
        write_down(unit)
    assert [unit.key for unit in ledger()] == [unit.key for unit in units(0)[:2]]
    assert "seed 0: 2 of 112 units" in files[1].read_text()


def test_an_interrupted_soak_keeps_what_is_done_and_begins_nothing(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = []

    def run(unit: Unit) -> Unit:
        begun.append(unit)
        if len(begun) == 2:
            while not files[1].exists():  # the first is written down before the soak ends
                time.sleep(0.01)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.5)
        return unit

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which whoever starts the tests may ignore
    try:
        assert soaked(monkeypatch, run) == 2
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(begun) == 2
    assert len(ledger()) == 2
    assert "seed 0: 2 of 112 units" in files[1].read_text()
    assert capsys.readouterr().out.endswith(
        "interrupted: what was done is in soak.jsonl, and the same command goes on from there\n"
    )
    assert soaked(monkeypatch, run) == 0
    assert len(ledger()) == len(DTYPES)


def test_commands_that_run_are_stopped_and_none_begins_after_that() -> None:
    commands, ended = Commands(), []
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    thread = threading.Thread(target=lambda: ended.append(commands.run(sleeping)))
    began = time.monotonic()
    thread.start()
    while not commands._going:
        time.sleep(0.01)
    commands.stop()
    thread.join()
    assert ended[0][0] != 0
    assert time.monotonic() - began < 30
    with pytest.raises(RuntimeError, match="stopped"):
        commands.run(sleeping)
