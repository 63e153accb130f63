"""Bugs that libraries were released with, each cited, each a backend that misbehaves on the bug's own trigger."""

from . import (
    arguments,
    axes,
    axes_layout,
    axes_pool,
    batch,
    channel_gradients,
    channels,
    degenerate,
    fast_paths,
    geometry,
    geometry_average,
    geometry_backward,
    geometry_pool,
    geometry_same,
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
    "axes",
    "axes_layout",
    "axes_pool",
    "batch",
    "channel_gradients",
    "channels",
    "degenerate",
    "fast_paths",
    "geometry",
    "geometry_average",
    "geometry_backward",
    "geometry_pool",
    "geometry_same",
    "limits",
    "memory",
    "races",
    "refusals",
]
