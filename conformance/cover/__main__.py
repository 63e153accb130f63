"""`python -m convspec.conformance.cover [OPERATION ...]`: search for the rows and store them beside this file."""

from __future__ import annotations

import json
import sys
import time

import msgspec

from convspec.reference import OPS

from . import HERE, Rows, fingerprint, rows_of, stored
from .search import Search


def main(names: list[str]) -> None:
    for op in OPS:
        if not op.features or (names and op.name not in names):
            continue
        start = time.monotonic()
        search = Search(op)
        rows, pairs, unmet = search.rows(most=400, draws=30_000, steps=60, tries=5)
        found = Rows(op=op.name, pairs=pairs, unmet=unmet, rows=[" ".join(map(str, one.row)) for one in rows])
        _write(found)
        found.problems = fingerprint(op)
        _write(found)
        print(
            f"{op.name}: {pairs} rows hold every pair, {len(rows)} all triples but {len(unmet)}; "
            f"{search.drawn} drawn, {time.monotonic() - start:.0f} s",
            flush=True,
        )


def _write(found: Rows) -> None:
    text = json.dumps(msgspec.to_builtins(found), indent=0)
    (HERE / f"{found.op}.json").write_text(text + "\n")
    stored.cache_clear()
    rows_of.cache_clear()


main(sys.argv[1:])
