"""What may go wrong with a backend, beside a wrong answer."""

from __future__ import annotations


class Unsupported(Exception):
    """Raised by a backend for a valid problem outside the domain that it was built for; counted and shown."""


class Lost(Exception):
    """The process of a backend was lost in a call. `status` is `crash` or `timeout`; the message says what happened."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class NoDomain(Exception):
    """A backend's `supports` does not say whether a problem is in its domain: the message says what it did instead."""


class CannotLoad(Exception):
    """A backend that cannot be had: the message says in one line what is wrong and what would be right."""
