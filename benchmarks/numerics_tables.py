"""Measure the tables of docs/numerics.md anew.

    python -m benchmarks.numerics_tables [--write docs/numerics.md] [--only NAME]

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; what is written between other lines is left alone. All
seeds are fixed, so that only times and what libraries compute may change. It takes a few minutes on one core. Without
--write the tables are printed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported

import argparse
import platform
import re
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

from .numerics_norms import bugs, classes, cost, variances
from .numerics_rules import Rows, passed, rejected, warning
from .numerics_sums import by_terms, integers, largest
from .numerics_transforms import transforms


def measured_on() -> Rows:
    """What the other tables were measured with."""
    made = [["", ""], ["numpy", version("numpy")], ["torch", version("torch")], ["Python", platform.python_version()]]
    cpu = f"{platform.machine()}, instruction sets up to {torch.backends.cpu.get_cpu_capability()}"
    return [*made, ["processor", cpu], ["threads", "1"]]


TABLES: dict[str, Callable[[], Rows]] = {
    "rejected": rejected,
    "accepted": passed,
    "transforms": transforms,
    "terms": by_terms,
    "largest": largest,
    "integers": integers,
    "variances": variances,
    "classes": classes,
    "bugs": bugs,
    "warning": warning,
    "cost": cost,
    "measured-on": measured_on,
}


def markdown(rows: Rows) -> str:
    """A table of which the first column is words, the others figures."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---|" + "---:|" * (len(rows[0]) - 1), *lines[1:]])


def filled(page: str, tables: dict[str, str]) -> str:
    """The page with these tables between their markers. Raises KeyError for a table that has no place."""
    for name, table in tables.items():
        place = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not place.search(page):
            raise KeyError(f"no place for the table {name}")
        page = place.sub(lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", page)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables where they belong in this page")
    parser.add_argument("--only", choices=TABLES, help="this table alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tables = {}
    for name, make in TABLES.items():
        if options.only in (None, name):
            start = time.perf_counter()
            tables[name] = markdown(make())
            print(f"{name}: {time.perf_counter() - start:.1f} s")
            if not options.write:
                print(tables[name], end="\n\n")
    if options.write:
        options.write.write_text(filled(options.write.read_text(), tables))


if __name__ == "__main__":
    main()
