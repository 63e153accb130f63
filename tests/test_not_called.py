"""What the adapter of PyTorch does not call, since oneDNN reads wrong memory there: PyTorch alone is wrong, the adapter
says that it does not call it, and calls what is next to it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from convspec.adapters import Unsupported, load
from convspec.reference import Conv2d, Conv2dBackward, Op

torch = pytest.importorskip("torch")

from convspec.adapters.onednn_faults import _Axis, _lies_between  # noqa: E402 - it imports torch

from .processor import AMX, FLOAT16, Need, skip_elsewhere  # noqa: E402


@dataclass(frozen=True)
class Known:
    """A problem, one next to it that is called, and a script that ends by a signal or prints "wrong"."""

    needs: Need
    problem: Op
    called: Op
    script: str


def ones(*shape: int, dtype: Any = bfloat16) -> Any:
    return np.ones(shape, dtype)


def lying_last(*shape: int) -> Any:
    """Images whose channels lie next to each other."""
    batch, channels, rows, columns = shape
    return ones(batch, rows, columns, channels).transpose(0, 3, 1, 2)


ONE_COLUMN = Conv2d(x=ones(1, 1, 17, 2), weight=ones(16, 1, 1, 2), stride=(1, 2))
WHOLE_BLOCKS = Conv2d(x=ones(1, 8, 5, 8), weight=ones(1, 8, 1, 8))
FOLDED = Conv2d(x=ones(1, 16, 5, 12), weight=ones(1, 16, 1, 4), stride=(1, 4))
GRADIENT = Conv2dBackward(
    x=ones(1, 1, 1, 1),
    weight=ones(1, 1, 1, 4),
    grad_output=ones(1, 1, 1, 2),
    stride=(1, 2),
    padding=((0, 0), (3, 3)),
)
BETWEEN = Conv2d(x=ones(1, 3, 2, 5), weight=ones(1, 3, 2, 3), padding=((1, 1), (3, 3)), dilation=(3, 3))
BOOKED_SHORT = Conv2d(
    x=ones(1, 32, 31, 13), weight=ones(1, 32, 1, 6), stride=(5, 1), padding=((0, 0), (8, 8)), dilation=(1, 2)
)
BESIDE_LAST = Conv2d(
    x=lying_last(1, 2, 9, 2),
    weight=ones(4, 1, 7, 1),
    stride=(3, 5),
    padding=((3, 3), (3, 3)),
    dilation=(1, 3),
    groups=2,
)
BESIDE = Conv2d(
    x=ones(1, 1, 1, 1, dtype=np.float16),
    weight=ones(1, 1, 1, 1, dtype=np.float16),
    stride=(1, 2),
    padding=((0, 0), (1, 1)),
    dilation=(1, 2),
)
LEAVES_NONE = Conv2d(
    x=ones(3, 6, 3, 16, dtype=np.float16),
    weight=ones(9, 2, 1, 7, dtype=np.float16),
    stride=(1, 9),
    padding=((0, 0), (3, 3)),
    groups=3,
)

KNOWN = {
    "one column of outputs": Known(
        AMX,
        ONE_COLUMN,
        ONE_COLUMN.but(x=ones(1, 1, 17, 4)),
        """
y = torch.nn.functional.conv2d(torch.ones(1, 1, 17, 2).bfloat16(), torch.ones(16, 1, 1, 2).bfloat16(), stride=(1, 2))
if (y != 2).any():
    print("wrong")
""",
    ),
    "whole blocks of 32": Known(
        AMX,
        WHOLE_BLOCKS,
        WHOLE_BLOCKS.but(weight=ones(1, 8, 1, 7)),
        """
if (torch.nn.functional.conv2d(torch.ones(1, 8, 5, 8).bfloat16(), torch.ones(1, 8, 1, 8).bfloat16()) != 64).any():
    print("wrong")
""",
    ),
    "whole blocks of 32 by the stride": Known(
        AMX,
        FOLDED,
        FOLDED.but(x=ones(1, 16, 5, 13)),
        """
x, weight = torch.ones(1, 16, 5, 12).bfloat16(), torch.ones(1, 16, 1, 4).bfloat16()
if (torch.nn.functional.conv2d(x, weight, stride=(1, 4)) != 64).any():
    print("wrong")
""",
    ),
    "the gradient of filters of narrow images": Known(
        AMX,
        GRADIENT,
        GRADIENT.but(x=ones(1, 1, 1, 2)),
        """
for call in range(2000):
    used = [torch.full((size,), 3.0).bfloat16() for size in (16, 64, 256, 1024, 4096)]
    del used  # what lies in memory
    x, weight = torch.ones(1, 1, 1, 1).bfloat16(), torch.ones(1, 1, 1, 4).bfloat16().requires_grad_()
    y = torch.nn.functional.conv2d(x, weight, stride=(1, 2), padding=(0, 3))
    (got,) = torch.autograd.grad(y, weight, torch.ones_like(y))
    if got.tolist() != [[[[0, 1, 0, 1]]]]:
        print("wrong")
        break
""",
    ),
    "an image between two rows of a window": Known(
        AMX,
        BETWEEN,
        BETWEEN.but(x=ones(1, 3, 3, 5)),
        """
for call in range(10_000):
    x, weight = torch.ones(1, 3, 2, 5).bfloat16(), torch.ones(1, 3, 2, 3).bfloat16()
    torch.nn.functional.conv2d(x, weight, padding=(1, 3), dilation=(3, 3))
""",
    ),
    "an image of which the copy is booked too short": Known(
        AMX,
        BOOKED_SHORT,
        BOOKED_SHORT.but(stride=(1, 1)),
        """
for call in range(2000):
    x, weight = torch.ones(1, 32, 31, 13).bfloat16(), torch.ones(1, 32, 1, 6).bfloat16()
    torch.nn.functional.conv2d(x, weight, stride=(5, 1), padding=(0, 8), dilation=(1, 2))
""",
    ),
    "a window of dilated columns beside a narrow image, channels last": Known(
        AMX,
        BESIDE_LAST,
        BESIDE_LAST.but(x=ones(1, 2, 9, 2)),
        """
x, weight = torch.ones(1, 2, 9, 2).bfloat16(), torch.ones(4, 1, 7, 1).bfloat16()
x = x.contiguous(memory_format=torch.channels_last)
for call in range(20_000):
    torch.nn.functional.conv2d(x, weight, stride=(3, 5), padding=(3, 3), dilation=(1, 3), groups=2)
""",
    ),
    "a window of dilated columns beside a narrow image": Known(
        FLOAT16,
        BESIDE,
        BESIDE.but(x=ones(1, 1, 1, 2, dtype=np.float16)),
        """
for call in range(20_000):
    x, weight = torch.zeros(1, 1, 1, 1).half(), torch.zeros(1, 1, 1, 1).half()
    torch.nn.functional.conv2d(x, weight, stride=(1, 2), padding=(0, 1), dilation=(1, 2))
""",
    ),
    "windows that would leave no column without padding": Known(
        FLOAT16,
        LEAVES_NONE,
        LEAVES_NONE.but(x=ones(3, 6, 3, 17, dtype=np.float16)),
        """
for call in range(20_000):
    x, weight = torch.ones(3, 6, 3, 16).half(), torch.ones(9, 2, 1, 7).half()
    torch.nn.functional.conv2d(x, weight, stride=(1, 9), padding=(0, 3), groups=3)
""",
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_pytorch_is_wrong_there(name: str) -> None:
    """In a process of its own, which a signal may end."""
    skip_elsewhere(KNOWN[name].needs)
    ran = subprocess.run(
        [sys.executable, "-c", f"import torch\ntorch.set_num_threads(1)\n{KNOWN[name].script}"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode < 0 or ran.stdout == "wrong\n", (
        f"exit {ran.returncode}, {ran.stdout!r}, {ran.stderr[-300:]!r}"
    )


@pytest.mark.parametrize("name", KNOWN)
def test_the_adapter_does_not_call_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_elsewhere(KNOWN[name].needs)
    problem = KNOWN[name].problem
    problem.validate()

    def called(*arguments: Any) -> None:  # it might end the process
        raise AssertionError("called")

    monkeypatch.setattr(torch.nn.functional, "conv2d", called)
    with pytest.raises(Unsupported, match="known to read wrong memory"):
        load("torch").call(problem)


@pytest.mark.parametrize("name", KNOWN)
def test_the_adapter_calls_what_is_next_to_it(name: str) -> None:
    called = KNOWN[name].called
    if isinstance(called, Conv2dBackward):
        outputs = called.forward.expected().shape
        called = called.but(grad_output=ones(*outputs))
    called.validate()
    answers = load("torch").call(called)
    due = called.expected()
    for got, right in zip(*((a,) if not isinstance(a, tuple) else a for a in (answers, due)), strict=True):
        assert (got is None) == (right is None)
        assert right is None or (np.asarray(got, np.float64) == right).all()


def test_a_filter_without_taps_is_left_for_pytorch_to_refuse() -> None:
    """Unsupported would say nothing of the rule that filters have taps."""
    for shape in ((1, 1, 0, 1), (1, 1, 1, 0), (1, 1, 0, 0)):
        with pytest.raises(RuntimeError) as refusal:
            load("torch").call(Conv2d(x=ones(1, 1, 3, 3), weight=ones(*shape), padding=((1, 1), (1, 1))))
        assert not isinstance(refusal.value, Unsupported)


def test_an_image_between_two_taps_is_told_from_every_other() -> None:
    """Against the definition, tap by tap."""
    seen = set()
    for size, taps, stride, padding, dilation in product(range(1, 6), range(1, 5), range(1, 4), range(8), range(1, 5)):
        starts = range(-padding, size + padding - dilation * (taps - 1), stride)
        windows = [[start + tap * dilation for tap in range(taps)] for start in starts]
        due = any(min(w) < 0 and max(w) >= size and not set(w) & set(range(size)) for w in windows)
        assert _lies_between(_Axis(size, taps, stride, padding, dilation)) == due
        seen.add(due)
    assert seen == {False, True}
