"""Bugs that begin behind the first block of images, in operations whose images act on each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Right, broken

BLOCK = 16


class InBlocksOfImages(Right):
    """Wrong from the seventeenth image on: the first output repeats its first image there."""

    def answer(self, problem: Any) -> Any:
        right = super().answer(problem)
        if len(problem.x) <= BLOCK or not self.concerned(problem):
            return right
        first = np.array(right[0] if isinstance(right, tuple) else right)
        first[BLOCK:] = first[:1]
        return (first, *right[1:]) if isinstance(right, tuple) else first

    def concerned(self, problem: Any) -> bool:
        return True


@broken(
    elements=80,
    batch_norm2d="within_the_bound",
    sync_batch_norm2d="within_the_bound",
    batch_norm2d_backward="within_the_bound",
)
class RepeatsAnImageOfALargeBatch(InBlocksOfImages):
    """In training images behind the sixteenth are taken for the first."""

    def concerned(self, problem: Any) -> bool:
        return bool(getattr(problem, "training", True))


@broken(
    elements=80,
    examples=100,  # of 30 cases few have so many images, and a weight that is not zero
    batch_norm2d="within_the_bound",
    batch_norm2d_backward="within_the_bound",
    dropout2d="within_the_bound",
)
class RepeatsAnImageOfALargeBatchInEvaluation(InBlocksOfImages):
    """In evaluation images behind the sixteenth are taken for the first."""

    def concerned(self, problem: Any) -> bool:
        return not problem.training
