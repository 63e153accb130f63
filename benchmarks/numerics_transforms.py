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
    and what two clauses say of it undeclared."""
    engine = Engine(Settings(profile=PROFILES["default"], examples=examples, shrink_calls=1))
    told = ("within_the_bound", "one_pixel_outshines_the_rest")
    bound, outshone = (next(one for one in clauses_of(Conv2d) if one.name == f"conv2d.{name}") for name in told)
    rows = [["simulated", "declared as", "largest error / bound", *(f"undeclared: `{name}`" for name in told)]]
    for name in names:
        declared, strict = (
            Backend.of(name, type(name, (getattr(simulated, name),), {"arithmetic": arithmetic})(), "file")
            for arithmetic in (DECLARED[name], "ieee")
        )
        largest = float(engine.run(bound, declared, "float32").cell.worst or 0)
        undeclared = [engine.run(clause, strict, "float32").cell.status for clause in (bound, outshone)]
        rows.append([name, f"`{DECLARED[name]}`", f"{largest:.2g}", *undeclared])
    return rows
