"""How long the bundled C kernel takes for four convolution layers, beside PyTorch on one thread, in float32.

    python benchmarks/c_kernel.py

Both get contiguous arrays that are ready in memory. The C time is that of the C function alone; the adapter,
which copies everything between guard bands, has a column of its own. Each time is the median of interleaved
repetitions. Nothing is asserted.
"""

from __future__ import annotations

import ctypes
import statistics
from collections.abc import Callable

import numpy as np
import torch
from layers import LAYERS, layer, seconds

from convspec.adapters.c import CKernel, GuardedBuffers
from convspec.reference import Conv2d

REPETITIONS = 40


def measure(kernel: CKernel, problem: Conv2d) -> tuple[float, float, float]:
    """Milliseconds of the C function, of the adapter around it, and of PyTorch."""
    arrays = {"x": problem.x, "weight": problem.weight, "bias": problem.bias}
    buffers = GuardedBuffers(arrays, {"y": problem.shape()}, problem.dtype)
    parameters = ctypes.byref(kernel.conv2d.parameters(problem))
    compute = kernel.conv2d.compute[problem.dtype]
    x, weight, bias = (torch.from_numpy(np.array(a)) for a in (problem.x, problem.weight, problem.bias))
    padding = problem.padding[0][0]
    calls: tuple[Callable[[], object], ...] = (
        lambda: compute(parameters, *buffers.addresses),
        lambda: kernel.conv2d(problem),
        lambda: torch.nn.functional.conv2d(x, weight, bias, padding=padding),
    )
    compute(parameters, *buffers.addresses)
    expected = calls[2]().numpy()  # type: ignore[attr-defined]
    np.testing.assert_allclose(buffers.places["y"], expected, rtol=1e-3, atol=1e-3)
    times: list[list[float]] = [[], [], []]
    for _ in range(REPETITIONS):
        for call, into in zip(calls, times, strict=True):
            into.append(seconds(call))
    c, adapter, pytorch = (1e3 * statistics.median(t) for t in times)
    return c, adapter, pytorch


def main() -> None:
    torch.set_num_threads(1)
    kernel = CKernel()
    print(f"{kernel.version}; torch {torch.__version__}, one thread; medians of {REPETITIONS}, in ms\n")
    print(f"{'layer':45} {'C':>8} {'adapter':>8} {'torch':>8} {'C/torch':>8} {'adapter/torch':>14}")
    ratios: list[tuple[float, float]] = []
    with torch.inference_mode():
        for name, sizes in LAYERS.items():
            problem = layer(*sizes)
            c, adapter, pytorch = measure(kernel, problem)
            ratios.append((c / pytorch, adapter / pytorch))
            print(f"{name:45} {c:8.3f} {adapter:8.3f} {pytorch:8.3f}", end=" ")
            print(f"{c / pytorch:8.2f} {adapter / pytorch:14.2f}")
    means = [statistics.geometric_mean(column) for column in zip(*ratios, strict=True)]
    print(f"{'geometric mean':45} {'':8} {'':8} {'':8} {means[0]:8.2f} {means[1]:14.2f}")


if __name__ == "__main__":
    main()
