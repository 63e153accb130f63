"""The checks: run with `pytest conformance/ --backend=...`, or `pytest --pyargs convspec.conformance --backend=...`."""
