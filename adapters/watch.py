"""What a backend does with the memory of its answers, seen in the process in which it is called."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import Op

Tensor = npt.NDArray[Any]


LATER = "the call changed the answer of the call before"
SHARES = "the result shares memory with"


class Watch:
    """Looks at every answer, and at the one before it once more."""

    def __init__(self) -> None:
        self._given: list[tuple[Tensor, bytes]] = []

    def look(self, problem: Op, result: Any) -> tuple[str, ...]:
        """What is wrong, in words: memory that is shared with an argument, an earlier answer that this call changed."""
        outputs = [one for one in (result if isinstance(result, tuple) else (result,)) if isinstance(one, np.ndarray)]
        changed = any(array.tobytes() != bits for array, bits in self._given)
        shared = [
            f"{SHARES} {name}"
            for name, argument in problem.arrays().items()
            if any(np.may_share_memory(output, argument) for output in outputs)
        ]
        # An answer that is an argument's memory changes when the argument does: that has been told already.
        self._given = [] if shared else [(output, output.tobytes()) for output in outputs]
        return (*([LATER] if changed else []), *shared)
