"""Where a convolution looks: shift equivariance in its exact forms, and the reach of one pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import sum_laws
from .conv2d_parts import NONE
from .laws import enlarged
from .op import Run, Sides, law
from .pick import Pick

if TYPE_CHECKING:
    from .conv2d import Conv2d

Tensor = npt.NDArray[Any]


@law("EQV-02, LAW-C29")
def shifts_by_cropping(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Without padding, cutting a*stride rows and b*stride columns off the image cuts a rows and b columns off
    the output."""
    rows, columns = problem.axes
    x = enlarged(problem.x, rows.span + 2 * rows.stride, columns.span + 2 * columns.stride)
    plain = problem.but(x=x, padding=NONE, padding_mode="zeros")
    a, b = pick.integer(0, 2), pick.integer(0, 2)
    cut = np.array(x[:, :, a * rows.stride :, b * columns.stride :], order="C")
    return run(plain.but(x=cut)), run(plain)[:, :, a:, b:]


@law("EQV-03, LAW-C29")
def shifts_in_the_interior(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """Whatever the padding and whatever enters at the border: windows that lie wholly on the image see the
    shifted image
    as the unshifted one."""
    rows, columns = problem.axes
    a, b = pick.integer(-2, 2), pick.integer(-2, 2)
    height, width = (abs(n) * w.stride + w.span + w.stride + w.before for n, w in ((a, rows), (b, columns)))
    x = enlarged(problem.x, height, width)
    here = problem.but(x=x)
    fill = np.array(x[:, :, ::-1, ::-1], order="C")
    there = here.but(x=moved(x, a * rows.stride, b * columns.stride, fill))
    first, second = run(here), run(there)
    rows, columns = here.axes
    i, j = _both_inside(rows.inside, a), _both_inside(columns.inside, b)
    if not (i.size and j.size):
        return None
    return second[:, :, i[:, None], j], first[:, :, i[:, None] - a, j - b]


@law("EQV-04, LAW-C29")
def shifts_with_zeros_around(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """With zero padding, an image that is zero where it would be pushed out shifts its whole output."""
    rows, columns = problem.axes
    a, b = pick.integer(0, 2), pick.integer(0, 2)
    down, right = a * rows.stride, b * columns.stride
    x = enlarged(problem.x, max(down + 1, rows.span), max(right + 1, columns.span))
    x[:, :, x.shape[2] - down :] = 0
    x[:, :, :, x.shape[3] - right :] = 0
    here = problem.but(x=x, padding_mode="zeros")
    first, second = run(here), run(here.but(x=moved(x, down, right, np.zeros_like(x))))
    *_, height, width = first.shape
    return second[:, :, a:, b:], first[:, :, : max(height - a, 0), : max(width - b, 0)]


@law("EQV-05, PAD-13, LAW-C29")
def shifts_on_the_torus(problem: Conv2d, run: Run, pick: Pick) -> Sides | None:
    """With circular padding of span - 1 in total and an image whose sides the strides divide, rolling the image by a
    multiple of the stride rolls the output."""
    padding, size = [], []
    for window in problem.axes:
        before = min(window.before, window.span - 1)
        padding.append((before, window.span - 1 - before))
        least = max(window.length, window.span)
        size.append(least + -least % window.stride)
    here = problem.but(x=enlarged(problem.x, *size), padding=tuple(padding), padding_mode="circular")
    a, b = pick.integer(-2, 2), pick.integer(-2, 2)
    steps = (a * problem.stride[0], b * problem.stride[1])
    there = here.but(x=np.roll(here.x, steps, (2, 3)))
    return run(there), run(here).rearranged(lambda y: np.roll(y, (a, b), (2, 3)))


nan_reaches_every_window_that_holds_it = sum_laws.nan_reaches_every_output_that_sees_it
nan_reaches_no_other_output = sum_laws.nan_reaches_no_other_output


def moved(x: Tensor, down: int, right: int, fill: Tensor) -> Tensor:
    """`x` moved within its frame; what is uncovered comes from `fill`."""
    h, w = x.shape[2:]
    out = np.array(fill)
    to = [slice(max(step, 0), max(n + min(step, 0), 0)) for step, n in ((down, h), (right, w))]
    of = [slice(max(-step, 0), max(n - max(step, 0), 0)) for step, n in ((down, h), (right, w))]
    out[:, :, to[0], to[1]] = x[:, :, of[0], of[1]]
    return out


def _both_inside(inside: npt.NDArray[np.bool_], shift: int) -> npt.NDArray[np.int64]:
    """The outputs i for which i and i - shift exist and have their windows wholly on the image."""
    whole = np.asarray(inside.all(axis=1))
    i = np.arange(whole.size)
    there = (i - shift >= 0) & (i - shift < whole.size)
    return i[whole & there & whole[np.clip(i - shift, 0, whole.size - 1)]]
