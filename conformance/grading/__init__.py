"""The classifier: how well a backend computes, measured from outside and compared with what it declares."""

from .grade import grade
from .record import Grade

__all__ = ["Grade", "grade"]
