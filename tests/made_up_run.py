"""A run folder that was made up: no backend, no operation, and one backend that is hostile."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from convspec.reports.drawn import Drawn
from convspec.reports.grade import Grade
from convspec.reports.record import (
    ArrayInfo,
    BackendInfo,
    Cases,
    Cell,
    ClauseInfo,
    Failure,
    RunFolder,
    RunInfo,
    write_json,
)

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
              pairs={"groups bias": "2 2/5 -"}, triples=[7, 9], unmet_triples=["a=1 b=2 c=3", "a=<b> b=2 c=4"]),
        Drawn(op=HOSTILE, dtype=HOSTILE, features={HOSTILE: {HOSTILE: 1}}, unmet=[HOSTILE] * 30,
              pairs={HOSTILE: HOSTILE}),
    ]  # fmt: skip


def grades() -> list[Grade]:
    """Of the first backend two that fall short alike and one that does not; of one that the run does not know, one."""
    short = {"grade": "R(11)", "found": "declared float32 (ieee), found inputs rounded to 11 bits: <b>TF32</b>"}
    key = header().backends[0].key
    return [
        Grade(backend=key, op="conv2d", dtype="float32", **short),
        Grade(backend=key, op="linear", dtype="float32", **short),
        Grade(backend=key, op="relu", dtype="float32", grade="X", found="found float32", agrees=True),
        Grade(backend=key, op="relu", dtype="float16", found="nothing: refused"),
        Grade(backend="gone", op="relu", dtype="float32", grade="D", found="found sums wrong"),
    ]


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
    write_json(main.path / "grades.json", grades())
    for part in parts:
        part.close()
    if finish:
        info.complete = complete
        main.finish(info)
    return main.path
