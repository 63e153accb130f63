"""What is drawn on purpose: every class and every pair of classes, in every profile and dtype, and how it is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from convspec.adapters import Backend
from convspec.conformance import cover
from convspec.conformance.checks import DATA_OF, clauses_of, exact_on_integers
from convspec.conformance.cover.table import Table
from convspec.conformance.engine import Engine
from convspec.conformance.settings import PROFILES, Settings
from convspec.conformance.sweep import Clock, Sweep
from convspec.reference import OPS, Op
from convspec.reference.data import KINDS
from convspec.reference.features import classes_of
from convspec.reference.formats import FORMATS, dtype_named
from convspec.reference.pick import RandomPick
from convspec.reference.window import STRETCHED

from .broken.conv2d_tails import (
    ForgetsAChannelOfStridedWindows,
    ForgetsAFilterOfStridedWindows,
    ForgetsSevenChannelsOfNineTaps,
    ForgetsThreeChannelsOfStridedNineTaps,
    RepeatsAFilterOfNineTaps,
)

TOLD = [op for op in OPS if op.features]
NAMES = [op.name for op in TOLD]


def sweep(op: type[Op], dtype: str, profile: str, seed: int = 0, examples: int = 0) -> Sweep:
    cases = examples or PROFILES[profile].examples
    return Sweep(op, dtype, Settings(profile=PROFILES[profile], examples=cases, seed=seed), Clock())


def asked(op: type[Op], dtype: str, names: list[str]) -> list[str]:
    """Those that are asked in this dtype."""
    others = {f.name for f in op.features if f.formats and dtype not in f.formats}
    return [name for name in names if name.split("=")[0] not in others]


@pytest.mark.parametrize("op", TOLD, ids=NAMES)
def test_the_stored_rows_are_those_that_the_draws_make_now(op: type[Op]) -> None:
    found = cover.stored(op.name)
    assert found.rows, f"no rows are stored: make cover OPS={op.name}"
    assert found.problems == cover.fingerprint(op), f"rows are stale: make cover OPS={op.name}"
    for row in cover.rows_of(op.name, True):
        assert tuple(cover.problem_of(op, row)[1].made) == row, f"rows are stale: make cover OPS={op.name}"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("op", TOLD, ids=NAMES)
def test_every_class_and_every_pair_is_drawn(op: type[Op], profile: str) -> None:
    for dtype in FORMATS:
        ours = sweep(op, dtype, profile)
        assert ours.whole >= len(ours.rows)
        drawn = [ours.problem(k)[0] for k in range(len(ours.rows))]
        assert [p.summary() for p in drawn if p.broken_rules()] == []
        classes = [classes_of(p) for p in drawn]
        for strength in (1, 2):
            table = Table(op, strength)
            assert asked(op, dtype, table.missing(table.counts(classes))) == [], dtype


@pytest.mark.parametrize("op", TOLD, ids=NAMES)
def test_every_kind_of_data_is_drawn(op: type[Op]) -> None:
    """In every dtype and with every seed, and most are in the rows as well, with which whole numbers are exact."""
    for dtype in FORMATS:
        for seed in range(3):
            ours = sweep(op, dtype, "default", seed)
            alone = ours.kinds(())
            assert [kind.name for kind in KINDS if not alone[kind.name]] == [], (dtype, seed)
            assert sum(ours.kinds(DATA_OF.values()).values()) >= sum(alone.values())


def test_rows_take_kinds_in_turn() -> None:
    ours, kinds = sweep(OPS[2], "float32", "default"), DATA_OF[exact_on_integers]
    taken = Counter(ours._turn(index, kinds) for index in range(len(ours.rows)))
    assert set(taken) == set(kinds)
    assert ours.row(0, kinds)[0].summary() == ours.problem(0)[0].summary()  # other values of the same parameters


@pytest.mark.parametrize("op", TOLD, ids=NAMES)
def test_random_problems_follow_the_rows(op: type[Op]) -> None:
    """Of the default profile's cases at least thirty are drawn at random."""
    assert len(sweep(op, "float32", "default").rows) <= 70


@pytest.mark.parametrize("name", [name for name in NAMES if name in ("conv2d", "max_pool2d", "group_norm")])
def test_thorough_draws_every_triple_that_was_ever_met(name: str) -> None:
    op = TOLD[NAMES.index(name)]
    ours, table = sweep(op, "float32", "thorough"), Table(op, 3)
    counts = table.counts([classes_of(ours.problem(k)[0]) for k in range(len(ours.rows))])
    assert sorted(table.missing(counts)) == sorted(cover.stored(op.name).unmet)
    assert len(cover.stored(op.name).unmet) < 0.002 * table.possible.sum()


@pytest.mark.parametrize("op", TOLD, ids=NAMES)
def test_what_is_excluded_is_never_met(op: type[Op]) -> None:
    """And every class that is met is declared."""
    for dtype in ("float32", "float16"):
        for k in range(150):
            problem = op.draw(RandomPick(f"excluded {op.name} {k}", dtype_named(dtype), 20_000))
            classes = classes_of(problem)
            known = set(zip((f.name for f in op.features), classes, strict=True))
            assert all(c is None or c in f.classes for f, c in zip(op.features, classes, strict=True)), classes
            assert [e.why for e in op.excluded if e.combination <= known] == [], problem.summary()


@pytest.mark.parametrize("name", ["conv2d", "conv2d_backward"])
def test_filters_of_one_group_and_several_taps_have_every_size(name: str) -> None:
    """Of channels and of filters, with a stride and more than one window as well: told from shapes alone."""
    op = TOLD[NAMES.index(name)]
    ours = sweep(op, "float32", "default")
    met: dict[str, set[tuple[str, int]]] = {"several": set(), "strided": set(), "3x3": set()}
    for k in range(len(ours.rows)):
        problem: Any = ours.problem(k)[0]
        problem = getattr(problem, "forward", problem)
        (filters, channels, *taps), stride = problem.weight.shape, problem.stride
        if problem.groups > 1 or max(taps) == 1:
            continue
        here = {("channels", channels), ("filters", filters)}
        met["several"] |= here
        if any(s > 1 and t > 1 and n > 1 for s, t, n in zip(stride, taps, problem.output_shape()[2:], strict=True)):
            met["strided"] |= here
        if taps == [3, 3] and stride == (1, 1):
            met["3x3"] |= {(what, size % 8) for what, size in here if size > 4}
    for what in ("channels", "filters"):
        assert {(what, size) for size in STRETCHED} <= met["several"] & met["strided"]
        assert {(what, rest) for rest in (7, 0, 1)} <= met["3x3"]


LEFT_OVER = (
    ForgetsSevenChannelsOfNineTaps,
    ForgetsAChannelOfStridedWindows,
    ForgetsThreeChannelsOfStridedNineTaps,
    ForgetsAFilterOfStridedWindows,
    RepeatsAFilterOfNineTaps,
)
ENGINES: dict[int, Engine] = {}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("backend", LEFT_OVER)
def test_what_is_left_over_shows_in_the_values(backend: type, seed: int) -> None:
    """And not by a law or an edge alone: in the default profile, as a user runs it. Of the integers of a single row one
    in nine are zeros, which show nothing; then the bound must."""
    settings = Settings(profile=PROFILES["default"], seed=seed, shrink_calls=1)
    engine = ENGINES.setdefault(seed, Engine(settings))
    held = Backend.of(backend.__name__, backend(), "test")
    clauses = {clause.name: clause for clause in clauses_of(TOLD[NAMES.index("conv2d")])}
    names = ("conv2d.within_the_bound", "conv2d.exact_on_integers")
    assert any(engine.run(clauses[name], held, "float32").cell.status == "fail" for name in names)


def test_another_seed_has_the_same_parameters_and_other_values() -> None:
    op = next(op for op in TOLD if op.name == "conv2d")
    here, there = sweep(op, "float32", "smoke"), sweep(op, "float32", "smoke", seed=1)
    pairs = [(here.problem(k)[0], there.problem(k)[0]) for k in range(len(here.rows))]
    assert all(a.summary() == b.summary() for a, b in pairs)
    assert not any(a.arrays()["x"].tobytes() == b.arrays()["x"].tobytes() for a, b in islice(pairs, 5, 12))


def test_sizes_of_rows_do_not_follow_the_budget() -> None:
    op = next(op for op in TOLD if op.name == "conv2d")
    small, large = sweep(op, "float64", "smoke"), sweep(op, "float64", "thorough")
    assert [small.problem(k)[0].summary() for k in range(len(small.rows))] == [
        large.problem(k)[0].summary() for k in range(len(small.rows))
    ]


@pytest.mark.parametrize(("examples", "lacks"), [("3", True), ("", False)])
def test_what_was_not_drawn_is_told(tmp_path: Path, examples: str, lacks: bool) -> None:
    command = [sys.executable, "-m", "pytest", "--pyargs", "convspec.conformance", "-p", "no:cacheprovider", "-q"]
    options = ["--backend=numpy", "--profile=smoke", "--clause=conv2d.exact_on_integers", "--level=core"]
    options += [f"--examples={examples}"] if examples else []
    result = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    folder = tmp_path / "conformance-results" / "latest"
    (told,) = json.loads((folder / "coverage.json").read_text())
    assert (told["op"], told["dtype"]) == ("conv2d", "float32")
    assert bool(told["unmet_pairs"]) == lacks
    assert sum(told["features"]["groups"].values()) == told["problems"]
    assert ("that the rules allow were not" in result.stdout) == lacks
    assert ("## Not drawn" in (folder / "summary.md").read_text()) == lacks
    page = (folder / "report.html").read_text()
    assert "What was drawn" in page
    assert ("conv2d float32:" in page) == lacks
