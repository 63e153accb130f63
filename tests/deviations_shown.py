"""What the cases of known deviations show that are scripts or are told in words: whether the answer is wrong in the way
that the entry says."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from ml_dtypes import bfloat16

from convspec import reference
from convspec.adapters import Backend
from convspec.reference import Conv2dBackward, Dropout, Dropout2d, Op

NAMES = {op.__name__: op for op in reference.SPECIFIED} | {"np": np, "torch": torch, "bfloat16": bfloat16}


# Cases that are scripts: what each of them shows, seen from its variables and from the values of its expressions.


@dataclass(frozen=True)
class Ran:
    """A script that ran to its end."""

    names: dict[str, Any]
    values: list[Any]

    @classmethod
    def of(cls, script: str) -> Ran:
        names, values = dict(NAMES), []
        threads = torch.get_num_threads()  # which a script may set
        try:
            for node in ast.parse(script).body:
                if isinstance(node, ast.Expr):
                    values.append(eval(compile(ast.Expression(node.value), "case", "eval"), names))
                else:
                    exec(compile(ast.Module([node], []), "case", "exec"), names)
        finally:
            torch.set_num_threads(threads)
        return cls(names, values)


def _nan_beside_a_filter(ran: Ran) -> bool:
    """The first pixel lies under the NaN; the last under a tap that is zero, and under nothing else."""
    return bool(ran.names["x"].grad[:, 0, 0, 2].isnan().any())


def _nan_beside_a_window(ran: Ran) -> bool:
    """The second window, whose gradient is NaN, begins at the third pixel."""
    return bool(ran.values[-1][0][0, 0, 0, :2].isnan().any())


def _nan_for_infinity(ran: Ran) -> bool:
    """Both taps of the first filter meet the infinity with a one."""
    return bool(ran.values[-1][0][0].isnan().any())


def _not_all_six(ran: Ran) -> bool:
    return bool(ran.values[-1].ne(6).any())


def _infinite_if_turned(ran: Ran) -> bool:
    straight, turned = ran.values
    return bool(straight.isfinite().all() and turned[0, 0, 1, 0].isinf())


def _dropped_elsewhere(ran: Ran) -> bool:
    torch.manual_seed(0)
    due = torch.nn.functional.dropout(ran.names["x"].contiguous())
    return not torch.equal(ran.values[-1][1], due)


def _not_as_with_a_contiguous_weight(ran: Ran) -> bool:
    x, weight = ran.names["x"], ran.names["weight"].contiguous()
    y = torch.nn.functional.batch_norm(x, None, None, weight, None, training=True)
    (due,) = torch.autograd.grad(y, x, torch.tensor([[1.0], [2]]).repeat(1, 3)[:, :, None, None])
    return not torch.allclose(ran.values[-1][0], due, rtol=1e-3, atol=0)


def _nan_if_turned(ran: Ran) -> bool:
    x = ran.names["x"]
    rows = x.detach().contiguous().requires_grad_()
    y = torch.nn.functional.batch_norm(rows, None, None, training=True)
    y.backward(torch.arange(6.0).half().reshape(y.shape))
    return bool(x.grad.isnan().all() and rows.grad.isfinite().all())


def _infinite_if_channels_last(ran: Ran) -> bool:
    (rows,), (last,) = ran.values
    return bool(rows.isfinite().all() and last.isinf().all())


def _nan_from_beside(ran: Ran) -> bool:
    """All that the convolution is given is zero."""
    return bool(ran.values[-1][0].isnan().all())


def _nan_in_another_row(ran: Ran) -> bool:
    """The NaN is in the second row; of the answer, or of the only gradient."""
    last = ran.values[-1]
    return bool((last[0] if isinstance(last, tuple) else last)[0].isnan().any())


def _not_both_62(ran: Ran) -> bool:
    return bool(ran.values[-1][0].ne(62).any())


SCRIPTS: dict[str, Callable[[Ran], bool]] = {
    "conv2d_backward.one_nan_touches_its_field 0": _nan_beside_a_filter,
    "conv2d_backward.what_is_not_finite_passes_every_tap 0": _nan_beside_a_window,
    "conv2d_backward.what_is_not_finite_passes_every_tap 1": _nan_for_infinity,
    "conv2d.views_equal_copies 0": _not_all_six,
    "batch_norm2d.views_equal_copies 0": _infinite_if_turned,
    "dropout.views_equal_copies 0": _dropped_elsewhere,
    "batch_norm2d_backward.views_equal_copies 0": _not_as_with_a_contiguous_weight,
    "batch_norm2d_backward.views_equal_copies 1": _nan_if_turned,
    "batch_norm2d_backward.views_equal_copies 2": _infinite_if_channels_last,
    "linear.nan_stays_in_its_row 0": _nan_in_another_row,
    "linear_backward.one_nan_touches_its_field 0": _nan_in_another_row,
    "conv2d_backward.views_equal_copies 1": _not_both_62,
    "conv2d_backward.views_equal_copies 2": _nan_from_beside,
}


# Cases that cannot be run here, or are told in words.


def _ends_the_process(backend: Backend, case: str) -> bool:
    """In a process of its own, which a signal ends."""
    ended = subprocess.run([sys.executable, "-c", f"import torch\n{case}"], capture_output=True, timeout=300)
    return ended.returncode < 0


def _is_not_called(backend: Backend, case: str) -> bool:
    """The gradients of the convolution that would end the process are refused by the adapter, if it is the same."""
    assert case == "that of conv2d.views_equal_copies"
    problem = Conv2dBackward(
        x=np.zeros((1, 9, 1, 3), bfloat16).transpose(0, 3, 1, 2),
        weight=np.ones((1, 3, 2, 1), bfloat16),
        grad_output=np.zeros((1, 1, 10, 2), bfloat16),
        stride=(1, 2),
        padding=((1, 1), (1, 1)),
        dilation=(1, 2),
    )
    problem.validate()
    with pytest.raises(RuntimeError, match="not called: oneDNN"):
        backend.call(problem)
    return True


def _one_mask(op: type[Op]) -> Callable[[Backend, str], bool]:
    """Is the mask of a seed beyond 32 bits that of its lower half, and that of another seed another one?"""

    def shown(backend: Backend, case: str) -> bool:
        low, high, other = (
            backend.call(op(x=np.ones((8, 8, 1, 1), np.float32), p=0.5, training=True, seed=seed))
            for seed in (0, 2**32, 1)
        )
        return np.array_equal(low, high) and not np.array_equal(low, other)

    return shown


OTHERWISE: dict[str, Callable[[Backend, str], bool]] = {
    "conv2d.views_equal_copies 1": _ends_the_process,
    "conv2d_backward.views_equal_copies 0": _is_not_called,
    "dropout.seeds_are_told_apart_beyond_32_bits 0": _one_mask(Dropout),
    "dropout2d.seeds_are_told_apart_beyond_32_bits 0": _one_mask(Dropout2d),
}
