"""`python -m convspec.conformance.cover [--more] [OPERATION ...]`: search for the rows and store them beside this file.

With --more the rows that are stored stay, and some are put behind those that hold the pairs, for classes that stand
alone and are new. They stay what they were only as long as the choices of the draws are the same.
"""

from __future__ import annotations

import json
import sys
import time

import msgspec

from convspec.reference import OPS, Op

from . import HERE, Rows, fingerprint, rows_of, stored
from .search import Search


def main(names: list[str], more: bool) -> None:
    for op in OPS:
        if not op.features or (names and op.name not in names):
            continue
        start = time.monotonic()
        search = Search(op)
        if more:
            _extend(op, search)
            continue
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


def _extend(op: type[Op], search: Search) -> None:
    found, rows = stored(op.name), rows_of(op.name, True)
    new = [" ".join(map(str, one.row)) for one in search.extended(rows, found.pairs, draws=6000, steps=400)]
    found.rows[found.pairs : found.pairs] = new
    found.pairs += len(new)
    _write(found)
    found.problems = fingerprint(op)
    _write(found)
    print(f"{op.name}: {len(new)} rows more, {found.pairs} hold every pair", flush=True)


def _write(found: Rows) -> None:
    text = json.dumps(msgspec.to_builtins(found), indent=0)
    (HERE / f"{found.op}.json").write_text(text + "\n")
    stored.cache_clear()
    rows_of.cache_clear()


main([name for name in sys.argv[1:] if name != "--more"], "--more" in sys.argv)
