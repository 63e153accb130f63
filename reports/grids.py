"""Arrays as small tables of numbers, with the wrong elements marked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product

from convspec.reports.record import ArrayInfo

WHOLE = 400  # elements up to which an array is shown whole
REACH = 4  # rows and columns shown on either side of the element in focus, in a larger one
FOLD = 16  # elements per line of a vector


@dataclass
class Element:
    text: str
    title: str = ""
    wrong: bool = False
    worst: bool = False


@dataclass
class Grid:
    """Two axes of an array; the others stand still, as `label` says."""

    label: str
    columns: list[str]
    rows: list[tuple[str, list[Element]]]


@dataclass
class Comparison:
    """What `got` and `expected` have to say to each other, by flat index."""

    wrong: set[int] = field(default_factory=set)
    titles: dict[int, str] = field(default_factory=dict)
    digits: dict[int, int] = field(default_factory=dict)  # so many tell the two apart
    worst: int | None = None
    shape: list[int] | None = None
    focus: list[int] | None = None


def compare(
    got: ArrayInfo | None, expected: ArrayInfo | None, bound: ArrayInfo | None, worst_index: list[int] | None
) -> Comparison:
    """Mark an element unless it is proven right: equal, both NaN, or within its bound."""
    result = Comparison()
    if got is None or expected is None or got.shape != expected.shape:
        return result
    if not (_sound(got) and _sound(expected)):
        return result
    result.shape = got.shape
    allowed: list[float] = []
    if bound is not None and _sound(bound) and len(bound.values) in (1, len(got.values)):
        allowed = [_number(text, bound.dtype) for text in bound.values]
        allowed = allowed * len(got.values) if len(allowed) == 1 else allowed
    largest = -1.0
    for index, (left, right) in enumerate(zip(got.values, expected.values, strict=True)):
        a, b = _number(left, got.dtype), _number(right, expected.dtype)
        if left == right or a == b or (math.isnan(a) and math.isnan(b)):
            continue
        error = abs(a - b)
        limit = allowed[index] if allowed else 0.0
        if error <= limit:
            continue
        result.wrong.add(index)
        result.digits[index] = next((n for n in range(4, 18) if f"{a:.{n}g}" != f"{b:.{n}g}"), 17)
        ratio = error / limit if limit > 0 else math.inf
        times = f", {ratio:.3g} times the bound" if allowed else ""
        result.titles[index] = f"got {left}, expected {right}, error {error:.3g}{times}"
        size = math.inf if math.isnan(error) else error
        if size > largest:
            largest, result.worst = size, index
    if worst_index is not None and _inside(worst_index, got.shape):
        result.worst = _flat(worst_index, got.shape)
        if not result.wrong:  # wrong in a way that comparison of values does not show: the sign of a zero
            result.wrong.add(result.worst)
    if result.worst is not None:
        result.focus = _unravel(result.worst, got.shape)
    return result


def draw(array: ArrayInfo, name: str, comparison: Comparison) -> tuple[list[Grid], str]:
    """The grids of an array, and a note on what they leave out. Marks go on arrays of its shape."""
    if not _sound(array):
        return [], f"{len(array.values)} values do not fill the shape {tuple(array.shape)}"
    if not array.values:
        return [], "no elements"
    marks = comparison if array.shape == comparison.shape else Comparison()
    marked = name in ("got", "expected")

    def element(flat: int) -> Element:
        raw = array.values[flat]
        wrong = flat in marks.wrong
        digits = marks.digits.get(flat, 4) if marked else 3 if name == "bound" else 4
        text, exact = _short(raw, array.dtype, digits)
        title = marks.titles[flat] if wrong and name == "got" else raw if wrong or not exact else ""
        return Element(text, title, wrong and marked, flat == marks.worst and marked)

    shape = array.shape
    whole = len(array.values) <= WHOLE
    focus = marks.focus or [0] * len(shape)
    note = ""
    if not whole:
        near = "around the worst element" if marks.focus else "a corner"
        note = f"{near} of {len(array.values):,} elements"

    if len(shape) <= 1:
        start, stop = (0, len(array.values)) if whole else _near(focus[0], len(array.values), 2 * FOLD)
        width = min(FOLD, stop - start)
        lines = []
        for first in range(start, stop, FOLD):
            head = str(first) if shape else ""
            lines.append((head, [element(flat) for flat in range(first, min(first + FOLD, stop))]))
        headings = [f"+{column}" if stop - start > FOLD or start else str(column) for column in range(width)]
        return [Grid("", headings if shape else [""], lines)], note

    # The axes drawn are the last two, or those before them where the last two hold a single element.
    down = len(shape) - 2
    if len(shape) >= 4 and shape[-1] == shape[-2] == 1:
        down = len(shape) - 4
    rows = range(shape[down]) if whole else range(*_near(focus[down], shape[down], REACH))
    columns = range(shape[down + 1]) if whole else range(*_near(focus[down + 1], shape[down + 1], REACH))
    others = [axis for axis in range(len(shape)) if axis not in (down, down + 1)]
    grids = []
    for fixed in product(*(range(shape[axis]) if whole else [focus[axis]] for axis in others)):
        index = dict(zip(others, fixed, strict=True))
        lines = []
        for i in rows:
            at = [[index.get(axis, i if axis == down else j) for axis in range(len(shape))] for j in columns]
            lines.append((str(i), [element(_flat(one, shape)) for one in at]))
        label = ", ".join(str(index[axis]) if axis in index else ":" for axis in range(len(shape)))
        grids.append(Grid(f"[{label}]" if others else "", [str(j) for j in columns], lines))
    return grids, note


def _near(position: int, length: int, reach: int) -> tuple[int, int]:
    return max(0, position - reach), min(length, position + reach + 1)


def _sound(array: ArrayInfo) -> bool:
    return all(length >= 0 for length in array.shape) and math.prod(array.shape) == len(array.values)


def _inside(index: list[int], shape: list[int]) -> bool:
    return len(index) == len(shape) and all(0 <= i < n for i, n in zip(index, shape, strict=True))


def _flat(index: list[int], shape: list[int]) -> int:
    flat = 0
    for i, n in zip(index, shape, strict=True):
        flat = flat * n + i
    return flat


def _unravel(flat: int, shape: list[int]) -> list[int]:
    index = []
    for n in reversed(shape):
        flat, i = divmod(flat, n)
        index.append(i)
    return index[::-1]


def _number(text: str, dtype: str) -> float:
    """A stored element: hexadecimal for floats, decimal for integers; what is neither counts as NaN."""
    try:
        return float.fromhex(text) if "float" in dtype else float(text)
    except (ValueError, OverflowError):
        return math.nan


def _short(text: str, dtype: str, digits: int) -> tuple[str, bool]:
    """A few decimal digits, and whether they are the whole value."""
    if "float" not in dtype:
        return text, True
    value = _number(text, dtype)
    if math.isnan(value):
        return ("NaN", True) if text.strip().lstrip("+-").lower() == "nan" else (text[:24], False)
    short = f"{value:.{digits}g}"
    return short.replace("e+0", "e").replace("e-0", "e-").replace("e+", "e"), float(short) == value
