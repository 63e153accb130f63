"""Loads the plugin for `pytest conformance/` in a checkout; installed, see pyargs.py."""

pytest_plugins = ["convspec.conformance.plugin"]
