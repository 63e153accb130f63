"""The verdict on a backend in words: how many clauses came to what, and the sentence that says so."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from convspec.reports.record import Run
from convspec.reports.status import BY_WORD, FAILING, RANK, Status, status_of, worst_status


@dataclass
class Tally:
    """Clauses by status, for one backend: of one operation or of all."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, status: Status) -> None:
        self.counts[status.word] += 1

    def __getitem__(self, word: str) -> int:
        return self.counts.get(word, 0)

    @property
    def exercised(self) -> int:
        return sum(n for word, n in self.counts.items() if status_of(word).exercised)

    @property
    def worst(self) -> Status:
        return worst_status(self.counts)


def sentence(tally: Tally, complete: bool) -> tuple[str, str, str]:
    """The verdict in words; it never claims more than that no counter-example was found."""
    so_far = "" if complete else " so far"
    counted = sorted(tally.counts, key=lambda word: (RANK.get(word, -1), word))
    said = [(word, tally[word]) for word in counted if status_of(word).tone in ("bad", "warn")]
    if said:
        parts = []
        for number, (word, count) in enumerate(said):
            noun = "" if number else "clause " if count == 1 else "clauses "
            says = status_of(word).says
            parts.append(f"{count} {noun}{_singular(says) if count == 1 else says}")
        if not any(word in FAILING or word not in BY_WORD for word, _ in said):
            found = f"no counter-example in {_clause_count(tally.exercised)}{so_far}"
            return "warn", status_of(said[0][0]).glyph, f"{found}; {', '.join(parts)}"
        return "bad", status_of(said[0][0]).glyph, ", ".join(parts) + so_far
    if tally.exercised == 0:
        return "none", "○", "nothing was exercised" + so_far
    return "good", "✓", f"no counter-example found in {_clause_count(tally.exercised)}{so_far}"


def _singular(says: str) -> str:
    verb, _, rest = says.partition(" ")
    verb = {"are": "is", "were": "was", "crash": "crashes"}.get(verb, verb + "s" if verb != "hit" else "hits")
    return f"{verb} {rest}".strip()


def _clause_count(number: int) -> str:
    return f"{number} clause" + ("" if number == 1 else "s")


def banners(run: Run) -> list[str]:
    """What is to be read before any verdict: that the run did not end, and what it was stamped with."""
    said = []
    if not run.info.complete:
        done = sum(cell.status != "not run" for cell in run.cells)
        planned = f"{done:,} of {run.info.planned_cells:,}" if run.info.planned_cells else f"{done:,}"
        why = " The run was interrupted." if run.info.interrupted else ""
        said.append(f"Incomplete: {planned} cells were run.{why}")
    return said + [stamp[:1].upper() + stamp[1:] for stamp in run.info.stamps]
