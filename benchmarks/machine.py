"""What of this machine decides on results and times: the processor, and how wide its vectors are."""

from __future__ import annotations

import os
import platform
from pathlib import Path

# Of x86 and of Arm, the widest first; libraries choose their kernels by them.
VECTORS = ("avx512f", "avx2", "avx", "sse2", "sve2", "sve", "asimd")
# Instructions for 16-bit numbers, which have kernels of their own.
SHORT = ("avx512_fp16", "avx512_bf16", "amx_tile", "fphp", "bf16")


def processor() -> str:
    """The model, as the system names it, and how many cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_fact('model name') or platform.processor() or platform.machine()}, {cores} cores"


def vectors() -> str:
    """The widest vectors that the processor has, and what it has for 16 bits: "avx512f avx512_bf16"; nothing where the
    system does not tell."""
    has = (_fact("flags") or _fact("Features")).split()
    widest = [name for name in VECTORS if name in has][:1]
    return " ".join(widest + [name for name in SHORT if name in has])


def _fact(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
