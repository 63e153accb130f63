"""Imports run downwards only, and never by a bare folder name."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY = {
    "reference": set(),
    "adapters": {"reference"},
    "conformance": {"reference", "adapters", "reports"},
    "reports": set(),
}
FILES = [(room, path) for room in MAY for path in sorted((ROOT / room).rglob("*.py"))]


def imported(path: Path, room: str) -> set[str]:
    """Every module that a file imports, relative ones written out."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            depth = len(path.relative_to(ROOT).parts) - 1
            inside = ("convspec." if node.level > depth else f"convspec.{room}.") if node.level else ""
            names.add(inside + (node.module or ""))
    return names


@pytest.mark.parametrize(("room", "path"), FILES, ids=lambda v: v.name if isinstance(v, Path) else v)
def test_imports_run_downwards(room: str, path: Path) -> None:
    for name in imported(path, room):
        parts = name.split(".")
        assert parts[0] not in MAY, f"{path.name} imports {name} by a bare folder name"
        if parts[0] == "convspec" and len(parts) > 1 and parts[1] in MAY:
            assert parts[1] in MAY[room] | {room}, f"{path.name} imports {name}"


def test_the_reference_needs_numpy_and_the_standard_library_only() -> None:
    import sys

    known = set(sys.stdlib_module_names) | {"numpy", "convspec"}
    for path in (ROOT / "reference").glob("*.py"):
        outside = {name.split(".")[0] for name in imported(path, "reference")} - known
        # bfloat16 is no NumPy dtype of its own: ml_dtypes registers it, imported only where it is asked for.
        assert outside <= ({"ml_dtypes"} if path.name == "formats.py" else set()), path.name
