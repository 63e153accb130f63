"""Backends that are wrong in one way each, and the clauses that must see it.

A clause that no broken backend fails could be deleted without anyone noticing; a bug that no clause sees is a hole.
`TABLE` holds both directions.
"""

from . import (
    backward,
    backward_norm,
    backward_pool,
    batch_norm,
    batches,
    coarse_filters,
    conv2d,
    conv2d_precision,
    conv2d_refusals,
    conv2d_tails,
    convolve2d,
    dropout,
    every,
    limits,
    linear,
    local_response_norm,
    locally_connected2d,
    networks,
    normalize,
    pad2d,
    pool,
    relu,
    sync_batch_norm,
)
from .base import TABLE, Broken, Right

TABLE.sort(key=lambda entry: entry.op)

__all__ = [
    "TABLE",
    "Broken",
    "Right",
    "backward",
    "backward_norm",
    "backward_pool",
    "batch_norm",
    "batches",
    "coarse_filters",
    "conv2d",
    "conv2d_precision",
    "conv2d_refusals",
    "conv2d_tails",
    "convolve2d",
    "dropout",
    "every",
    "limits",
    "linear",
    "local_response_norm",
    "locally_connected2d",
    "networks",
    "normalize",
    "pad2d",
    "pool",
    "relu",
    "sync_batch_norm",
]
