"""The page and the summary made of a run folder."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from convspec.reports.page import write_page
from convspec.reports.record import (
    Cell,
    RunFolder,
    RunInfo,
    read_run,
)
from convspec.reports.summary import write_summary
from convspec.reports.text import clause_anchor, ratio_text, visible

from .made_up_run import CLAUSES, build, cells, drawn, failures, grades, header


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_page(run).read_text("utf-8")


class Tags(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    ("ratio", "told"),
    [
        (0.0, "0"),
        (0.9260, "0.926"),
        (0.99951, "0.9995"),
        (0.999999, "0.9999"),
        (1.0, "1"),
        (1.0000001, "1.0001"),
        (1.00049, "1.0005"),
        (4567.0, "4,567"),
        (1.2e-5, "1.2e-05"),
        (math.inf, "inf"),
    ],
)
def test_only_what_is_on_the_bound_is_told_as_on_it(ratio: float, told: str) -> None:
    assert ratio_text(ratio) == told


def test_a_killed_run_is_read_and_shown_as_incomplete(tmp_path: Path) -> None:
    path = build(tmp_path, workers=2, finish=False)
    part = path / "cells-gw1.jsonl"
    part.write_bytes(part.read_bytes()[:-40])
    assert len(read_run(path).cells) == len(cells()) - 1
    text = write_page(path).read_text("utf-8")
    assert "Incomplete: 47 of 48 cells were run." in text
    assert "so far" in text
    assert 'href="cells-gw1.jsonl"' in text
    assert "Incomplete: 47 of 48 cells were run." in write_summary(path).read_text("utf-8")


def test_a_failure_counts_although_its_cell_was_never_written(tmp_path: Path) -> None:
    main = RunFolder.create(tmp_path, header(complete=False), [])
    main.add_failure(failures()[0], "")
    text = write_page(main.path).read_text("utf-8")
    assert "1 clause fails so far" in text


def test_a_run_killed_at_its_start_is_shown(tmp_path: Path) -> None:
    path = RunFolder.create(tmp_path, header(complete=False, finished=""), []).path
    text = write_page(path).read_text("utf-8")
    assert "Incomplete: 0 of 48 cells were run." in text
    assert "nothing was exercised" in text


def test_unknown_fields_and_statuses_of_a_later_version(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(run, path)
    info = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(info | {"schema": "convspec-results/1.4", "later": 1}))
    cell = json.loads((path / "cells.jsonl").read_text().splitlines()[0])
    with (path / "cells.jsonl").open("a") as file:
        file.write(json.dumps(cell | {"backend": "new", "status": "melted", "later": [1]}) + "\n")
    text = write_page(path).read_text("utf-8")
    assert "melted" in text
    assert "1 clause is “melted”" in text


def test_same_folder_same_bytes(run: Path, page: str) -> None:
    write_summary(run)
    assert write_page(run).read_bytes() == page.encode()
    assert write_summary(run).read_bytes() == write_summary(run).read_bytes()


def test_the_page_needs_nothing_else(page: str) -> None:
    assert "http:" not in page
    assert "https:" not in page
    tags = Tags(page).seen
    policy = next(a["content"] for t, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    raw = {"run.json", "clauses.json", "cells.jsonl", "coverage.json", "grades.json", "failures/", "data:,"}
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in tags:
        assert "src" not in attributes
        assert "style" not in attributes
        target = attributes.get("href")
        assert target is None or target in raw or (target[0] == "#" and target[1:] in ids), (tag, target)


def test_hostile_text_stays_text(run: Path, page: str) -> None:
    tags = Tags(page).seen
    assert not [tag for tag, _ in tags if tag in ("img", "iframe", "object", "base")]
    assert sum(tag == "script" for tag, _ in tags) == 1
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert "{{ 7*7 }}" in page
    assert "&lt;/script&gt;&lt;img" in page
    for text in (page, write_summary(run).read_text("utf-8")):
        assert "\u202e" not in text
        assert "\x00" not in text
    assert visible("a\u202eb\r\n") == "a\\u202eb\\r\n"
    outside = re.sub(r"(`+).*?(?<!`)\1(?!`)", "", (run / "summary.md").read_text("utf-8"))
    assert "<" not in outside


def test_the_page_says_what_was_drawn(run: Path, page: str) -> None:
    assert read_run(run).drawn[:2] == drawn()[:2]
    assert "109 problems, 2 of 3 pairs, 7 of 9 triples; float32, float16" in page
    assert "1: 64, some: 45" in page
    assert 'no: 100, yes: <b class="warn">none</b>' in page
    assert "conv2d float32: 2 not drawn</b> that the rules allow: bias=yes; groups=1 bias=yes</p>" in page
    assert "and 6 more in coverage.json" in page
    triples = "a=1 b=2 c=3; a=&lt;b&gt; b=2 c=4"
    assert f"<p>Triples not drawn in float16, which the rules may allow: {triples}</p>" in page
    summary = write_summary(run).read_text("utf-8")
    assert "- `conv2d` `float32`: `bias=yes`, `groups=1 bias=yes`\n" in summary
    assert "float16" not in summary.partition("## Not drawn")[2].splitlines()[4]


def test_the_page_says_how_each_operation_computes(run: Path, page: str) -> None:
    assert read_run(run).grades == grades()
    section = page.partition('<section id="arithmetic"')[2].partition("</section>")[0]
    said = "declared float32 (ieee), found inputs rounded to 11 bits: &lt;b&gt;TF32&lt;/b&gt;"
    assert f" conv2d, linear (float32)</b>: {said}</p>" in section
    assert section.count("<p><b") == 1
    assert '<b class="good">X</b>' in section
    assert '<b class="none">-</b>' in section
    assert "found sums wrong" not in page  # of a backend that is not in the run
    summary = write_summary(run).read_text("utf-8").partition("## Arithmetic")[2]
    assert "conv2d, linear (float32)`: `declared float32" in summary


def test_a_run_without_grades_has_no_such_section(tmp_path: Path) -> None:
    path = build(tmp_path)
    (path / "grades.json").unlink()
    assert 'id="arithmetic"' not in write_page(path).read_text("utf-8")
    assert "## Arithmetic" not in write_summary(path).read_text("utf-8")


def test_the_page_says_what_was_found(page: str) -> None:
    assert "2 clauses fail" in page
    assert "no counter-example found in 8 clauses" in page
    assert "Arithmetic declared: tf32" in page
    assert "2 of 9 elements wrong; the worst at [0, 0, 0, 2]" in page
    assert '<td class="wrong worst" title="got 0x1.4000000000000p+2, expected 0x1.8000000000000p+2' in page
    assert "around the worst element of 800 elements" in page
    assert '<td class="wrong worst" title="got nan' in page
    assert "python failures/conv2d_3f9c21ab07.py" in page
    assert "a longer profile or another seed" in page


def test_a_clause_has_the_anchor_that_it_has_in_the_specification(page: str) -> None:
    tags = Tags(page).seen
    rows = {attributes["id"] for tag, attributes in tags if tag == "tr" and "id" in attributes}
    assert {name for name, _, _ in CLAUSES} <= rows
    linked = {attributes.get("href") for tag, attributes in tags if tag == "a"}
    assert {f"#{name}" for name, _, _ in CLAUSES} <= linked
    assert clause_anchor("matrix") == "clause-matrix"  # the id of another part of the page
    assert clause_anchor("a.b<c") == "clause-a.b~3cc"


def test_text_has_contrast() -> None:
    css = (Path(write_page.__code__.co_filename).parent / "page.css").read_text("utf-8")
    light, dark = (dict(re.findall(r"--([\w-]+):(#[0-9a-f]{6})", part)) for part in css.split("@media", 2)[:2])

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for theme in (light, dark):
        for ground in ("ground", "panel", "raised", "bad-ground"):
            for text in ("text", "soft", "link", "good", "bad", "warn", "none"):
                a, b = sorted((luminance(theme[ground]), luminance(theme[text])))
                assert (b + 0.05) / (a + 0.05) >= 4.5, (text, ground)


def test_the_page_in_a_browser(run: Path, page: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on the PATH: the page was not opened in a browser")
    address = (run / "report.html").resolve().as_uri() + "#q=conv2d&failing=1"
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-sync",
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={tmp_path}",
        "--enable-logging=stderr",
        "--dump-dom",
        address,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert "conv2d.matches_reference" in done.stdout
    assert "3 of 8 clauses" in done.stdout  # the script ran, and read the filter from the fragment
    assert "<title>convspec: torch" in done.stdout


def test_a_network_far_from_the_model_of_rounding_is_warned_of(tmp_path: Path) -> None:
    """Above 10 only, and without a change of the verdict."""
    folder = RunFolder.create(tmp_path, RunInfo(run_id="rms", suite="0", started=""), [])
    for backend, rms in (("near", 9.5), ("far", 817.1), ("endless", math.inf), ("none", None)):
        clause = "lenet5.within_the_bound"
        folder.add_cell(
            Cell(backend=backend, op="lenet5", clause=clause, dtype="float32", level="core", status="pass", rms=rms)
        )
    folder.finish(RunInfo(run_id="rms", suite="0", started="", complete=True))
    text = write_page(folder.path).read_text()
    assert text.count("Warning, no verdict: errors are") == 2
    assert "errors are 817 times" in text
    assert "errors are inf times" in text
    assert {c.status for c in read_run(folder.path).cells} == {"pass"}
