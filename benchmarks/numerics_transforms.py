"""The table of docs/numerics.md about declared transforms: how near to their bounds simulated ones come."""

from __future__ import annotations

from convspec.adapters import Backend
from convspec.conformance.checks import clauses_of
from convspec.conformance.engine import Engine
from convspec.conformance.settings import PROFILES, Settings
from convspec.reference import Conv2d
from tests import simulated

from .numerics_rules import Rows

DECLARED = {
    "Winograd2": "winograd_f2",
    "Winograd4": "winograd_f4",
    "Winograd6": "winograd_f6",
    "TiledFft": "fft_tiled",
    "Fft": "fft",
    "Strassen": "fft",
}


def transforms(examples: int = PROFILES["default"].examples, names: tuple[str, ...] = tuple(DECLARED)) -> Rows:
    """The largest error over the bound that `conv2d.within_the_bound` sees of each, declared, in the default profile;
    and what becomes of it undeclared."""
    engine = Engine(Settings(profile=PROFILES["default"], examples=examples, shrink_calls=1))
    clause = next(one for one in clauses_of(Conv2d) if one.name == "conv2d.within_the_bound")
    rows = [["simulated", "declared as", "largest error / bound", "undeclared"]]
    for name in names:
        found = []
        for arithmetic in (DECLARED[name], "ieee"):
            cls = type(name, (getattr(simulated, name),), {"arithmetic": arithmetic})
            found.append(engine.run(clause, Backend.of(name, cls(), "file"), "float32").cell)
        rows.append([name, f"`{DECLARED[name]}`", f"{float(found[0].worst or 0):.2g}", found[1].status])
    return rows
