"""What it costs to call a backend in a process of its own, for each small call.

    python -m benchmarks.isolation

The bundled C kernel in this process and in one of its own, interleaved: ReLU of 8 elements, and a 3x3 convolution of
1,000. Medians over blocks of calls; nothing is asserted. The budget is 0.3 ms for each small call.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from convspec.adapters import load_apart
from convspec.reference import Conv2d, Op, Relu

BLOCKS, CALLS = 15, 200
BUDGET = 0.3  # ms


@dataclass(frozen=True)
class Call:
    """What one call took, in ms: in this process, and in one of its own."""

    name: str
    here: float
    apart: float

    @property
    def cost(self) -> float:
        return self.apart - self.here


def calls() -> list[Call]:
    """The small calls, timed."""
    here, apart = (load_apart("c", isolate, 20.0, 4 << 30) for isolate in ("none", "process"))
    image = np.linspace(-1, 1, 1000, dtype=np.float32).reshape(1, 10, 10, 10)
    problems: dict[str, Op] = {
        "ReLU, 8 elements": Relu(x=np.linspace(-1, 1, 8, dtype=np.float32)),
        "3x3 convolution, 1,000 elements": Conv2d(x=image, weight=np.ones((4, 10, 3, 3), np.float32)),
    }
    found = []
    for name, problem in problems.items():
        times: dict[str, list[float]] = {"here": [], "apart": []}
        for _ in range(BLOCKS):
            for where, backend in (("here", here), ("apart", apart)):
                backend.call(problem)
                start = time.perf_counter()
                for _ in range(CALLS):
                    backend.call(problem)
                times[where].append((time.perf_counter() - start) / CALLS * 1e3)
        found.append(Call(name, *(statistics.median(times[where]) for where in ("here", "apart"))))
    here.close()
    apart.close()
    return found


def main() -> None:
    print(f"{'':34} {'in process, ms':>14} {'apart, ms':>10} {'cost, ms':>9}")
    for call in calls():
        print(f"{call.name:34} {call.here:14.3f} {call.apart:10.3f} {call.cost:9.3f}  (budget {BUDGET} ms)")


if __name__ == "__main__":
    main()
