"""What is said of an operation of a backend in a dtype; runs record it too."""

from convspec.reports.grade import Grade

__all__ = ["Grade"]
