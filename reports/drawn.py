"""What was drawn: the schema of coverage.json, and its reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

SHOWN = 24  # of what was not drawn, by name; coverage.json has all of it


class Drawn(msgspec.Struct, kw_only=True):
    """Which classes the problems of an operation and dtype had, those that clauses could try."""

    op: str
    dtype: str
    problems: int = 0
    features: dict[str, dict[str, int]] = {}  # of each feature: how many problems had each of its classes
    pairs: dict[str, str] = {}  # of each two features "a b": counts, a class of a from slash to slash, - if impossible
    unmet: list[str] = []  # classes that the rules allow and that no problem had
    unmet_pairs: list[str] = []  # pairs of classes alike, "a=x b=y"
    unmet_triples: list[str] = []  # triples that the rules may allow, where all were wanted
    impossible: dict[str, str] = {}  # pairs that no valid problem has, and why
    left_out: dict[str, str] = {}  # classes and pairs that valid problems have, but none that is drawn, and why
    triples: list[int] = []  # where all were wanted: how many of them were drawn, and how many the rules may allow

    @property
    def possible_pairs(self) -> int:
        return sum(count != "-" for counts in self.pairs.values() for count in counts.replace("/", " ").split())


@dataclass
class DrawnOp:
    """What was drawn of an operation, in all of its dtypes, as the page shows it."""

    op: str
    dtypes: list[str]
    problems: int
    features: list[tuple[str, list[tuple[str, int]]]]
    pairs: str
    triples: str
    left_out: list[tuple[str, list[str]]]  # why, and which classes and pairs
    lacking: list[tuple[str, int, list[str]]]  # dtype, how many classes and pairs were not drawn, the first of them
    lacking_triples: list[tuple[str, int, list[str]]]  # the same of triples, which no draw may be able to have


def by_operation(drawn: Iterable[Drawn]) -> list[DrawnOp]:
    """The record of each operation, its dtypes taken together; what was not drawn is told of each of them."""
    ops: dict[str, list[Drawn]] = {}
    for one in drawn:
        ops.setdefault(one.op, []).append(one)
    return [_together(op, records) for op, records in ops.items()]


def _together(op: str, records: list[Drawn]) -> DrawnOp:
    counts: dict[str, dict[str, int]] = {}
    for one in records:
        for feature, classes in one.features.items():
            total = counts.setdefault(feature, dict.fromkeys(classes, 0))
            for name, count in classes.items():
                total[name] = total.get(name, 0) + count
    triples = [one.triples for one in records if len(one.triples) == 2]
    return DrawnOp(
        op=op,
        dtypes=[one.dtype for one in records],
        problems=sum(one.problems for one in records),
        features=[(feature, list(classes.items())) for feature, classes in counts.items()],
        pairs=_of((one.possible_pairs - len(one.unmet_pairs), one.possible_pairs) for one in records),
        triples=_of((seen, possible) for seen, possible in triples),
        left_out=_by_reason(record.left_out for record in records),
        lacking=[
            (one.dtype, len(one.unmet) + len(one.unmet_pairs), [*one.unmet, *one.unmet_pairs][:SHOWN])
            for one in records
            if one.unmet or one.unmet_pairs
        ],
        lacking_triples=[
            (one.dtype, len(one.unmet_triples), one.unmet_triples[:SHOWN]) for one in records if one.unmet_triples
        ],
    )


def _by_reason(left_out: Iterable[dict[str, str]]) -> list[tuple[str, list[str]]]:
    found: dict[str, dict[str, None]] = {}
    for one in left_out:
        for name, why in one.items():
            found.setdefault(why, {})[name] = None
    return [(why, list(names)) for why, names in found.items()]


def _of(counts: Iterable[tuple[int, int]]) -> str:
    """Of the dtype in which the fewest were drawn."""
    fewest = min(counts, key=lambda count: count[0] - count[1], default=None)
    return "" if fewest is None else f"{fewest[0]:,} of {fewest[1]:,}"
