"""One test per cell: a clause, a dtype, a backend. The clauses are in the reference and in checks.py."""

import pytest

from convspec.conformance.plugin import run_item
from convspec.conformance.session import Item


def test_clause(convspec_item: Item, pytestconfig: pytest.Config) -> None:
    """The clause holds for the backend in this dtype."""
    run_item(convspec_item, pytestconfig)
