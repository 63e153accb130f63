"""What a run was asked to do."""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """How hard to try: cases per clause, and multiplications that one problem may take."""

    name: str
    examples: int
    budget: int


PROFILES = {
    p.name: p
    for p in (Profile("smoke", 10, 20_000), Profile("default", 100, 100_000), Profile("thorough", 1000, 400_000))
}

# A clause tried on fewer cases than this in the default profile is shown as thin, never as a plain pass.
THIN = 30


@dataclass(frozen=True)
class Settings:
    """The options of a run that decide what is drawn and judged."""

    profile: Profile = PROFILES["default"]
    examples: int = 100
    seed: int = 0
    level: str = "strict"
    shrink_calls: int = 500
    shrink_seconds: float = 5.0

    @property
    def by_kind(self) -> bool:
        """Do the clauses about values choose the data of the stored rows? With few cases all kinds are wanted."""
        return self.examples >= PROFILES["default"].examples

    @property
    def whole_rows(self) -> bool:
        """Do the clauses about values try all stored rows, if those are more than the cases of a clause?"""
        return self.examples >= self.profile.examples

    def command(self, backend: str, clause: str, dtype: str) -> str:
        """What tries one clause again, on the same cases."""
        parts = [f"--backend={backend}", f"--clause={clause}", f"--dtype={dtype}", f"--profile={self.profile.name}"]
        parts += [f"--examples={self.examples}"] * (self.examples != self.profile.examples)
        parts += [f"--seed={self.seed}"] * bool(self.seed)
        return shlex.join(["convspec", "run", *parts])
