"""How many windows an axis has, and what lies under a tap, one step at a time."""

from __future__ import annotations


def count(length: int, taps: int, stride: int, dilation: int, before: int, after: int, ceil: bool = False) -> int:
    """How many windows there are, by moving one along the padded axis until it no longer fits.

    With `ceil` one more hangs over the end, if elements are left over there; and the last one is dropped if it starts
    behind the input.
    """
    end = before + length + after
    last = dilation * (taps - 1)  # the offset of the last tap
    windows = start = 0
    while start + last < end:
        windows, start = windows + 1, start + stride
    reached = start - stride + last + 1  # where the last whole window ends
    windows += ceil and reached < end
    return windows - (ceil and (windows - 1) * stride >= before + length)


def source(position: int, length: int, mode: str) -> int | None:
    """The element that a position on or beside an axis shows; None for a zero. One step over the border at a time."""
    while not 0 <= position < length:
        if mode == "zeros":
            return None
        if mode == "replicate":
            position += 1 if position < 0 else -1
        elif mode == "circular":
            position += length if position < 0 else -length
        else:
            assert mode == "reflect"
            position = -position if position < 0 else 2 * (length - 1) - position
    return position
