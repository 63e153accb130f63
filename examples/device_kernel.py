"""A kernel that works on a device: arrays go there as copies, and `to_numpy` brings the answer back.

pytest conformance/ --backend=examples/device_kernel.py --op conv2d
"""

import numpy as np
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def to_device(array):
    """A copy in order: what comes may be a view, reversed, or read-only."""
    return torch.from_numpy(np.array(array, order="C")).to(DEVICE)


class DeviceKernel:
    device = DEVICE  # other than "cpu": the process that loaded this file calls it itself, and is not forked
    dtypes = ("float32", "float64")
    # With atomic additions declare what follows from them: conventions = {"repeatable": "false"}

    def supports(self, problem):
        # Is asked for every operation that there is a method for.
        alike = all(before == after for before, after in problem.padding)
        return alike and problem.padding_mode == "zeros" and problem.x.shape[1] > 0

    def conv2d(self, problem):
        problem.validate()
        bias = None if problem.bias is None else to_device(problem.bias)
        # Your kernel stands here; it need not wait for the device.
        return torch.nn.functional.conv2d(
            to_device(problem.x),
            to_device(problem.weight),
            bias,
            stride=problem.stride,
            padding=tuple(before for before, _ in problem.padding),
            dilation=problem.dilation,
            groups=problem.groups,
        )

    def to_numpy(self, tensor):
        """Waits for the kernel, and copies."""
        return tensor.cpu().numpy()
