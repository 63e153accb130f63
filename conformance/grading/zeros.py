"""What becomes of zero times infinity: a NaN where the product is computed, nothing where zeros are passed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend
from convspec.reference import Op
from convspec.reference.formats import dtype_named

from .ask import Silent, ask
from .form import Form
from .geometries import forms

Tensor = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

COMPUTED, SKIPPED, BOTH = "computed", "skipped", "computed or skipped"


def zeros(backend: Backend, op: type[Op], dtype: str) -> dict[str, str]:
    """For zeros among the filters, in the image and around it: computed, skipped, or now the one and now the other.

    Which of them is left to the implementation: no verdict depends on it.
    """
    found: dict[str, set[str]] = {}
    for form in forms(op):
        for which, a, b, zero in _probes(form, dtype_named(dtype)):
            if not zero.any():
                continue
            try:
                answer = ask(backend, form.build(a, b))[form.output]
            except Silent:
                continue
            nan = np.isnan(answer[zero])
            found.setdefault(which, set()).update(
                ({COMPUTED} if nan.any() else set()) | (set() if nan.all() else {SKIPPED})
            )
    return {which: next(iter(seen)) if len(seen) == 1 else BOTH for which, seen in found.items()}


def _probes(form: Form, dtype: Any) -> Iterator[tuple[str, Tensor, Tensor, Mask]]:
    """Arrays with infinities, and which outputs have these times zero in them, and times nothing else."""
    random = np.random.default_rng(18)
    ones_a, ones_b = np.ones(form.a, dtype), np.ones(form.b, dtype)

    def thinned(shape: tuple[int, ...]) -> Tensor:
        return random.integers(0, 2, shape).astype(dtype)

    a, b = ones_a.copy(), thinned(form.b)
    a[tuple(side // 2 for side in form.a)] = np.inf
    yield "filters", a, b, (form.terms(np.isinf(a), ones_b) > 0) & (form.terms(np.isinf(a), b) == 0)
    for b in form.one_hot(random, np.full(form.row_count, np.inf, dtype), 2):
        at = np.isinf(b)
        b = np.where(at, b, ones_b).astype(dtype)
        a = thinned(form.a)
        yield "images", a, b, (form.terms(ones_a, at) > 0) & (form.terms(a, at) == 0)
        yield "padding", ones_a, b, form.terms(ones_a, at) == 0
