"""Bugs that libraries were released with, each cited, each a backend that misbehaves on the bug's own trigger."""

from . import (
    axes,
    axes_layout,
    axes_pool,
    degenerate,
    geometry,
    geometry_average,
    geometry_backward,
    geometry_pool,
    geometry_same,
)
from .entry import KNOWN, Known

KNOWN.sort(key=lambda bug: int(bug.id[1:]))

__all__ = [
    "KNOWN",
    "Known",
    "axes",
    "axes_layout",
    "axes_pool",
    "degenerate",
    "geometry",
    "geometry_average",
    "geometry_backward",
    "geometry_pool",
    "geometry_same",
]
