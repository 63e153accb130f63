"""Bugs that libraries were released with, each cited, each a backend that misbehaves on the bug's own trigger."""

from . import borders, chance, geometry, parameters, precision, special, views
from .entry import KNOWN, Known

KNOWN.sort(key=lambda bug: int(bug.id[1:]))

__all__ = ["KNOWN", "Known", "borders", "chance", "geometry", "parameters", "precision", "special", "views"]
