"""The verdicts: their words, glyphs, order and meaning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """One verdict: its word, a glyph that never stands alone, and whether the clause counts as exercised."""

    word: str
    glyph: str
    tone: str
    exercised: bool
    says: str  # in a sentence: "2 clauses <says>"
    meaning: str


# Worst first: the roll-up of several verdicts is the first of this list that occurs.
STATUSES = (
    Status("error", "!", "bad", False, "hit an error of the suite", "The suite itself went wrong."),
    Status("fail", "✕", "bad", True, "fail", "The clause is violated; a smallest failing case is below."),
    Status("crash", "☠\ufe0e", "bad", True, "crash", "The process that ran the backend died."),
    Status("timeout", "◷", "bad", True, "time out", "A case took longer than allowed."),
    Status("flaky", "~", "bad", True, "are flaky", "Same case, same input, different verdicts."),
    Status("fixed", "★", "warn", True, "are fixed", "A declared deviation is gone: take it off the list."),
    Status("deviation", "≈", "warn", True, "deviate as declared", "Declared before the run, and confirmed."),
    Status("thin", "◔", "warn", True, "are thin", "No counter-example, but too few cases to call it a pass."),
    Status("pass", "✓", "good", True, "pass", "No counter-example in the cases executed."),
    Status("unsupported", "–", "none", False, "are unsupported", "The backend says that it lacks this."),
    Status("not run", "○", "none", False, "were not run", "No case was run: budget, filter, run cut short."),
)
BY_WORD = {status.word: status for status in STATUSES}
RANK = {status.word: rank for rank, status in enumerate(STATUSES)}
FAILING = {"error", "fail", "crash", "timeout", "flaky"}
STAGES = ("drawing", "reference", "bound", "backend", "judging", "shrinking", "grading")


def status_of(word: str) -> Status:
    """The status called that; a word of a later version is shown, and ranks with the worst."""
    return BY_WORD.get(word) or Status(word, "?", "bad", False, f"are “{word}”", "Unknown to this version.")


def worst_status(words: Iterable[str]) -> Status:
    """The roll-up of the verdicts on one clause in several dtypes; of none, `not run`."""
    return status_of(min(words, key=lambda word: (RANK.get(word, -1), word), default="not run"))
