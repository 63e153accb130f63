"""Backends: the shipped ones by name, and how any other is found."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from convspec.reference import OPS

from .backend import Backend
from .declarations import misspelt, not_called
from .errors import CannotLoad, Lost, NoDomain, Unsupported

# The shipped names; imported only when asked for, so that nobody needs what they do not use.
SHIPPED = {
    "numpy": "convspec.adapters.numpy_taps:NumpyTaps",
    "c": "convspec.adapters.c:CKernel",
    "torch": "convspec.adapters.pytorch:Torch",
    "cuda": "convspec.adapters.pytorch:Cuda",
}

# Those that need no process of their own: all others may crash, hang or fill the memory.
TRUSTED = ("numpy", "torch")

__all__ = ["SHIPPED", "Backend", "CannotLoad", "Lost", "NoDomain", "Unsupported", "load", "load_apart"]


def load_apart(spec: str, isolate: str = "auto", seconds: float = 20.0, memory: int = 4 << 30) -> Backend:
    """As `load`, but where it is called for in a process of its own, which may be lost without harm.

    isolate: `process` for every backend, `none` for none, `auto` for all but the ones of NumPy and PyTorch on the CPU.
    A call that takes longer than this, or that makes the process hold more memory than this (in bytes), ends it.
    """
    trusted = re.sub(r"\[.*", "", spec) in TRUSTED
    if isolate == "none" or (isolate == "auto" and trusted) or os.name != "posix":
        return load(spec)
    from .isolated import Isolated, Limits

    return Isolated.loaded(spec, Limits(seconds=seconds, memory=memory))


def load(spec: str) -> Backend:
    """The backend that `--backend=SPEC` names.

    SPEC is a shipped name, perhaps with variants in brackets (`cuda[tf32]`), FILE.py, FILE.py:Class,
    package.module:Class, or a shared library with the C interface. Raises CannotLoad with one line that says what is
    wrong and what would be right.
    """
    shipped = re.fullmatch(r"([A-Za-z_]\w*)(?:\[(.*)\])?", spec)
    if shipped and shipped[1] in SHIPPED:
        return _shipped(spec, shipped[1], shipped[2])
    path, _, attribute = spec.rpartition(":") if re.search(r"\.py:\w*$", spec) else (spec, "", "")
    if path.endswith(".py"):
        return _from_file(spec, Path(path).expanduser(), attribute)
    if spec.endswith((".so", ".dylib", ".dll")):
        return _from_library(spec, Path(spec).expanduser())
    if re.fullmatch(r"[\w.]+:\w+", spec):
        return _from_module(spec, *spec.split(":"))
    near = difflib.get_close_matches(spec, SHIPPED, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"it may be {', '.join(SHIPPED)}, FILE.py[:Class] or module:Class"
    raise CannotLoad(f"no backend is called {spec!r}; {hint}")


def _shipped(spec: str, name: str, variants: str | None) -> Backend:
    module, _, attribute = SHIPPED[name].partition(":")
    cls = getattr(importlib.import_module(module), attribute)
    wanted = tuple(v.strip() for v in variants.split(",")) if variants is not None else ()
    known: tuple[str, ...] = getattr(cls, "variants", ())
    for variant in wanted:
        if variant not in known:
            may = f"it may be {' or '.join(known)}" if known else f"{name} has none"
            raise CannotLoad(f"{spec}: {name} has no variant {variant!r}; {may}")
    return Backend.of(spec, cls(*wanted), "shipped")


def _from_file(spec: str, path: Path, attribute: str) -> Backend:
    if not path.is_file():
        raise CannotLoad(f"{spec}: there is no file {path}")
    name = f"convspec_backend_{path.stem}"
    loader = importlib.util.spec_from_file_location(name, path)
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent.resolve()))  # so that the file can import its neighbours
    try:
        loader.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise CannotLoad(f"{spec}: running the file raised {_one_line(error, path)}") from error
    finally:
        sys.path.pop(0)
    return Backend.of(spec, _made(spec, module, attribute), "file", path)


def _from_module(spec: str, name: str, attribute: str) -> Backend:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise CannotLoad(f"{spec}: there is no module {error.name!r} on the path of this Python") from error
    except Exception as error:
        raise CannotLoad(f"{spec}: importing {name} raised {_one_line(error, None)}") from error
    return Backend.of(spec, _made(spec, module, attribute), "module")


def _from_library(spec: str, path: Path) -> Backend:
    from .c import CLibrary

    if not path.is_file():
        raise CannotLoad(f"{spec}: there is no file {path}")
    return Backend.of(spec, CLibrary(path), "library", path)


def _made(spec: str, module: ModuleType, attribute: str) -> Any:
    """An instance of the class that is meant."""
    if attribute:
        if not hasattr(module, attribute):
            near = difflib.get_close_matches(attribute, vars(module), n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(_classes(module)) or 'no backend class'}"
            raise CannotLoad(f"{spec}: it has no {attribute!r}; {hint}")
        found = getattr(module, attribute)
    else:
        classes = _classes(module)
        if not classes:
            near = [line for cls in _written(module).values() for line in not_called(misspelt(cls))]
            hint = "; ".join(["", *near[:1]]) or ", such as `def conv2d(self, problem)`"
            raise CannotLoad(f"{spec}: it has no class with a method named like an operation{hint}")
        if len(classes) > 1:
            raise CannotLoad(f"{spec}: it has several backend classes; name one, as in {spec}:{next(iter(classes))}")
        found = next(iter(classes.values()))
    if not inspect.isclass(found):
        return found
    try:
        return found()
    except CannotLoad:
        raise
    except Exception as error:
        raise CannotLoad(f"{spec}: making a {found.__name__} raised {_one_line(error, None)}") from error


def _classes(module: ModuleType) -> dict[str, type]:
    """The classes written in this module that have a method named like an operation."""
    return {name: cls for name, cls in _written(module).items() if any(hasattr(cls, op.name) for op in OPS)}


def _written(module: ModuleType) -> dict[str, type]:
    """The classes written in this module."""
    return {
        name: cls for name, cls in vars(module).items() if inspect.isclass(cls) and cls.__module__ == module.__name__
    }


def _one_line(error: BaseException, path: Path | None) -> str:
    text = (str(error).splitlines() or [""])[0]
    lines = [
        f.lineno
        for f in traceback.extract_tb(error.__traceback__)
        if path and Path(f.filename).resolve() == path.resolve()
    ]
    if isinstance(error, SyntaxError) and error.lineno:
        lines, text = [error.lineno], error.msg
    return f"{type(error).__name__}: {text}" + (f" (line {lines[-1]})" if lines else "")
