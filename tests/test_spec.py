"""The pages of the specification say what the classes say, and every item of the lecture has come to something."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from convspec.cli import main
from convspec.conformance import entries
from convspec.conformance.checks import all_clauses, clauses_of
from convspec.conformance.spec_pages import pages, prose, write
from convspec.reference import OPS, SPECIFIED, Op
from convspec.reference.lecture import items, labels, readings, sources
from convspec.reference.notes import derivation, noted, notes_of, versions

from .broken import TABLE

# Demands whose operations are still to come. It only ever shrinks, and is empty when they are there.
PENDING: dict[str, str] = {}

# Operations that the notes and the lecture speak of before there is a class.
COMING: set[str] = set()

DOCS = Path(__file__).parent.parent / "docs"
PAGES = pages()
NAMES = {op.name for op in SPECIFIED}
CLAUSES = {clause.name: clause for clause in all_clauses()}


def test_the_pages_are_those_of_the_classes() -> None:
    there = {path.relative_to(DOCS).as_posix() for path in (*(DOCS / "spec").glob("*.md"), DOCS / "coverage.md")}
    assert there == PAGES.keys(), "make spec"
    stale = [path for path, text in PAGES.items() if (DOCS / path).read_text("utf-8") != text]
    assert stale == [], "make spec"


def test_pages_of_operations_that_are_no_more_are_removed(tmp_path: Path) -> None:
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec" / "conv9d.md").write_text("old")
    write(tmp_path)
    assert {p.name for p in (tmp_path / "spec").iterdir()} == {f"{name}.md" for name in NAMES} | {"README.md"}


@pytest.mark.parametrize("op", SPECIFIED, ids=lambda op: op.name)
def test_a_page_tells_everything(op: type[Op]) -> None:
    page = PAGES[f"spec/{op.name}.md"]
    for clause in clauses_of(op):
        assert page.count(f'<a id="{clause.name}"></a>') == 1
        assert prose(clause.text) in page
        if clause.kind == "rule":
            assert entries.breaking(clause) in page, clause.name
            assert entries.breaking(clause), f"no problem was drawn that breaks {clause.name}"
        if clause.kind == "example":
            assert "gives " in "\n".join(entries.shown(clause))
    for field in entries.fields_of(op):
        assert field.meaning, f"{op.name}.{field.name} has no comment that says what it is"
    own = (op.judgement, op.judgements) != (Op.judgement, Op.judgements)
    assert not own or "```text" in page.partition("## How far")[2], f"{op.name} does not derive its bound"


@pytest.mark.parametrize("name", sorted({*noted(), *(op.name for op in OPS)}))
def test_notes(name: str) -> None:
    notes = notes_of(name)
    for latex in (notes.formula, notes.size):
        assert latex, f"reference/notes/{name}.toml lacks a formula or a size"
        bare = latex.replace(r"\{", "").replace(r"\}", "")
        assert bare.count("{") == bare.count("}")
        assert latex.count(r"\left") == latex.count(r"\right")
        assert latex.count(r"\begin") == latex.count(r"\end")
        assert "operatorname" not in latex, "GitHub does not render it"
    for source in notes.bound:
        assert derivation(source)
    known = set(re.findall(r"\w+", " ".join(versions()))) | {"Keras", "Flax", "SciPy", "NumPy", "libraries"}
    for difference in notes.differences:
        assert difference.question.endswith(("?", ")"))
        assert difference.ours
        for libraries, answer in difference.libraries:
            assert known & set(re.findall(r"\w+", libraries)), libraries
            assert answer


def test_notes_are_of_operations() -> None:
    assert set(noted()) - NAMES <= COMING, "notes on an operation that does not exist"
    assert not COMING & NAMES, "it is there: take it out of COMING"
    spoken = {op for told in (*items().values(), *readings().values()) for op in told.operations}
    assert spoken <= NAMES | COMING


def test_every_item_and_every_error_of_the_lecture_has_a_row() -> None:
    assert list(items()) == [f"L{number:03}" for number in range(1, 104)]
    assert list(readings()) == [f"E{number:02}" for number in range(1, 31)]
    for name, told in {**items(), **readings()}.items():
        assert set(told.labels) <= labels().keys(), name
        answer = entries.answer(name, told.labels, told.operations)
        assert answer.clauses or answer.sums or answer.told or getattr(told, "why", ""), name
        assert f'<a id="{name}"></a>' in PAGES["coverage.md"]


def test_every_demand_is_answered_or_a_reason_is_given() -> None:
    pending, listed = set(entries.pending()), {name for names in PENDING.values() for name in names.split()}
    assert pending - listed == set(), "demands that nothing answers"
    assert listed - pending == set(), "they are answered, or no demands: take them out of PENDING"


def test_sources_are_known() -> None:
    known = labels().keys() | items().keys() | readings().keys()
    for clause in CLAUSES.values():
        assert sources(clause), f"{clause.name} names no source"
        assert set(sources(clause)) <= known, clause.name
    for name, label in labels().items():
        assert set(label.by) <= CLAUSES.keys(), name


def test_every_clause_of_the_coverage_is_tested() -> None:
    tested = {name for entry in TABLE for name in entry.clauses}
    named = {clause.name for clauses in entries.answers().values() for clause in clauses}
    assert named - tested == set()
    linked = set(re.findall(r"\.md#(\w+\.\w+)", PAGES["coverage.md"]))
    assert linked <= CLAUSES.keys()
    assert CLAUSES.keys() - linked == set(), "clauses that answer no demand"


def test_the_sums_hold() -> None:
    sums = [equation for label in labels().values() for equation in label.sums]
    assert len(sums) >= 10
    for equation in sums:
        assert re.fullmatch(r"[\d +*()-]+ == [\d +]+", equation), equation
        assert eval(equation) is True, equation


def anchors(text: str) -> set[str]:
    return set(re.findall(r'<a id="([^"]+)"></a>', text))


@pytest.mark.parametrize("path", PAGES)
def test_links_lead_somewhere(path: str) -> None:
    assert len(re.findall(r"<a id=", PAGES[path])) == len(anchors(PAGES[path])), "an anchor twice"
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[path]):
        file, _, anchor = target.partition("#")
        found = (Path("/docs") / path).parent.joinpath(file).resolve().relative_to("/docs") if file else Path(path)
        assert found.as_posix() in PAGES, target
        assert not anchor or anchor in anchors(PAGES[found.as_posix()]), target


@pytest.mark.parametrize("path", PAGES)
def test_markdown_is_read_as_it_is_meant(path: str) -> None:
    html = MarkdownIt("commonmark").enable("table").render(PAGES[path])
    prose = re.sub(r"<code.*?</code>", "", html, flags=re.DOTALL)
    assert "<em>" not in prose, "a star or an underscore was read as emphasis"
    assert "```" not in html
    assert html.count("<table>") == len(re.findall(r"^\|(?:-+:?\|)+$", PAGES[path], re.MULTILINE))
    for table in re.findall(r"(?:^\|.*\n)+", PAGES[path], re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table[:200]


def spec(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["spec", *arguments])
    return done.exit_code, done.output


def test_the_table_of_contents_in_the_terminal() -> None:
    code, shown = spec()
    assert code == 0
    assert re.search(rf"^in all +{len(CLAUSES)} ", shown, re.MULTILINE)
    for op in SPECIFIED:
        assert re.search(rf"^{op.name} +{len(clauses_of(op))} ", shown, re.MULTILINE)


def test_an_operation_in_the_terminal() -> None:
    for name in ("conv2d", "Conv2d"):
        code, shown = spec(name)
        assert code == 0
        assert "y[n,k,i,j] = bias[k] + sum over c, r, s of" in shown
        assert "blocks of channels, each with filters of its own = 1" in shown
        assert "Laws (" in shown
        assert "\n  groups_are_separate\n" in shown


def test_a_clause_in_the_terminal() -> None:
    assert "Breaks it: conv2d x(1,3,1,1) weight(2,1,1,1) groups=2" in spec("conv2d.groups_divide_channels")[1]
    assert "rule, core; source: CONV-12" in spec("conv2d.groups_divide_channels")[1]
    assert "gives y:\n  6 8\n  3 4\n" in spec("max_pool2d.the_lectures_four_by_four")[1]


def test_a_pattern_in_the_terminal() -> None:
    code, shown = spec("conv2d.groups_*")
    assert code == 0
    assert "conv2d.groups_are_separate (law)" in shown
    assert "max_pool2d" not in shown
    assert re.search(rf"\d of {len(CLAUSES)} clauses", shown)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("conv2d.groups_are_seperate", "did you mean conv2d.groups_are_separate"),
        ("the_rgb_example", "did you mean conv2d.the_rgb_example?"),
        ("konv2d", "did you mean conv2d"),
        ("conv9d.*", "no clause fits 'conv9d.*'"),
        ("qqq", "no operation or clause 'qqq'\n"),
    ],
)
def test_an_unknown_name_is_told_in_one_line(name: str, told: str) -> None:
    code, shown = spec(name)
    assert code == 4
    assert told in shown
    assert shown.count("\n") == 1
