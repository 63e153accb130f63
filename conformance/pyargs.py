"""The entry point that pytest loads in every environment where convspec is installed. It must not disturb anyone.

It adds no option and no hook to a project's own runs. Only where the command line asks for this suite by name, as in
`pytest --pyargs convspec.conformance --backend=numpy`, does it load the suite's plugin, before options are read; and
then it leaves the conftest files of the current folder out, which may well define a `--backend` of their own.
"""

from __future__ import annotations

import pytest

SUITE = "convspec.conformance"


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Load the suite's plugin if, and only if, the suite is asked for."""
    if "--pyargs" not in args or not any(arg.split("::")[0].startswith(SUITE) for arg in args):
        return
    early_config.known_args_namespace.noconftest = True
    early_config.pluginmanager.import_plugin("convspec.conformance.plugin")
