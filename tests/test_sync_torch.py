"""The processes behind PyTorch's synchronized batch normalization: none is left over, none is waited for in vain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from convspec.reference import SyncBatchNorm2d

pytest.importorskip("torch")

from convspec.adapters.sync_torch import DeviceLost, Devices, synchronized

X = np.arange(12, dtype=np.float32).reshape(3, 2, 1, 2)
PROBLEM = SyncBatchNorm2d(x=X, shards=(1, 2), running_mean=np.zeros(2, np.float32), running_var=np.ones(2, np.float32))

PROGRAM = """
import sys, time
from convspec.adapters.sync_torch import Devices

devices = Devices(2)
print(devices.folder, *(process.pid for process in devices.processes), flush=True)
time.sleep(600)
"""


def runs(pid: int) -> bool:
    """Does it run? A process that nobody has waited for has ended all the same."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def devices() -> Devices:
    return Devices(2)


def test_it_answers_and_a_lost_device_is_told(devices: Devices) -> None:
    found = synchronized(devices, PROBLEM)
    for actual, due in zip(found, PROBLEM.expected(), strict=True):
        np.testing.assert_allclose(actual, due, rtol=1e-6)
    devices.processes[1].kill()
    devices.processes[1].wait()
    with pytest.raises(DeviceLost, match=r"device \d"):
        synchronized(devices, PROBLEM)
    devices.close()
    assert not any(runs(process.pid) for process in devices.processes)
    assert not devices.folder.exists()


def test_a_device_that_hangs_is_told(devices: Devices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convspec.adapters.sync_torch.ANSWER_SECONDS", 0.5)
    os.kill(devices.processes[1].pid, signal.SIGSTOP)
    with pytest.raises(DeviceLost, match=r"device 0 did not answer in time"):
        synchronized(devices, PROBLEM)
    devices.close()
    assert not any(runs(process.pid) for process in devices.processes)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="asks /proc whether processes run")
def test_no_device_outlives_the_process_that_started_it() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        folder, *pids = parent.stdout.readline().split()
        assert len(pids) == 2
        assert all(runs(int(pid)) for pid in pids)
        parent.kill()
    until = time.monotonic() + 20
    while any(runs(int(pid)) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(runs(int(pid)) for pid in pids)
    assert not os.path.exists(folder)
