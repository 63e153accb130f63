"""What PyTorch was measured with, and which of oneDNN's kernels this processor has: what a fault of PyTorch needs to be
seen here."""

from __future__ import annotations

import platform
from collections.abc import Callable

import pytest
import torch

from convspec.adapters.onednn_faults import PAIRS_OF_BFLOAT16

MEASURED = "2.13"  # the version of PyTorch whose faults are known


def _has(*instructions: str) -> bool:
    return all(getattr(torch.cpu, f"_is_{name}_supported", lambda: False)() for name in instructions)


def _pairs() -> bool:
    """Does oneDNN take bfloat16 in pairs, and none of the tiles of AMX in their place?"""
    return PAIRS_OF_BFLOAT16 and not _has("amx_tile")


Need = tuple[Callable[[], bool], str]  # and why it is skipped without

PAIRS: Need = _pairs, "with what this processor has, oneDNN does not take bfloat16 in pairs"
INSTRUCTION: Need = lambda: _pairs() and _has("avx512_bf16"), "the processor lacks AVX512_BF16, or has AMX too"
AMX: Need = lambda: _has("amx_tile"), "seen with AMX alone"
FLOAT16: Need = (
    lambda: bool(getattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: False)()) and not _has("amx_fp16"),
    "seen with AVX512-FP16, and no tiles of AMX for float16 in its place",
)
X86: Need = lambda: platform.machine() in ("x86_64", "AMD64"), "seen with oneDNN's kernels for x86 alone"


def skip_elsewhere(need: Need | None) -> None:
    """Skip the test of a fault that was seen with another version of PyTorch, or needs what is not here."""
    if not torch.__version__.startswith(MEASURED):
        pytest.skip(f"seen with PyTorch {MEASURED}, here is {torch.__version__}")
    if need is not None and not need[0]():
        pytest.skip(need[1])
