"""C sources to a shared library: the compiler of the system, and a cache of what it made."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from .errors import CannotLoad

KERNEL = Path(__file__).with_name("kernel")  # the header and the sources that come with convspec

# No -ffast-math: it would let compilers assume that there is no NaN. Contraction to fused multiply-adds is
# harmless: it only rounds less.
FLAGS = ("-O3", "-std=c99", "-ffp-contract=fast", "-fPIC", "-shared")
NATIVE = "-march=native"  # not every compiler knows it for every machine


def compiler() -> tuple[str, ...]:
    """The command of the C compiler: $CC, or the first of cc, gcc, clang. Raises CannotLoad."""
    chosen = os.environ.get("CC", "").strip()
    if chosen:
        command = tuple(shlex.split(chosen))
        if shutil.which(command[0]) is None:
            raise CannotLoad(f"c: $CC is {chosen!r}, which is no program; it must name a C compiler")
        return command
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name) is not None:
            return (name,)
    raise CannotLoad("c: no C compiler (cc, gcc, clang) is on the PATH; install one, or name one in $CC")


def version_of(command: Sequence[str]) -> str:
    """The first line of what the compiler says about its version."""
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError as error:
        raise CannotLoad(f"c: {command[0]} cannot be run: {error.strerror}; set $CC to a C compiler") from None
    return said.partition("\n")[0].strip()


def compiled(name: str, command: Sequence[str], sources: Sequence[Path], parts: Sequence[Path]) -> Path:
    """The shared library of `sources`, compiled now or found in the user's cache. Raises CannotLoad.

    `parts` are all files that the result depends on. The library is made for this processor: its cache key
    holds the processor, the compiler's version, the flags and the contents of all parts.
    """
    key = sha256()
    for text in (*command, version_of(command), *FLAGS, NATIVE, _processor()):
        key.update(text.encode() + b"\0")
    for part in parts:
        key.update(part.name.encode() + b"\0" + sha256(part.read_bytes()).digest())
    folder = _cache()
    library = folder / f"{name}-{key.hexdigest()[:24]}.so"
    if library.is_file():
        return library
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=".so", dir=folder)
    except OSError as error:
        raise CannotLoad(f"c: cannot write to {folder}: {error.strerror}; set XDG_CACHE_HOME") from None
    os.close(handle)
    try:
        error_text = ""
        for native in ((NATIVE,), ()):
            line = [*command, *native, *FLAGS, f"-I{KERNEL}", "-o", temporary, *map(str, sources), "-lm"]
            done = subprocess.run(line, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                os.replace(temporary, library)  # whole or not at all, whoever else is compiling
                return library
            error_text = done.stderr
        raise CannotLoad(f"c: {command[0]} cannot compile the kernel: {_first_error(error_text)}")
    finally:
        Path(temporary).unlink(missing_ok=True)


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\berror\b", line)]
    return (errors or lines or ["it does not say why"])[0]


def _cache() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(chosen) if os.path.isabs(chosen) else Path(os.path.expanduser("~")) / ".cache"
    return base / "convspec"


# The lines of /proc/cpuinfo that name the model and its features, on x86, Arm and RISC-V.
PROCESSOR = frozenset(("cpu family", "model", "model name", "flags", "CPU implementer", "CPU part", "Features", "isa"))


def _processor() -> str:
    """What -march=native looks at: model and features, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    facts: dict[str, str] = {}
    for line in lines:
        fact, _, value = line.partition(":")
        if fact.strip() in PROCESSOR:
            facts.setdefault(fact.strip(), value.strip())
    return f"{platform.machine()} {sorted(facts.items())}"
