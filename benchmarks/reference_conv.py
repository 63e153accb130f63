"""How long the float64 reference convolution takes for four layers, beside PyTorch's float64 conv2d on one thread.

    python benchmarks/reference_conv.py

Medians of interleaved repetitions in one run; BLAS is kept to one thread too. Nothing is asserted.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import statistics
from functools import partial

import torch
from layers import LAYERS, layer, seconds

from convspec.reference import Op

REPETITIONS = 20


def afresh(problem: Op) -> object:
    """The reference of a problem that keeps nothing from an earlier call."""
    problem.forget()
    return problem.reference()


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, float64, one thread; medians of {REPETITIONS}, in ms\n")
    print(f"{'layer':45} {'reference':>9} {'bound':>8} {'torch':>8} {'reference/torch':>16} {'bound/reference':>16}")
    for name, sizes in LAYERS.items():
        problem = layer(*sizes, dtype="float64")
        single = layer(*sizes, dtype="float32")
        x, weight, bias = (torch.from_numpy(a) for a in problem.arrays().values())
        padding = problem.padding[0][0]
        times: list[list[float]] = [[], [], []]
        with torch.inference_mode():
            for _ in range(REPETITIONS):
                times[0].append(seconds(partial(afresh, problem)))
                single.reference()  # the suite has the truth before it asks for the bound
                times[1].append(seconds(single.bound))
                single.forget()
                times[2].append(seconds(partial(torch.nn.functional.conv2d, x, weight, bias, padding=padding)))
        ours, bound, pytorch = (1e3 * statistics.median(t) for t in times)
        print(f"{name:45} {ours:9.3f} {bound:8.3f} {pytorch:8.3f} {ours / pytorch:16.2f} {bound / ours:16.2f}")


if __name__ == "__main__":
    main()
