"""What a run drew, counted for its record."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from convspec.reference import OPS
from convspec.reference.data import KINDS
from convspec.reports.drawn import Drawn

from .table import Classes, Table


@cache
def table(op: str, strength: int) -> Table:
    """The combinations of the operation of this name."""
    return Table({o.name: o for o in OPS}[op], strength)


def drawn(
    op: str, dtype: str, problems: list[Classes], kinds: Counter[str], *, every_kind: bool, triples: bool
) -> Drawn:
    """Count the classes of these problems, their pairs and, if they were wanted, their triples; the kinds of data are
    the classes of one more feature, each of them wanted or not."""
    one, two = table(op, 1), table(op, 2)
    singles, pairs = one.counts(problems), two.counts(problems)
    asked = [k for k, f in enumerate(one.features) if not f.formats or dtype in f.formats]
    silent = {f.name for f in one.features if f.formats and dtype not in f.formats}
    found = Drawn(
        op=op,
        dtype=dtype,
        problems=len(problems),
        features={
            one.features[k].name: {c: int(singles[one.number[k][c]]) for c in one.features[k].classes} for k in asked
        },
        unmet=[name for name in one.missing(singles) if name.split("=")[0] not in silent],
        unmet_pairs=two.missing(pairs),
        impossible=two.excluded,
        left_out=one.left_out | two.left_out,
    )
    for a, b in combinations([k for k in asked if not one.features[k].alone], 2):
        found.pairs[f"{one.features[a].name} {one.features[b].name}"] = _matrix(two, pairs, a, b)
    found.features["data"] = {kind.name: kinds[kind.name] for kind in KINDS if every_kind or kinds[kind.name]}
    found.unmet += [f"data={kind.name}" for kind in KINDS if every_kind and not kinds[kind.name]]
    if triples:
        three = table(op, 3)
        counts = three.counts(problems)
        found.triples = [int(((counts > 0) & three.possible).sum()), int(three.possible.sum())]
        found.unmet_triples = three.missing(counts)
    return found


def _matrix(two: Table, counts: npt.NDArray[np.int64], a: int, b: int) -> str:
    rows, columns = (np.array([f.number[k][c] for c in f.features[k].classes]) for f, k in ((two, a), (two, b)))
    at = two.place(rows[:, None], columns)
    return "/".join(" ".join(str(counts[p]) if two.possible[p] else "-" for p in line) for line in at.tolist())
