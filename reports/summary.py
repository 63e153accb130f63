"""The summary of a run in Markdown: what fits into a pull request or a job log."""

from __future__ import annotations

import re
from pathlib import Path

from convspec.reports.page import lay_out
from convspec.reports.record import read_run, write_whole
from convspec.reports.status import BY_WORD
from convspec.reports.text import variant, visible


def write_summary(run_folder: Path) -> Path:
    """Write `<run>/summary.md`: the verdicts and the failures in short."""
    page = lay_out(read_run(run_folder))
    info = page.info
    lines = [f"# convspec {_code(info.suite)}: {_code(info.profile)}, seed {info.seed}", ""]
    for banner in page.banners:
        lines += [f"> **{_code(banner)}**", ">"]
    if page.banners:
        lines[-1] = ""
    lines += [
        "| backend | verdict | passed / exercised | thin | unsupported | not run | worst error / bound |",
        "|---|---|---|---|---|---|---|",
    ]
    for card in page.cards:
        tally = card.tally
        worst = f"{card.worst.text} ({_code(card.worst.cell.clause)})" if card.worst else "none measured"
        others = f"{tally['thin']} | {tally['unsupported']} | {tally['not run']}"
        verdict = card.sentence if all(word in BY_WORD for word in tally.counts) else _code(card.sentence)
        passed = f"{tally['pass']}/{tally.exercised}"
        lines.append(f"| {_code(card.backend.name)} | {card.glyph} {verdict} | {passed} | {others} | {worst} |")
    if page.groups:
        lines += ["", "## Failures", ""]
    for group in page.groups:
        first = group.failures[0]
        more = len(group.failures) - 1
        also = f", and {more} more alike" if more else ""
        of = variant(first.failure.dtype, first.failure.arithmetic)
        what = f"{_code(first.clause.name)} {_code(of)}: {_code(group.cause)}{also}"
        problem = first.failure.message.strip().splitlines()[:1] or [first.failure.summary]
        lines += [
            f"- {_code(group.backend)} {what}",
            f"  - {_code(problem[0])}",
            f"  - {_code(first.command)}",
        ]
    if page.warnings:
        lines += ["", "## Warnings", "", "No verdict changes because of them:", ""]
    for w in page.warnings:
        what = f"{w.backend} {w.cell.op} {variant(w.cell.dtype, w.cell.arithmetic)}"
        on = f", on {_code(w.cell.rms_case)}" if w.cell.rms_case else ""
        lines.append(f"- {_code(what)}: {w.warning} {_code(w.cell.clause)}{on}")
    if any(g.short for g in page.graded):
        lines += ["", "## Arithmetic", "", "Less was found than is declared:", ""]
    lines += [f"- {_code(f'{g.name} {s.where}')}: {_code(s.found)}" for g in page.graded for s in g.short]
    lacking = [(d.op, *of_dtype) for d in page.drawn_ops for of_dtype in d.lacking]
    if lacking:
        lines += ["", "## Not drawn", "", "Classes and pairs of classes that the rules allow:", ""]
    for op, dtype, count, names in lacking:
        rest = f" and {count - 3} more" if count > 3 else ""
        lines.append(f"- {_code(op)} {_code(dtype)}: {', '.join(_code(name) for name in names[:3])}{rest}")
    path = run_folder / "summary.md"
    write_whole(path, ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
    return path


def _code(text: str) -> str:
    """Foreign text in a code span, in which Markdown has no markup; longer than 200 characters, cut."""
    text = re.sub(r"\s+", " ", visible(text)).strip()
    text = (text if len(text) <= 200 else text[:199] + "…").replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}" if text else ""
