"""The adapter of PyTorch makes no call that is known to end the process."""

from __future__ import annotations

import numpy as np
import pytest

from convspec.adapters import onednn_faults, pytorch
from convspec.reference import Conv2d
from convspec.reference.formats import dtype_named


def test_one_column_of_bfloat16_channels_last_is_not_given_to_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn_faults, "PAIRS_OF_BFLOAT16", True)
    form = dtype_named("bfloat16")
    rows = np.zeros((1, 3, 9, 1), form)
    last = np.zeros((1, 9, 1, 3), form).transpose(0, 3, 1, 2)
    padding = ((1, 1), (1, 1))
    here = Conv2d(x=last, weight=np.ones((1, 3, 2, 1), form), stride=(1, 2), padding=padding, dilation=(1, 2))
    with pytest.raises(RuntimeError, match="not called: oneDNN"):
        pytorch.Torch().conv2d(here)
    for safe in (here.but(x=rows), here.but(stride=(1, 1)), here.but(padding=((1, 1), (0, 0)))):
        assert tuple(pytorch.Torch().conv2d(safe).shape) == safe.shape()
