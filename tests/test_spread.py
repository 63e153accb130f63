"""What is put down about errors beside the verdict: the warning of errors that rounding does not explain, and their
growth with the number of terms. Neither changes a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import msgspec
import numpy as np
import pytest

from convspec.adapters import Backend
from convspec.adapters.numpy_taps import NumpyTaps
from convspec.conformance.case import Case
from convspec.conformance.checks import clauses_of, within_the_bound
from convspec.conformance.compare import Tally
from convspec.conformance.engine import Engine, operation_named
from convspec.conformance.growth import Growth
from convspec.conformance.settings import Settings
from convspec.conformance.sweep import Clock, Oracle
from convspec.conformance.terminal import _notes
from convspec.reference import Conv2d, Linear
from convspec.reference.pick import RandomPick
from convspec.reference.rounding import Arithmetic
from convspec.reports.page import write_page
from convspec.reports.record import (
    FAR_FROM_RANDOM,
    BackendInfo,
    Cell,
    GrowthBin,
    RunFolder,
    RunInfo,
    read_run,
    warning_of,
    write_schemas,
)
from convspec.reports.summary import write_summary

from .broken.legal_sums import AddsBackwards, AddsInBlocks, AddsInPairs, FusesMultiplyAndAdd
from .simulated import Tf32

SEEDS = (0, 1, 2)
RIGHT = (NumpyTaps, AddsBackwards, AddsInBlocks, AddsInPairs, FusesMultiplyAndAdd)
ENGINES = {seed: Engine(Settings(seed=seed, shrink_calls=5, shrink_seconds=0.2)) for seed in SEEDS}


def cell_of(backend: type, op: str, dtype: str = "float32", seed: int = 0) -> Cell:
    """The cell of the clause about values in the default profile."""
    clause = next(c for c in clauses_of(operation_named(op)) if c.name == f"{op}.within_the_bound")
    return ENGINES[seed].run(clause, Backend.of(backend.__name__, backend(), "test"), dtype).cell


def tally_of(backend: type, *problems: Any) -> Tally:
    """What the clause about values puts down of these problems."""
    tally, clock = Tally(), Clock()
    held = Backend.of(backend.__name__, backend(), "test")
    for problem in problems:
        pick = RandomPick("0", problem.dtype, 1000)
        with np.errstate(all="ignore"):
            within_the_bound(Case(problem, held, Oracle(clock), clock, pick, tally))
    return tally


class OffByAQuarter(NumpyTaps):
    """Answers are further off by a quarter of what is allowed, where that is more than a rounding: right, by the
    bound."""

    dtypes: ClassVar[Any] = ("float32",)

    def linear(self, problem: Any) -> Any:
        y = NumpyTaps.linear(self, problem)
        more = 0.25 * problem.bound()
        return np.where(more > 2 * np.spacing(np.abs(y)), y + more, y).astype(np.float32)


class Zeros:
    dtypes: ClassVar[Any] = ("float32",)

    def linear(self, problem: Any) -> Any:
        problem.validate()
        return np.zeros(problem.output_shape(), problem.dtype)


# The warning.


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("op", ["conv2d", "linear"])
def test_right_sums_are_near_the_model_in_every_order(op: str, seed: int) -> None:
    for backend in RIGHT:
        cell = cell_of(backend, op, seed=seed)
        assert cell.status == "pass"
        assert isinstance(cell.rms, float)
        assert 0.5 < cell.rms < FAR_FROM_RANDOM, (backend, cell.rms, cell.rms_case)
        assert cell.rms_limit == FAR_FROM_RANDOM
        assert not warning_of(cell)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("op", ["conv2d", "linear", "locally_connected2d", "convolve2d", "linear_backward"])
def test_right_sums_are_near_the_model_in_every_format(op: str, dtype: str) -> None:
    cell = cell_of(NumpyTaps, op, dtype)
    assert isinstance(cell.rms, float)
    assert 0.5 < cell.rms < FAR_FROM_RANDOM, (cell.rms, cell.rms_case)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("op", ["conv2d", "linear"])
def test_inputs_of_eleven_bits_are_warned_of(op: str, seed: int) -> None:
    """TF32 that declares plain float32: it fails too, and the warning says why."""
    cell = cell_of(Tf32, op, seed=seed)
    assert warning_of(cell).startswith("errors are ")
    assert warning_of(cell).endswith(" times what rounding in a random order gives (limit 3): reduced precision?")
    assert float(cell.rms or 0) > 14
    assert f"warning  Tf32 {op} float32: {warning_of(cell)}" in _notes([cell])


def test_a_warning_changes_no_verdict() -> None:
    cell = cell_of(OffByAQuarter, "linear")
    assert warning_of(cell)
    assert cell.status == "pass"


def test_answers_that_are_no_rounding_are_not_warned_of() -> None:
    cell = cell_of(Zeros, "linear")
    assert cell.status == "fail"
    assert not warning_of(cell)


def test_only_data_without_structure_are_looked_at() -> None:
    """Roundings of equal numbers have one sign: right sums are far from the model there. Nothing but the note of the
    kind keeps them from being warned of, and a problem that was changed has lost it."""
    x, weight = np.full((2, 400), 0.1, np.float32), np.full((20, 400), 0.3, np.float32)
    problem = Linear(x=x, weight=weight)
    assert tally_of(AddsBackwards, problem).rms is None
    problem.note_kind(True)
    assert (tally_of(AddsBackwards, problem).rms or 0) > FAR_FROM_RANDOM
    assert tally_of(AddsBackwards, problem.but(bias=np.ones(20, np.float32))).rms is None


def test_few_outputs_are_not_looked_at() -> None:
    random = np.random.default_rng(0)
    for outputs, looked in ((29, False), (30, True)):
        x, weight = random.standard_normal((1, 5), np.float32), random.standard_normal((outputs, 5), np.float32)
        problem = Linear(x=x, weight=weight)
        problem.note_kind(True)
        assert (tally_of(NumpyTaps, problem).rms is not None) == looked


def test_the_model_is_what_its_formula_says() -> None:
    """Element by element, with zeros and padding, which are no terms, and a bias, which is one."""
    random = np.random.default_rng(1)
    x, weight = random.standard_normal((2, 2, 4, 3)), random.standard_normal((3, 2, 3, 2))
    x[0, 0, 1], weight[1, :, 0] = 0, 0
    bias = np.array([0.5, 0.0, -2.0])
    arrays = {"x": x, "weight": weight, "bias": bias}
    problem = Conv2d(padding=1, **{name: array.astype(np.float16) for name, array in arrays.items()})
    likely = problem.likely_errors(Arithmetic.ieee("float16"))["y"]
    around = np.pad(problem.x.astype(float), ((0, 0), (0, 0), (1, 1), (1, 1)))
    for n, k, i, j in np.ndindex(likely.shape):
        made = around[n, :, i : i + 3, j : j + 2] * problem.weight[k].astype(float)
        b = float(problem.bias[k])  # type: ignore[index]
        terms, squares, y = np.sum(made != 0) + (b != 0), np.sum(made**2) + b**2, np.sum(made) + b
        variance = (0.4 * 2.0**-24) ** 2 * ((terms + 1) / 2 * squares + terms / 3 * y**2)
        variance += (0.4 * 2.0**-11) ** 2 * (y**2 + (b != 0) * (y - b) ** 2)
        assert likely[n, k, i, j] == pytest.approx(np.hypot(np.sqrt(variance), 0.3 * 2.0**-24), rel=1e-6)


# Growth.


def test_errors_are_counted_by_the_number_of_terms() -> None:
    growth = Growth()
    growth.add(np.array([1.0, 2, 3, 4]), np.array([0.0, 3, 4, 0]))
    growth.add(np.array([2.0, 1000]), np.zeros(2))
    assert growth.recorded() == [
        GrowthBin(terms=1, outputs=1, exact=1),
        GrowthBin(terms=2, outputs=3, exact=1, largest=4.0, rms=float(f"{np.sqrt(25 / 3):.4g}")),
        GrowthBin(terms=4, outputs=1, exact=1),
        GrowthBin(terms=512, outputs=1, exact=1),
    ]


@pytest.mark.parametrize("op", ["conv2d", "linear", "avg_pool2d", "conv2d_backward"])
def test_growth_is_recorded_and_within_the_guide(op: str) -> None:
    """Errors of a right sum of n terms are at most 2n in units of u*M, and 1 of one rounding."""
    bins = cell_of(NumpyTaps, op).growth
    assert len(bins) >= 4
    assert [one.terms for one in bins] == sorted(one.terms for one in bins)
    for one in bins:
        assert one.terms & (one.terms - 1) == 0
        assert 0 <= one.exact <= one.outputs
        assert 0 <= one.rms <= one.largest <= 4 * one.terms
    assert max(one.largest for one in bins) > 0.4


def test_growth_tells_orders_apart() -> None:
    """Equal numbers one after another err in proportion to their number, in pairs with its logarithm."""
    problems = [
        Linear(x=np.full((1, n), 0.1, np.float32), weight=np.full((1, n), 0.3, np.float32)) for n in (8, 64, 512)
    ]
    after, pairs = (
        [one.largest for one in tally_of(backend, *problems).growth.recorded()]
        for backend in (AddsBackwards, AddsInPairs)
    )
    assert after[2] > 16 * after[0] > 0
    assert pairs[2] < after[2] / 16


def test_results_that_are_forced_are_left_out() -> None:
    whole = Linear(x=np.ones((2, 3), np.float32), weight=np.ones((4, 3), np.float32))
    assert tally_of(NumpyTaps, whole).growth.recorded() == []
    assert tally_of(NumpyTaps, whole.but(x=whole.x / 3)).growth.recorded()[0].outputs == 8


# What is shown.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a right backend, and of one that is warned of and passes."""
    results = tmp_path_factory.mktemp("results")
    backends = [BackendInfo(key=b.__name__, name=b.__name__) for b in (NumpyTaps, OffByAQuarter)]
    run = RunFolder.create(results, RunInfo(run_id="spread", suite="0", started="", backends=backends), [])
    for backend in (NumpyTaps, OffByAQuarter):
        run.add_cell(cell_of(backend, "linear"))
    run.finish(RunInfo(run_id="spread", suite="0", started="", backends=backends, complete=True))
    return run.path


def test_the_page_shows_growth_and_warnings(folder: Path) -> None:
    text = write_page(folder).read_text()
    assert text.count('<figure class="growth">') == 1
    assert text.count('<g class="curve') == 2
    assert ">√n</text>" in text
    far = next(cell for cell in read_run(folder).cells if cell.backend == "OffByAQuarter")
    assert text.count(warning_of(far)) >= 3  # in the section, in the clause's panel, in the matrix
    assert write_page(folder).read_text() == text
    start = text.index('id="growth"')
    assert len(text[start : text.index("</section>", start)]) < 6000


def test_a_warning_is_shown_where_nothing_else_is_known_of_errors(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, RunInfo(run_id="one", suite="0", started=""), [])
    run.add_cell(Cell(backend="b", op="o", clause="o.c", dtype="float32", level="core", status="fail", rms=20.0))
    assert "</b>: errors are 20 times" in write_page(run.path).read_text()


def test_the_summary_shows_warnings(folder: Path) -> None:
    text = write_summary(folder).read_text()
    assert "## Warnings" in text
    assert "- `OffByAQuarter linear float32`: errors are " in text
    assert "`NumpyTaps linear" not in text


def test_cells_fit_their_schema(folder: Path, tmp_path: Path) -> None:
    schema = next(path for path in write_schemas(tmp_path) if path.name.startswith("cell"))
    rules = msgspec.json.decode(schema.read_bytes())
    for line in (folder / "cells.jsonl").read_text().splitlines():
        cell = msgspec.json.decode(line)
        jsonschema.validate(cell, rules)
        assert cell["growth"][0]["terms"] == 1
        cell["growth"][0]["terms"] = "one"
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(cell, rules)


def test_old_cells_are_read(folder: Path) -> None:
    """Without a limit of its own a cell is one of a network."""
    old = '{"backend":"b","op":"lenet5","clause":"c","dtype":"float32","level":"core","status":"pass","rms":9.5}'
    assert not warning_of(msgspec.json.decode(old, type=Cell))
    assert warning_of(msgspec.json.decode(old.replace("9.5", "10.5"), type=Cell))
