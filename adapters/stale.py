"""What memory holds that is handed out next: NaN, so that an element which is never written shows.

A backend written in Python makes its output with `np.empty` or the like, out of memory that was used before. By chance
that may hold an earlier answer, which is the right one. NumPy keeps seven blocks of each small size and asks for larger
ones where the last one was given back: filling some of the same size and giving them back spoils what comes next. Of
more than about a hundred kilobytes the system often gives new pages, which hold zeros.
"""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np

from convspec.reference import Op

# As many blocks as are kept, for so many bytes at most; what is larger comes back in the order in which it was used.
BLOCKS = ((1 << 10, 8), (1 << 14, 4), (1 << 20, 2))
NAN = 0xFF  # every byte of it makes a NaN in each of our formats, and -1 of an integer


def spoil(problem: Op) -> None:
    """Fill the memory that arrays like the outputs of a problem will get. Raises nothing: what the problem is like is
    the backend's to say."""
    with suppress(Exception):  # of an invalid problem, which is to be refused, there need not be an output
        shapes = problem.but().output_shapes().values()  # of a copy: a problem keeps what it was asked
        size = problem.dtype.itemsize
        for count in {math.prod(shape) * size for shape in shapes}:
            often = next((blocks for most, blocks in BLOCKS if 0 < count <= most), 0)
            held = [np.empty(count, np.uint8) for _ in range(often)]
            for block in held:
                block.fill(NAN)
