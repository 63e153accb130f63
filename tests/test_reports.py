"""Run folders and the page made of them, on a synthetic run: no backend, no operation."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from convspec.reports.drawn import Drawn
from convspec.reports.page import write_page
from convspec.reports.record import (
    ArrayInfo,
    BackendInfo,
    Cases,
    Cell,
    ClauseInfo,
    Failure,
    NotARun,
    RunFolder,
    RunInfo,
    new_run_id,
    read_run,
    write_json,
    write_schemas,
)
from convspec.reports.summary import write_summary
from convspec.reports.text import clause_anchor, ratio_text, visible

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"> {{ 7*7 }} & <b>' `|` \u202egnp\x00"
CLAUSES = [
    ("conv2d.matches_reference", "accuracy", "Every output element lies within its bound."),
    ("conv2d.groups_are_separate", "law", "A group of filters sees its own channels alone."),
    ("conv2d.nan_stays_in_its_windows", "values", "NaN spreads to the windows that hold it, and no further."),
    ("conv2d.empty_batch_is_empty", "shape", "No images in, no images out."),
    ("max_pool2d.matches_reference", "accuracy", "The largest element of each window."),
    (
        "max_pool2d.padding_never_wins",
        "law",
        "Padding is no element: a window of negative numbers stays negative.",
    ),
    ("batch_norm2d.matches_reference", "accuracy", "Within the bound of a two-pass variance."),
    (
        "batch_norm2d.evaluation_leaves_statistics",
        "law",
        "Evaluation returns the running statistics unchanged.",
    ),
]


def hexed(shape: list[int], values: list[float]) -> ArrayInfo:
    return ArrayInfo(dtype="float32", shape=shape, values=[value.hex() for value in values])


def failures() -> list[Failure]:
    got = [4.0, 6.0, 5.0, 6.0, 9.0, 8.0, 4.0, 6.0, 1 / 3]
    want = [4.0, 6.0, 6.0, 6.0, 9.0, 9.0, 4.0, 6.0, 1 / 3]
    stride = Failure(
        id="conv2d_3f9c21ab07",
        backend="mine",
        op="conv2d",
        clause="conv2d.matches_reference",
        dtype="float32",
        cause="wrong values",
        message="conv2d.matches_reference: 2 of 9 elements are off\n"
        "y[0, 0, 0, 2]: got 5 (0x1.4p+2), expected 6 (0x1.8p+2), error 1 against a bound of 2.1e-6",
        summary="conv2d x(1,1,5,6) weight(1,1,3,3) stride=(2,2) padding=((1,1),(1,1)) float32",
        code="Conv2d(x=ones(1, 1, 5, 6), weight=ones(1, 1, 3, 3), stride=(2, 2), padding=((1, 1), (1, 1)))",
        parameters={
            "stride": [2, 2],
            "padding": [[1, 1], [1, 1]],
            "dilation": [1, 1],
            "groups": 1,
            "scale": math.inf,
        },
        defaults={"stride": [1, 1], "padding": [[0, 0], [0, 0]], "dilation": [1, 1], "groups": 1},
        inputs={"x": hexed([1, 1, 5, 6], [1.0] * 30), "weight": hexed([1, 1, 3, 3], [1.0] * 9)},
        actual=hexed([1, 1, 3, 3], got),
        expected=hexed([1, 1, 3, 3], want),
        bound=hexed([1, 1, 3, 3], [2.1e-6] * 9),
        worst_index=[0, 0, 0, 2],
        wrong=2,
        elements=39,
        first_elements=4096,
        shrink_calls=50,
    )
    big = Failure(
        id="conv2d_77d0c4e2aa",
        backend="mine",
        op="conv2d",
        clause="conv2d.groups_are_separate",
        dtype="float32",
        cause="wrong values",
        message="1 of 800 elements is off",
        summary="conv2d x(2,2,12,20)",
        code="Conv2d(...)",
        inputs={"x": hexed([2, 2, 12, 20], [0.1 * i for i in range(960)])},
        actual=hexed([2, 1, 20, 20], [1.0] * 700 + [math.nan] + [1.0] * 99),
        expected=hexed([2, 1, 20, 20], [1.0] * 800),
        worst_index=[1, 0, 15, 0],
    )
    hostile = Failure(
        id="max_pool2d_b1c9f00d12",
        backend="evil",
        op="max_pool2d",
        clause="max_pool2d.padding_never_wins",
        dtype="float16",
        cause="raised " + HOSTILE,
        message=HOSTILE + "\udc80\n" + HOSTILE,
        summary=HOSTILE,
        code=HOSTILE,
        parameters={HOSTILE: HOSTILE, "kernel_size": [3, 3]},
        defaults={},
        inputs={HOSTILE: ArrayInfo(dtype=HOSTILE, shape=[2], values=[HOSTILE, "1"])},
        note=HOSTILE,
    )
    return [stride, big, hostile]


def cells() -> list[Cell]:
    found = {("mine", failure.clause): failure.id for failure in failures()[:2]}
    found["evil", "max_pool2d.padding_never_wins"] = "max_pool2d_b1c9f00d12"
    lines = []
    for number, (clause, _, _) in enumerate(CLAUSES):
        op = clause.partition(".")[0]
        for backend in ("torch", "mine", "evil"):
            for dtype in ("float32", "float16"):
                failure = found.get((backend, clause), "")
                if backend == "mine" and (dtype == "float16" or op == "max_pool2d"):
                    status, cases = "unsupported", Cases(drawn=100, unsupported=100)
                elif failure:
                    status, cases = (
                        "fail",
                        Cases(drawn=100, executed=60, passed=57, failed=3, inapplicable=40),
                    )
                elif backend == "evil" and number == 3:
                    status, cases = "error", Cases(drawn=100)
                elif backend == "evil" and number == 6:
                    status, cases = "thin", Cases(drawn=100, executed=7, passed=7, unsupported=90, vacuous=3)
                else:
                    status, cases = (
                        "pass",
                        Cases(drawn=100, executed=96, passed=96, inapplicable=4, extra=number % 2),
                    )
                worst: float | None = None
                if cases.executed and "matches" in clause:
                    worst = (
                        math.inf if failure else math.nan if backend == "evil" and number == 6 else 0.31 + 0.08 * number
                    )
                level = "strict" if number % 3 == 1 else "core"
                reason = {"unsupported": "float16 only in the next version", "error": HOSTILE}.get(status, "")
                lines.append(
                    Cell(
                        backend=backend,
                        op=op,
                        clause=clause,
                        dtype=dtype,
                        level=level,
                        status=status,
                        reason=reason,
                        cases=cases,
                        worst=worst,
                        worst_case=f"{op} x(1,1,5,6)",
                        failure=failure if status == "fail" else "",
                    )
                )
    return lines


def header(**changes: Any) -> RunInfo:
    backends = [
        BackendInfo(
            key="torch",
            name="torch",
            version="2.13.0",
            kind="python",
            dtypes=["float32", "float16"],
            conventions={"stored_variance": "unbiased"},
            operations=["conv2d", "max_pool2d", "batch_norm2d"],
        ),
        BackendInfo(
            key="mine",
            name="./libmykernel.so",
            version="0.3",
            kind="c",
            device="cuda:0",
            arithmetic="tf32",
            dtypes=["float32"],
            operations=["conv2d", "batch_norm2d"],
            fingerprint="9b80e1",
        ),
        BackendInfo(key="evil", name=HOSTILE, version=HOSTILE, notes=HOSTILE, dtypes=["float16"]),
    ]
    info = RunInfo(
        run_id="2026-11-23T17-40-09Z-9b1e77",
        suite="0.1.0",
        started="2026-11-23T17:40:09Z",
        finished="2026-11-23T17:40:51Z",
        duration_s=41.7,
        complete=True,
        command="convspec run --backend torch",
        examples=100,
        seed=0,
        planned_cells=48,
        backends=backends,
        environment={"cpu": "x86-64, AVX2", "numpy": "2.4.6", "python": "3.11.7"},
        stages={
            "drawing": 2.5,
            "reference": 12.1,
            "bound": 3.0,
            "backend": 20.5,
            "judging": 1.2,
            "shrinking": 0.04,
        },
        stamps=["arithmetic declared: tf32"],
    )
    for name, value in changes.items():
        setattr(info, name, value)
    return info


def drawn() -> list[Drawn]:
    features = {"groups": {"1": 60, "some": 40}, "bias": {"no": 100, "yes": 0}}
    return [
        Drawn(op="conv2d", dtype="float32", problems=100, features=features, pairs={"groups bias": "60 0/40 -"},
              unmet=["bias=yes"], unmet_pairs=["groups=1 bias=yes"], impossible={"groups=some bias=yes": "why not"}),
        Drawn(op="conv2d", dtype="float16", problems=9, features={"groups": {"1": 4, "some": 5}},
              pairs={"groups bias": "2 2/5 -"}, triples=[7, 9]),
        Drawn(op=HOSTILE, dtype=HOSTILE, features={HOSTILE: {HOSTILE: 1}}, unmet=[HOSTILE] * 30,
              pairs={HOSTILE: HOSTILE}),
    ]  # fmt: skip


def build(results: Path, workers: int = 1, finish: bool = True, **changes: Any) -> Path:
    """A run folder written as a run writes it, by so many workers."""
    info = header(**changes)
    clauses = [
        ClauseInfo(
            name=name,
            op=name.partition(".")[0],
            kind=kind,
            level="core",
            title=title,
            text=f"{title}\n\nAccepted is what is proven good.",
            source="Goodfellow et al., Deep Learning, 9.5",
        )
        for name, kind, title in CLAUSES
    ]
    info.complete, complete = False, info.complete
    main = RunFolder.create(results, info, clauses)
    parts = [RunFolder.attach(main.path, f"gw{number}") for number in range(workers)]
    for number, cell in enumerate(cells()):
        parts[number % workers].add_cell(cell)
    for failure in failures():
        main.add_failure(failure, f'print("""{failure.summary}""")\n')
    write_json(main.path / "coverage.json", drawn())
    for part in parts:
        part.close()
    if finish:
        info.complete = complete
        main.finish(info)
    return main.path


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


def test_what_is_written_is_what_is_read(run: Path) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-[0-9a-f]{6}", new_run_id())
    found = read_run(run)
    assert found.info == header()
    assert len(found.cells) == len(cells())
    assert {cell.worst for cell in found.cells} >= {"inf", "nan"}
    assert [failure.id for failure in found.failures] == sorted(failure.id for failure in failures())
    assert found.failures[0].parameters["scale"] == "inf"
    assert found.failures[0].script == "failures/conv2d_3f9c21ab07.py"
    assert os.access(run / found.failures[0].script, os.X_OK)
    assert (run.parent / "latest").resolve() == run.resolve()
    assert sorted(path.name for path in run.iterdir() if path.suffix in (".part", ".jsonl")) == ["cells.jsonl"]


def test_every_file_follows_its_schema(run: Path, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schemas = {path.name.partition(".")[0]: json.loads(path.read_text()) for path in write_schemas(tmp_path)}
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads((run / "run.json").read_text()), schemas["run"])
    jsonschema.validate(json.loads((run / "clauses.json").read_text()), schemas["clauses"])
    jsonschema.validate(json.loads((run / "coverage.json").read_text()), schemas["coverage"])
    for line in (run / "cells.jsonl").read_text().splitlines():
        jsonschema.validate(json.loads(line, parse_constant=pytest.fail), schemas["cell"])
    for file in (run / "failures").glob("*.json"):
        jsonschema.validate(json.loads(file.read_text(), parse_constant=pytest.fail), schemas["failure"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"run_id": 3}, schemas["run"])


def test_cells_do_not_depend_on_the_number_of_workers(run: Path, tmp_path: Path) -> None:
    split = build(tmp_path, workers=3)
    assert (split / "cells.jsonl").read_bytes() == (run / "cells.jsonl").read_bytes()


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


def test_what_is_not_a_run_is_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(NotARun, match=r"^[^\n]* has no run\.json$"):
        read_run(tmp_path)
    info = json.loads((run / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(info | {"schema": "convspec-results/2"}))
    with pytest.raises(NotARun, match=r"^[^\n]*convspec-results/2[^\n]*$"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": "convspec-results/1"')
    with pytest.raises(NotARun, match=r"^[^\n]*cannot be read[^\n]*$"):
        read_run(tmp_path)


def test_names_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="file name"):
        RunFolder.create(tmp_path, header(run_id="../away"), [])
    with pytest.raises(ValueError, match="file name"):
        RunFolder.attach(tmp_path, "../away")
    failure = failures()[0]
    failure.id = "../away"
    with pytest.raises(ValueError, match="file name"):
        RunFolder.attach(tmp_path, "gw0").add_failure(failure, "")


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
    raw = {"run.json", "clauses.json", "cells.jsonl", "coverage.json", "failures/", "data:,"}
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
    summary = write_summary(run).read_text("utf-8")
    assert "- `conv2d` `float32`: `bias=yes`, `groups=1 bias=yes`\n" in summary
    assert "float16" not in summary.partition("## Not drawn")[2].splitlines()[4]


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
