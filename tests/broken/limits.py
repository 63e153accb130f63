"""Bugs of limits that are kept to roughly: what lies just beyond one is not refused."""

from __future__ import annotations

from typing import Any

from .base import Repairs, broken

NEAR = 1e-4
MOMENTUM = "momentum_is_a_share eps_is_not_negative"


@broken(
    batch_norm2d=MOMENTUM,
    sync_batch_norm2d=MOMENTUM,
    batch_norm2d_backward=MOMENTUM,
    layer_norm="eps_is_not_negative",
    group_norm="eps_is_not_negative",
    instance_norm2d="eps_is_not_negative",
    pixel_group_norm="eps_is_not_negative",
    layer_norm_backward="eps_is_not_negative",
    group_norm_backward="eps_is_not_negative",
    dropout="p_is_a_probability",
    dropout2d="p_is_a_probability",
)
class AllowsForRounding(Repairs):
    """p, momentum and eps that are beyond their limits by less than 1e-4 are taken for rounded ones and put back."""

    def repaired(self, problem: Any) -> Any:
        given: dict[str, float] = {n: getattr(problem, n) for n in ("p", "momentum") if hasattr(problem, n)}
        inside = {name: min(max(value, 0.0), 1.0) for name, value in given.items()}
        if hasattr(problem, "eps"):
            given["eps"] = problem.eps
            inside["eps"] = max(problem.eps, -problem.eps)
        near = all(abs(inside[name] - value) < 2 * NEAR for name, value in given.items())
        return problem.but(**inside) if near else problem
