"""A name for the state of the sources, so that what was measured is known to be of this state or of another."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def fingerprint(*folders: str) -> str:
    """Sixteen hexadecimal digits that change with any source or data file in these folders."""
    whole = hashlib.sha256()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".c", ".h", ".toml", ".json"):
                whole.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return whole.hexdigest()[:16]
