"""Bugs that libraries were released with, each cited, each a backend that misbehaves on the bug's own trigger."""

from . import (
    arguments,
    batch,
    channel_gradients,
    channels,
    fast_paths,
    geometry,
    limits,
    memory,
    races,
    refusals,
)
from .entry import KNOWN, Known

KNOWN.sort(key=lambda bug: int(bug.id[1:]))

__all__ = [
    "KNOWN",
    "Known",
    "arguments",
    "batch",
    "channel_gradients",
    "channels",
    "fast_paths",
    "geometry",
    "limits",
    "memory",
    "races",
    "refusals",
]
