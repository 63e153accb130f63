"""Run folders: what is written is what is read, by schema, whatever wrote it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from convspec.reports.record import (
    NotARun,
    RunFolder,
    new_run_id,
    read_run,
    write_schemas,
)

from .made_up_run import build, cells, failures, header


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("results"))


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
    jsonschema.validate(json.loads((run / "grades.json").read_text()), schemas["grades"])
    for line in (run / "cells.jsonl").read_text().splitlines():
        jsonschema.validate(json.loads(line, parse_constant=pytest.fail), schemas["cell"])
    for file in (run / "failures").glob("*.json"):
        jsonschema.validate(json.loads(file.read_text(), parse_constant=pytest.fail), schemas["failure"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"run_id": 3}, schemas["run"])


def test_cells_do_not_depend_on_the_number_of_workers(run: Path, tmp_path: Path) -> None:
    split = build(tmp_path, workers=3)
    assert (split / "cells.jsonl").read_bytes() == (run / "cells.jsonl").read_bytes()


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
