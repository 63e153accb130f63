"""convspec: a reference specification for the operations of convolutional networks, and a suite that checks kernels."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convspec.adapters.errors import Unsupported
    from convspec.conformance.check import NonConformance, check

try:
    __version__ = version("convspec")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0"

__all__ = ["NonConformance", "Unsupported", "__version__", "check"]

# Imported when first used, so that `convspec.reference` alone needs NumPy and nothing else.
_HOMES = {
    "Unsupported": "convspec.adapters.errors",
    "NonConformance": "convspec.conformance.check",
    "check": "convspec.conformance.check",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'convspec' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
