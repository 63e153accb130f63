"""docs/numerics.md has its tables, its files are there, and what measures the tables runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from benchmarks.numerics_norms import bugs, classes, cost, variances
from benchmarks.numerics_rules import FAMILIES, RULES, passed, rejected, warning
from benchmarks.numerics_sums import by_terms, integers, largest
from benchmarks.numerics_tables import TABLES, Rows, filled, markdown, measured_on
from benchmarks.numerics_transforms import transforms

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/numerics.md").read_text("utf-8")
FOUND = dict(re.findall(r"<!-- table: (\S+) -->\n(.*?)<!-- end -->", PAGE, re.DOTALL))


def test_every_table_has_its_place_and_is_there() -> None:
    assert FOUND.keys() == TABLES.keys()
    assert PAGE.count("<!-- table:") == PAGE.count("<!-- end -->") == len(FOUND)
    for name, table in FOUND.items():
        assert len(re.findall(r"^\|.*\|$", table, re.MULTILINE)) >= 5, f"{name}: make numerics"


def test_ours_rejects_nothing_that_is_right() -> None:
    """The page says so."""
    heading, *_, last = ([cell.strip() for cell in row.split("|")] for row in FOUND["rejected"].strip().splitlines())
    assert last[heading.index("ours")] == "**0**"
    shares = re.findall(r"([\d.e-]+) / [\d.e-]+", FOUND["terms"])
    assert len(shares) > 100
    assert max(map(float, shares)) <= 1


def test_tables_go_where_they_belong_and_prose_stays() -> None:
    page = "before\n<!-- table: one -->\nold\n<!-- end -->\nbetween\n<!-- table: two -->\n<!-- end -->\nafter\n"
    made = filled(filled(page, {"one": "| 1 |", "two": "| 2 |"}), {"one": "| 3 |"})
    assert made == page.replace("old", "\n| 3 |\n").replace("two -->\n", "two -->\n\n| 2 |\n\n")
    with pytest.raises(KeyError, match="three"):
        filled(page, {"three": ""})


SMALL: dict[str, tuple[Any, int]] = {  # a table of a small size, and how many rows it has below its heading
    "rejected": (lambda: rejected((2,), 1), len(FAMILIES) + 1),
    "accepted": (lambda: passed((2,), 1), len(FAMILIES) + 1),
    "transforms": (lambda: transforms(5, ("Winograd2", "Fft")), 2),
    "terms": (lambda: by_terms(2, ((1, 1), (8, 31)), ("numpy",)), 8),
    "largest": (lambda: largest((1, 9)), 2),
    "integers": (lambda: integers(("float32", "TF32")), 2),
    "variances": (lambda: variances(8, 2, (0.0, 10.0)), 8),
    "classes": (lambda: classes(8, 2, (0, 50)), 7),
    "bugs": (lambda: bugs((4, 16), 2), 9),
    "warning": (lambda: warning((2,), 1), 5),
    "cost": (lambda: cost(2, ("linear", "max_pool2d"), ("float32",)), 2),
    "measured-on": (measured_on, 5),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_made(name: str) -> None:
    make, rows = SMALL[name]
    made: Rows = make()
    assert len(made) == rows + 1
    assert len({len(row) for row in made}) == 1
    assert MarkdownIt("commonmark").enable("table").render(markdown(made)).count("<tr>") == len(made)


def test_wrong_normalizations_are_told() -> None:
    """A misplaced eps where the variance is about eps, and not in a large set."""
    found = {row[0]: [float(cell) for cell in row[1:]] for row in bugs((8, 4096), 4)[1:]}
    assert found["right"][0] < 1 < found["eps missing"][0]
    assert found["eps missing"][2] < 1


def test_integers_tell_tf32_only_if_they_are_wide() -> None:
    found = {row[0]: [float(cell) for cell in row[1:]] for row in integers(("float32", "TF32"))[1:]}
    assert set(found["float32"]) == {1.0}
    assert found["TF32"][:3] == [1.0, 1.0, 1.0]
    assert max(found["TF32"][3:]) < 0.5


def test_the_rules_are_those_that_the_page_names() -> None:
    assert [cell.strip() for cell in FOUND["rejected"].strip().splitlines()[0].split("|")[3:-1]] == list(RULES)


def test_files_that_the_page_names_are_there() -> None:
    named = set(re.findall(r"`((?:reference|conformance|reports|tests|benchmarks)/[\w./]+)`", PAGE))
    bounds = ("rounding", "averages", "sets", "normalize", "running", "shards", "local_response_norm", "dropping")
    assert {f"reference/{bound}.py" for bound in bounds} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    for target in re.findall(r"\]\(([^)#\s]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


def test_markdown_is_read_as_it_is_meant() -> None:
    html = MarkdownIt("commonmark").enable("table").render(PAGE)
    assert "```" not in html
    assert html.count("<table>") == len(re.findall(r"^\|(?:-+:?\|)+$", PAGE, re.MULTILINE))
    for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table[:200]
