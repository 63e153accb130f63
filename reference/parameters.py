"""Numbers that are parameters of operations: eps, momentum, alpha, beta and p."""

from __future__ import annotations

import numpy as np


def attribute(value: float) -> float:
    """A parameter as interfaces hold it that take float32, such as attributes of ONNX: in float64 the difference would
    be seen, and is no fault of a kernel."""
    return float(np.float32(value))


EPS = attribute(1e-5)  # the usual eps
