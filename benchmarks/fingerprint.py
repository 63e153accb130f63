"""A name for the state of the sources, so that what was measured is known to be of this state or of another."""

from __future__ import annotations

import ast
import hashlib
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from convspec.reference import SPECIFIED
from convspec.reference.formats import FORMATS

ROOT = Path(__file__).parents[1]
KINDS = (".py", ".c", ".h", ".toml", ".json")

# What finds out, hands out or tells, and decides no verdict.
TELLING = (
    "reports/",
    "conformance/grading",
    *(
        f"conformance/{name}.py"
        for name in ("plugin", "replay", "reproduce", "script", "shrink", "smaller", "spec_pages", "terminal")
    ),
)
DEVIATIONS = "conformance/deviations-*.toml"

# Which operations of a backend the clauses of an operation call besides its own; tests/test_soak.py watches them do it.
CALLS = {
    "convolve2d": ("conv2d",),
    "conv2d": ("linear", "locally_connected2d"),
    "locally_connected2d": ("conv2d", "linear"),
    "max_pool2d": ("relu",),
    "avg_pool2d": ("conv2d", "max_pool2d"),
    "batch_norm2d": ("conv2d", "instance_norm2d"),
    "sync_batch_norm2d": ("batch_norm2d",),
    "group_norm": ("instance_norm2d", "layer_norm"),
    "pixel_group_norm": ("group_norm", "layer_norm"),
    "conv2d_backward": ("conv2d",),
    "linear_backward": ("linear",),
    "relu_backward": ("relu",),
    "avg_pool2d_backward": ("avg_pool2d",),
    "max_pool2d_backward": ("max_pool2d",),
    "batch_norm2d_backward": ("batch_norm2d", "group_norm_backward"),
    "layer_norm_backward": ("layer_norm",),
    "group_norm_backward": ("group_norm", "layer_norm_backward"),
    "stack": ("avg_pool2d", "conv2d", "linear", "max_pool2d", "relu"),
    "conv_block": (
        *("avg_pool2d", "batch_norm2d", "conv2d", "group_norm", "instance_norm2d", "layer_norm", "max_pool2d"),
        *("pixel_group_norm", "relu"),
    ),
    "lenet5": ("avg_pool2d", "conv2d", "linear", "max_pool2d", "relu"),
}
OPERATIONS = frozenset(op.name for op in SPECIFIED)
# What adapters hold for one operation beside the method of its name.
HELPERS = {name: "conv2d" for name in ("may_end_the_process", "is_wrong")}


@cache
def of_operation(op: str, *also: str, dtype: str = "") -> str:
    """Sixteen hexadecimal digits that change with what decides a verdict on an operation, in this dtype if one is
    named, and with these places."""
    excused = [(file, excuses(file, op)) for file in sorted(ROOT.glob(DEVIATIONS))]
    told = repr([(file.name, said) for file, said in excused if said])
    return _digest(deciding(op) | set(_files(*also)), told, frozenset({op, *CALLS.get(op, ())}), dtype)


@cache
def of_module(path: Path, under: str) -> str:
    """Sixteen hexadecimal digits that change with a module and with those in this place that it takes in."""
    place = ROOT / under
    return _digest(taken_in([path], lambda path: place not in path.parents), "")


def deciding(op: str) -> set[Path]:
    """The files that decide a verdict on an operation.

    That is the engine and the adapters, of the specification the modules that the operation's own takes in, of the
    stored rows its own. A law of another operation may change, and how a verdict is told. Of the adapters, methods of
    operations that its clauses do not call do not count. Known deviations count by themselves, those of the operation
    alone.
    """
    rows = {path for path in _files("conformance/cover") if path.suffix == ".json"}
    whole = set(_files("adapters", "conformance")) - rows - set(ROOT.glob(DEVIATIONS))
    reached = taken_in([*(path for path in whole if not _tells(path)), ROOT / f"reference/{op}.py"], _tells)
    own = {path for path in rows if path.stem == op}
    return {path for path in reached if not _tells(path)} | own | {ROOT / "reference/__init__.py"}


def excuses(file: Path, op: str) -> list[tuple[str, str, str]]:
    """The clauses of an operation that a backend is known to deviate from, and on which condition."""
    found = tomllib.loads(file.read_text("utf-8"))
    of_op = [(clause, entry) for clause in sorted(found) for entry in found[clause] if clause.startswith(f"{op}.")]
    return [(clause, entry.get("when", ""), entry.get("dtype", "")) for clause, entry in of_op]


def _tells(path: Path) -> bool:
    return path.relative_to(ROOT).as_posix().startswith(TELLING)


def taken_in(paths: Iterable[Path], apart: Callable[[Path], bool] = lambda path: False) -> set[Path]:
    """These files and the modules of the project that they import, those import, and so on, but for what stands apart
    and what only that imports.

    What a package's __init__ imports is left out: it takes in everything, and names reach their module through others.
    """
    seen: set[Path] = set()
    left = list(paths)
    while left:
        path = left.pop()
        if path not in seen and not apart(path):
            seen.add(path)
            if path.suffix == ".py" and path.name != "__init__.py":
                left += _imported(path)
    return seen


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    found: list[Path] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = (node.module or "").split(".") if node.module else []
        if node.level:
            folder = path.parents[node.level - 1]
        elif module[:1] == ["convspec"]:
            folder, module = ROOT, module[1:]
        else:
            continue
        place = folder.joinpath(*module)
        names = [place.with_suffix(".py"), *(place / f"{alias.name}.py" for alias in node.names)]
        found += (name for name in names if name.exists())
    return tuple(found)


def _files(*places: str) -> Iterator[Path]:
    for place in places:
        inside = sorted((ROOT / place).rglob("*"))
        yield from (path for path in inside or [ROOT / place] if path.suffix in KINDS)


def _digest(paths: Iterable[Path], more: str, called: frozenset[str] | None = None, dtype: str = "") -> str:
    whole = hashlib.sha256(more.encode())
    for path in sorted(paths):
        name = path.relative_to(ROOT).as_posix()
        counts = (called, dtype) if name.startswith("adapters/") else ()
        whole.update(name.encode() + (program(path, *counts) if path.suffix == ".py" else path.read_bytes()))
    return whole.hexdigest()[:16]


@cache
def program(path: Path, called: frozenset[str] | None = None, dtype: str = "") -> bytes:
    """What counts of Python: comments, docstrings and line breaks may change; of an adapter, what it does for
    operations other than those called, `if x.dtype is torch.float16:` where that is another dtype than the one that is
    named, and private functions, classes and imports that nothing uses then."""
    tree = ast.parse(path.read_text("utf-8"))
    others = {f"x.dtype is torch.{name}" for name in FORMATS if dtype and name != dtype}
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef) and called is not None:
            node.body = [part for part in node.body if not _is_of_others(part, called)]
        if isinstance(node, ast.FunctionDef) and called is not None:
            node.body = [part for part in node.body if not _is_under(part, others)] or [ast.Pass()]
    while called is not None and (unused := _unused(tree)):
        tree.body = [part for part in tree.body if part not in unused]
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.dump(tree).encode()


def _is_under(part: ast.stmt, conditions: set[str]) -> bool:
    """Is this an `if` of one of these conditions, without an `else`?"""
    return isinstance(part, ast.If) and not part.orelse and ast.unparse(part.test) in conditions


def _unused(tree: ast.Module) -> list[ast.stmt]:
    """The private functions and classes of a module, and what it imports from other packages, that nothing else in it
    names."""
    named = {part: {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(part)} for part in tree.body}
    return [
        part
        for part in tree.body
        if (own := _own_names(part)) and not any(own & names for other, names in named.items() if other is not part)
    ]


def _own_names(part: ast.stmt) -> set[str]:
    if isinstance(part, ast.FunctionDef | ast.ClassDef) and part.name.startswith("_"):
        return {part.name}
    if isinstance(part, ast.ImportFrom) and not part.level:  # what is the project's own may be imported to be passed on
        return {alias.asname or alias.name for alias in part.names}
    return set()


def _is_of_others(part: ast.stmt, called: frozenset[str]) -> bool:
    """Is this a method named after an operation that is not called, or what only such a method uses?"""
    if not isinstance(part, ast.FunctionDef):
        return False
    operation = HELPERS.get(part.name, part.name)
    return operation in OPERATIONS and operation not in called
