"""Every work that is cited anywhere is in the list of docs/numerics.md, which says whether it was read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIST = re.search(r"## 17\. Literature\n(.*?)\n## ", (ROOT / "docs/numerics.md").read_text("utf-8"), re.DOTALL)
PLACES = ("reference/*.py", "adapters/**/*.py", "adapters/kernel/*.[ch]", "conformance/**/*.py", "tests/broken/*.py")
PAGES = ("docs/numerics.md", "docs/drawing.md", "docs/grades.md", "docs/backends.md", "docs/spec/*.md", "README.md")

# "Wu and He 2018", "Ba et al. 2016", "Chan, Golub, LeVeque 1979", "Chernoff's (1952)"
NAME = r"[A-Z][a-zöü]+(?:[A-Z][a-z]+)?"
CITED = re.compile(rf"\b({NAME})(?:,? and {NAME}|, {NAME})*(?: et al\.)?(?:'s)?,? \(?((?:19|20)\d\d)\b")
NO_AUTHORS = re.compile(r"January|February|March|April|May|June|July|August|September|October|November|December|LeNet")


def cited(text: str) -> Iterator[tuple[str, str]]:
    """The first author and the year of every work."""
    for found in CITED.finditer(re.sub(r"[\s*]+", " ", text)):
        if not NO_AUTHORS.match(found[1]):
            yield found[1], found[2]


def everywhere() -> dict[tuple[str, str], str]:
    """Where each work is cited, the list itself aside."""
    assert LIST is not None
    found = {}
    for file in sorted(file for pattern in (*PLACES, *PAGES) for file in ROOT.glob(pattern)):
        for work in cited(file.read_text("utf-8").replace(LIST[1], "")):
            found.setdefault(work, file.relative_to(ROOT).as_posix())
    return found


def missing(works: dict[tuple[str, str], str]) -> list[str]:
    assert LIST is not None
    items = re.split(r"\n- ", LIST[1])
    return [
        f"{place}: {author} {year}"
        for (author, year), place in works.items()
        if not any(author in item and year in item for item in items)
    ]


def test_every_work_is_in_the_list() -> None:
    works = everywhere()
    assert len(works) > 15, works
    assert missing(works) == []


def test_the_list_tells_what_was_read_from_what_was_not() -> None:
    assert LIST is not None
    read, remembered = LIST[1].split("\nFrom memory")
    assert read.count("\n- ") > 10
    assert remembered.count("\n- ") > 10
    assert "\nRead, " in read


@pytest.mark.parametrize(
    ("text", "works"),
    [
        ("as in Wu and\nHe 2018, and", [("Wu", "2018")]),
        ("(Chan, Golub, LeVeque 1979)", [("Chan", "1979")]),
        ("Ba et al. 2016; Chernoff's (1952)", [("Ba", "2016"), ("Chernoff", "1952")]),
        ("of 14 March 2025, and the LeNet 1998", []),
    ],
)
def test_a_citation_is_seen(text: str, works: list[tuple[str, str]]) -> None:
    assert list(cited(text)) == works


def test_a_work_that_is_not_listed_is_missed() -> None:
    assert missing({("Nobody", "1999"): "here.py", ("Ba", "2016"): "there.py"}) == ["here.py: Nobody 1999"]
