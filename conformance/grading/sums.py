"""How many bits a sum is kept in while it is added up, read off a ladder of three terms."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend
from convspec.reference import AvgPool2d, Op
from convspec.reference.formats import format_of
from convspec.reference.rounding import Arithmetic

from .ask import ask
from .form import Form

Tensor = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def accumulator_bits(backend: Backend, form: Form, dtype: Any) -> float:
    """The fewest significand bits that any partial sum was kept in; infinite if it was more than can be seen.

    Three terms 2^e, 2^(e-k) and -2^e add up to 2^(e-k), in whatever order. Of the three orders in which the small one
    is first, second or third among the places that the large ones take in turn, at most one joins the large ones first:
    in every tree the others add the small one to a large one. To 2^e it needs k + 1 bits (to -2^e only k, so that the
    signs are tried both ways). So the smallest k at which any of them is wrong is the number of bits. The places are
    the first, the middle and the last, neighbours, and random ones: sums of blocks may be kept in fewer bits than those
    within a block, or the other way round.
    """
    table, places = form.table(dtype)
    if places < 3:
        return math.inf
    orders = _orders(places)
    starts = range(0, len(orders), len(table))
    ones = np.ones(form.a, dtype)
    masks: dict[int, Mask] = {}

    def right(k: int) -> bool:
        large, small = _ladder(k)
        for start in starts:
            table, _ = form.table(dtype)
            for row, where in zip(table, orders[start : start + len(table)], strict=False):
                row[list(where)] = large, small, -large
            b = form.from_table(table)
            if start not in masks:  # where all three are on the image
                masks[start] = form.terms(ones, b) == 3
            answer = ask(backend, form.build(ones, b))[form.output]
            if not np.all(answer[masks[start]] == small):
                return False
        return True

    return _climb(right, dtype)


def inputs_arrive(backend: Backend, form: Form, dtype: Any, bits: int) -> bool:
    """Do full significands arrive in a sum, although so few bits are left of a single product?

    A number x = y + r of all bits, y being the nearest one of so many bits, less y: where inputs are rounded nothing is
    left, or another y. Where sums are, r is there, perhaps rounded itself, if the two meet before anything is; which
    one of the two orders in which a product is added to the other may do, or a block of products. So one output is
    enough that is right for every x: where inputs are rounded, some are right by chance.
    """
    p, random = format_of(dtype).p, np.random.default_rng(12)
    table, places = form.table(dtype)
    pairs = [pair for k in range(0, places - 1, max(1, places // 8)) for pair in ((k, k + 1), (k + 1, k))]
    ones = np.ones(form.a, dtype)
    scale = 2.0 ** (11 - p)  # as large as float16 allows, so that r is no subnormal
    r = (5 << (p - bits)) // 16 | 1  # below a half, and below a quarter where the next bit is kept
    for start in range(0, len(pairs), len(table)):
        right = np.ones((), bool)
        for y in random.integers(1 << (bits - 1), 1 << bits, 6) | 1:
            table, _ = form.table(dtype)
            near = float(y) * 2.0 ** (p - bits)
            for row, (one, other) in zip(table, pairs[start : start + len(table)], strict=False):
                row[one], row[other] = (near + r) * scale, -near * scale
            b = form.from_table(table)
            answer = ask(backend, form.build(ones, b))[form.output]
            right = right & (np.abs(answer - r * scale) < r * scale / 2) & (form.terms(ones, b) == 2)
        if right.any():
            return True
    return False


def pooled_bits(backend: Backend, dtype: Any) -> float:
    """The same of average pooling: of windows of 16 elements apart from each other, so that the division is exact."""
    orders = _orders(16)

    def right(k: int) -> bool:
        large, small = _ladder(k)
        x = np.zeros((1, len(orders), 1, 4, 1, 4), dtype)  # (N, C, I, R, J, S)
        for c, where in enumerate(orders):
            for place, value in zip(where, (large, small, -large), strict=True):
                x[0, c, 0, place // 4, 0, place % 4] = value * 16
        problem = AvgPool2d(x=x.reshape(1, len(orders), 4, 4), kernel_size=(4, 4), stride=(4, 4))
        return bool(np.all(ask(backend, problem)["y"] == small))

    return _climb(right, dtype, headroom=4)


def gathered_bits(backend: Backend, gradient: Callable[[Tensor], Op], dtype: Any, share: int) -> float:
    """The same of the gradient of pooling: of one pixel in 16 windows (1, C, 4, 4), each of which gives it a part of
    `share` of its own gradient, so that the division is exact."""
    orders = _orders(16)

    def right(k: int) -> bool:
        large, small = _ladder(k)
        g = np.zeros((1, len(orders), 16), dtype)
        for c, where in enumerate(orders):
            g[0, c, list(where)] = large * share, small * share, -large * share
        answer = ask(backend, gradient(g.reshape(1, len(orders), 4, 4)))["grad_x"]
        return bool(np.all(answer[:, :, 3, 3] == small))

    return _climb(right, dtype, headroom=share.bit_length())


def _orders(places: int) -> list[tuple[int, int, int]]:
    """Where the large, the small and the other large term go."""
    random = np.random.default_rng(9)
    some = tuple(random.choice(places, 3, replace=False).tolist())
    triples = [(0, places // 2, places - 1), (0, 1, 2), (places - 3, places - 2, places - 1), some]
    return [order for triple in dict.fromkeys(triples) for order in permutations(triple)]


def _ladder(k: int) -> tuple[float, float]:
    """Two powers of two a factor 2^k apart, about as far above 1 as below it."""
    return 2.0 ** ((k + 1) // 2), 2.0 ** -(k // 2)


def _climb(right: Callable[[int], bool], dtype: Any, headroom: int = 1) -> float:
    """The smallest k that goes wrong. Above 113 bits, those of quadruple precision, nobody counts."""
    form = format_of(dtype)
    most = min(113, 2 * min(-form.smallest_exponent, -form.smallest_exponent + 1 - headroom))
    if right(most):
        return math.inf
    low, high = 0, most  # right at low, wrong at high
    for p in (Arithmetic.ieee(dtype).acc.p, form.p):  # mostly it is one of these
        for k in (p - 1, p):
            if low < k < high:
                low, high = (k, high) if right(k) else (low, k)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if right(middle) else (low, middle)
    return high
