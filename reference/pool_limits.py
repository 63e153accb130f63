"""The last windows that are legal for both poolings: one as long as the padded image, one that holds a single pixel."""

from __future__ import annotations

from typing import Any

from .laws import cropped, enlarged
from .op import edge
from .pick import Pick
from .pool import NONE, Pool


def _dense(problem: Pool) -> dict[str, Any]:
    return {"dilation": (1, 1)} if hasattr(problem, "dilation") else {}


@edge("SHP-02, AVGP-03")
def a_window_as_large_as_the_padded_image(cls: Any, pick: Pick) -> Pool:
    """One window holds the image and all of its padding, whatever the stride."""
    problem = cls.draw(pick)
    p = tuple(min(axis.before, axis.after) for axis in problem.axes)
    h, w = problem.x.shape[2:]
    size = (h + 2 * p[0], w + 2 * p[1])
    return problem.but(kernel_size=size, padding=((p[0], p[0]), (p[1], p[1])), **_dense(problem))


@edge("SHP-05, MAXP-08")
def a_window_with_one_pixel(cls: Any, pick: Pick) -> Pool:
    """Windows side by side, rounded up, over an image that is one pixel longer than they are: the last window holds
    that pixel and nothing else."""
    problem = cls.draw(pick)
    k = problem.kernel_size
    x = cropped(enlarged(problem.x, k[0] + 1, k[1] + 1), k[0] + 1, k[1] + 1)
    return problem.but(x=x, stride=k, padding=NONE, ceil_mode=True, **_dense(problem))
