"""Are the bounds sound? Legitimate implementations on toy machines, millions of outputs, against the exact truth.

    python -m benchmarks.soundness [--outputs N] [--seed S] [--write FILE]

In float32 a bound that is wrong at second order looks right: T*u is 1e-5. In a format of four bits it is one half.
Every answer is judged as the suite judges an answer of a backend. Exit status 1 if one is rejected.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convspec.conformance.compare import accepted

from .toy_dots import Answer, dots, illegitimate
from .toy_elements import averages, responses, scaled
from .toy_gradients import averages as average_gradients
from .toy_gradients import products
from .toy_networks import stacks
from .toy_norm_gradients import normalizations
from .toy_shards import merged_statistics
from .toy_statistics import means_and_variances, normalized, running_statistics
from .toy_ties import maxima

BATCH = 100  # outputs that are simulated together


@dataclass
class Row:
    """What became of the answers of one kind."""

    outputs: int = 0
    violations: int = 0
    worst: float = 0.0  # the largest error over tolerance
    first: str = ""  # the first answer that was rejected

    def add(self, answer: Answer) -> None:
        ok, ratio = accepted(answer.actual, answer.truth, answer.declared)
        self.outputs += ok.size
        judged = ratio[(ratio <= 1) | ~ok]  # others are flushed or beyond the range: no error that was to be bounded
        self.worst = max(self.worst, float(judged.max(initial=0.0)))
        bad = np.argwhere(~ok)
        self.violations += len(bad)
        if len(bad) and not self.first:
            at = tuple(bad[0])
            tolerance, form = answer.truth.bound.tolerance[at], answer.declared.acc
            got, due = answer.actual[at], answer.truth.hi[at]
            self.first = f"got {got:.9g}, due {due:.9g}, tolerance {tolerance:.9g}, accumulated in {form.p} bits"


Table = dict[tuple[str, str], Row]
Source = Callable[[np.random.Generator, int], Iterator[Answer]]

# Each kind of operation with its share of the outputs.
SOURCES: dict[str, tuple[Source, float]] = {
    "sums of products": (dots, 1.0),
    "averages of windows": (averages, 0.2),
    "means and variances": (means_and_variances, 0.2),
    "normalized outputs": (normalized, 0.2),
    "running statistics": (running_statistics, 0.1),
    "statistics merged from those of devices": (merged_statistics, 0.1),
    "local response normalization": (responses, 0.1),
    "dropout": (scaled, 0.05),
    "gradients of convolutions and fully connected layers": (products, 0.1),
    "gradients of average pooling": (average_gradients, 0.1),
    "gradients of max pooling": (maxima, 0.05),
    "gradients of normalizations": (normalizations, 0.1),
    "layers one after another": (stacks, 0.1),
}

# What may not pass, of sums of products on the same data. Its violations are as they should be.
SPOILT = "what is not legitimate, and is found"


def tally(answers: Iterable[Answer], table: Table, most: int) -> int:
    """Judge answers, and count them into the table, until there are so many outputs."""
    count = 0
    for answer in answers:
        table.setdefault((answer.arithmetic, answer.way), Row()).add(answer)
        count += answer.actual.size
        if count >= most:
            break
    return count


def measure(source: Source, outputs: int, seed: int, batch: int = BATCH) -> Table:
    """Round after round of new problems until so many outputs have been judged."""
    table: Table = {}
    done, random = 0, np.random.default_rng(seed)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        while done < outputs:
            done += tally(source(random, batch), table, outputs - done)
    return table


def together(table: Table) -> Table:
    """The ways that begin alike in one row, the first of their violations in it."""
    rows: Table = {}
    for (arithmetic, way), row in sorted(table.items()):
        sum_of = rows.setdefault((arithmetic, way.split(",")[0]), Row())
        sum_of.outputs += row.outputs
        sum_of.violations += row.violations
        sum_of.worst = max(sum_of.worst, row.worst)
        sum_of.first = sum_of.first or row.first
    return rows


def lines(tables: dict[str, Table]) -> Iterator[str]:
    for title, every in tables.items():
        table = together(every)
        total = sum(row.outputs for row in table.values())
        yield f"## {title[0].upper()}{title[1:]}: {total:,} outputs\n"
        yield "| arithmetic | way | outputs | violations | largest error/tolerance |"
        yield "|---|---|---:|---:|---:|"
        for (arithmetic, way), row in sorted(table.items()):
            yield f"| {arithmetic} | {way} | {row.outputs:,} | {row.violations:,} | {row.worst:.3f} |"
        yield ""
        if title != SPOILT:
            found = {arithmetic: f"{way}: {row.first}" for (arithmetic, way), row in table.items() if row.first}
            for arithmetic, first in found.items():
                yield f"A violation of {arithmetic}, {first}"


HEAD = """# Are the bounds sound?

Written by `python -m benchmarks.soundness --write {page}`, with seed {seed}. Legitimate implementations,
simulated on toy machines of 3 to 8 significand bits with exponents from -6 to 7, are judged against the exact truth as
the suite judges a backend. There a bound that holds to first order only does not hold. A ratio near 1 says that the
bound is attained; of a variance and what is made of it, the bound allows for the worst way to compute it, in one pass.
Last come wrong implementations on the same data: outputs of three bits or many terms, whose bounds say little, are
among them.

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--outputs", type=int, default=10_000_000, help="outputs of sums of products")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="one kind of operation")
    parser.add_argument("--write", type=Path, help="the page to write the tables to")
    options = parser.parse_args()
    tables = {}
    for title, (source, share) in SOURCES.items():
        if options.only in title:
            start = time.perf_counter()
            tables[title] = measure(source, int(options.outputs * share), options.seed)
            print(*lines({title: tables[title]}), f"{time.perf_counter() - start:.0f} s\n", sep="\n", flush=True)
    right = not any(row.violations for table in tables.values() for row in table.values())
    tables[SPOILT] = measure(illegitimate, options.outputs // 50, options.seed)
    print(*lines({SPOILT: tables[SPOILT]}), sep="\n")
    if options.write:
        text = HEAD.format(page=options.write, seed=options.seed) + "\n".join(lines(tables))
        options.write.write_text(text.rstrip() + "\n")
    return int(not right)


if __name__ == "__main__":
    raise SystemExit(main())
