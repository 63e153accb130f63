"""Known bugs of random state."""

from __future__ import annotations

from typing import Any

from convspec.reference import Dropout, Dropout2d

from ..dropout import Drops, uniform
from .entry import filled, known


@known(
    "B097",
    "facebookresearch/xformers#173",
    "dropout",
    "dropout2d",
    clause="repeating_a_call_repeats_the_bits",
    at=lambda: Dropout(x=filled((4, 4)), p=0.5, seed=3),
    also={"dropout2d": lambda: Dropout2d(x=filled((4, 4, 1, 1)), p=0.5, seed=3)},
    spared=lambda: Dropout(x=filled((4, 4)), p=0.5, seed=3, training=False),
    analog="addresses are counted up from call to call, as by an allocator that has not freed yet",
)
class SeedsWithAnAddress(Drops):
    """The kernel takes the address of the seed for the seed: two calls with one seed drop at different places."""

    address = 1 << 20

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        self.address += 512
        return uniform(self.address, shape)
