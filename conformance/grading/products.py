"""How many bits of the inputs, and of their products, arrive in the result; and whether sums are right at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend
from convspec.reference.dot import variance_of
from convspec.reference.formats import format_of, round_to
from convspec.reference.rounding import Arithmetic

from .ask import ask
from .form import Form

Array = npt.NDArray[np.float64]
Tensor = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

# That none of so many independent errors below u exceeds u/2, and one bit more is told, has a chance of 2^-32.
SAMPLES = 32


@dataclass
class Products:
    """What single products, and dense sums of them, showed of one form."""

    image_error: float = 0.0  # the largest relative error where b is a power of two: no product needs rounding
    filter_error: float = 0.0  # the same where a is
    product_error: float = 0.0  # the largest relative error of a single product of two full significands
    sums_round: bool = False  # inputs arrive in full: such errors are not theirs, but of a sum or of the result
    broken: bool = False  # sums of small integers are not even these integers after rounding
    rounds_twice: bool = False  # a bias is added to what has been rounded to 16 bits
    short_range: bool = False  # a factor far from 1 is lost although its product is near 1
    correctly_rounded: bool = True  # every result was the truth rounded once
    rms: float = 0.0  # root mean square of error over its modelled deviation, on normal random numbers

    @property
    def input_error(self) -> float:
        return 0.0 if self.sums_round else max(self.image_error, self.filter_error)


def bits(error: float, most: int) -> int:
    """The significand bits p of a format whose unit roundoff 2^-p just covers the largest relative error seen; no more
    than `most`."""
    if not error < 1:  # NaN too
        return 0
    return most if error == 0 else max(0, min(most, math.floor(-math.log2(error))))


def significands(random: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Tensor:
    """Odd numbers of as many bits as the format has, scaled to [1, 2), signed.

    Most lie just above 1, where the relative error of a rounding is largest.
    """
    p = format_of(dtype).p
    first = 1 << (p - 1)
    least = max(first >> 4, 2)
    whole = np.where(random.random(shape) < 0.75, random.integers(first, first + least, shape), 0)
    whole = np.where(whole == 0, random.integers(first, 2 * first, shape), whole) | 1
    return np.asarray(np.ldexp(whole.astype(np.float64), 1 - p) * random.choice((-1, 1), shape)).astype(dtype)


def powers(random: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Tensor:
    """1/2, 1 and 2, signed: products with them are exact."""
    return np.asarray(random.choice((-2, -1, -0.5, 0.5, 1, 2), shape)).astype(dtype)


def sparse(random: np.random.Generator, form: Form, values: Tensor) -> Tensor:
    """One of the values in every image of a, somewhere; zeros elsewhere."""
    a = np.zeros(form.a, values.dtype)
    apart = form.apart if form.apart is not None else 0
    images = a if form.apart is None else np.moveaxis(a, apart, 0)
    for image, value in zip([images] if form.apart is None else images, values, strict=False):
        image[tuple(random.integers(side) for side in image.shape)] = value
    return a


def probe_products(backend: Backend, form: Form, dtype: Any, arithmetic: Arithmetic, found: Products) -> None:
    """Fill in what is found. Raises Silent where the backend gives no answer."""
    random = np.random.default_rng(6)
    trials = max(1, math.ceil(4 / form.row_count))
    for _ in range(trials):
        a, rows = significands(random, form.a, dtype), (form.row_count,)
        for b in form.one_hot(random, powers(random, rows, dtype)):
            found.image_error = max(found.image_error, _single(backend, form, a, b, found)[0])
        for b in form.one_hot(random, significands(random, rows, dtype)):
            found.product_error = max(found.product_error, _single(backend, form, a, b, found)[0])
    seen = 0
    for _ in range(16):
        images = 1 if form.apart is None else form.a[form.apart]
        b = significands(random, form.b, dtype)
        error, many = _single(backend, form, sparse(random, form, powers(random, (images,), dtype)), b, found)
        found.filter_error, seen = max(found.filter_error, error), seen + many
        if seen >= SAMPLES:
            break
    _far(backend, form, dtype, found)
    _integers(backend, form, dtype, found)
    _dense(backend, form, dtype, arithmetic, found)
    _biased(backend, form, dtype, found)


def _answer(backend: Backend, form: Form, a: Tensor, b: Tensor) -> tuple[Array, Array, Array]:
    """The answer and the truth, hi and lo."""
    problem = form.build(a, b)
    answer = ask(backend, problem)[form.output]
    hi, lo = problem.truths()[form.output]
    return answer, hi, lo


def _single(backend: Backend, form: Form, a: Tensor, b: Tensor, found: Products) -> tuple[float, int]:
    """The largest relative error of the outputs that are a single product, and how many these are."""
    answer, hi, lo = _answer(backend, form, a, b)
    single = form.terms(a, b) == 1
    _compare(answer, hi, single, a.dtype, found)
    with np.errstate(invalid="ignore"):
        error = np.abs((answer - hi) - lo)[single] / np.abs(hi[single])
    return float(np.where(np.isnan(error), np.inf, error).max(initial=0.0)), int(single.sum())


def _compare(answer: Array, hi: Array, where: Mask, dtype: Any, found: Products) -> None:
    due = round_to(hi, format_of(dtype))
    found.correctly_rounded &= bool(np.all(answer[where] == due[where]))


def _far(backend: Backend, form: Form, dtype: Any, found: Products) -> None:
    """Factors half way to the ends of the exponents, float16's being nearer: products of 1, good to a factor of two."""
    random = np.random.default_rng(11)
    half = -format_of(dtype).smallest_exponent // 2
    for far in (2.0**half, 2.0**-half):
        a = np.full(form.a, far).astype(dtype)
        b = form.one_hot(random, np.full(form.row_count, 1 / far).astype(dtype))[0]
        single = form.terms(a, b) == 1
        answer = ask(backend, form.build(a, b))[form.output][single]
        found.short_range |= not bool(np.all((answer > 0.5) & (answer < 2)))


def _integers(backend: Backend, form: Form, dtype: Any, found: Products) -> None:
    """-1, 0 and 1: every sum is exact in every format of ours and every order, as long as it is below 2^8; and any way
    to compute it that is worth its name is off by less than a half."""
    random = np.random.default_rng(7)
    a, b = (random.integers(-1, 2, shape).astype(dtype) for shape in (form.a, form.b))
    answer, hi, _ = _answer(backend, form, a, b)
    exact = form.magnitude(a, b) <= 2.0 ** format_of("bfloat16").p
    with np.errstate(invalid="ignore"):
        found.broken = not bool(np.all(np.rint(answer[exact]) == hi[exact]))
    _compare(answer, hi, exact, dtype, found)


def _dense(backend: Backend, form: Form, dtype: Any, arithmetic: Arithmetic, found: Products) -> None:
    """Normal random numbers: error over s, the model of a sum whose partial sums grow as a random walk does
    (dot.variance_of)."""
    random = np.random.default_rng(8)
    a, b = (random.standard_normal(shape).astype(dtype) for shape in (form.a, form.b))
    answer, hi, lo = _answer(backend, form, a, b)
    _compare(answer, hi, np.ones(hi.shape, bool), dtype, found)
    a, b = a.astype(np.float64), b.astype(np.float64)
    terms, squares = form.terms(a, b), form.reference(a * a, b * b)
    variance = variance_of(hi, squares, terms, arithmetic)
    some = variance > 0
    with np.errstate(invalid="ignore"):
        found.rms = float(np.sqrt(np.mean(((answer - hi) - lo)[some] ** 2 / variance[some])))


def _biased(backend: Backend, form: Form, dtype: Any, found: Products) -> None:
    """A product of two 16-bit numbers plus a bias: is every output one rounded once, or one rounded before too?"""
    out, random = format_of(dtype), np.random.default_rng(15)
    a, b = significands(random, form.a, dtype), form.one_hot(random, significands(random, (form.row_count,), dtype))[0]
    problem: Any = form.build(a, b)
    if np.dtype(dtype).itemsize != 2 or form.output != "y" or not hasattr(problem, "bias"):
        return
    shape = problem.output_shape()[1:] if problem.name == "locally_connected2d" else problem.output_shape()[1:2]
    problem = problem.but(bias=significands(random, shape, dtype))
    bias = problem.bias.astype(np.float64)
    bias = bias if bias.ndim != 1 or problem.name == "linear" else bias[:, None, None]
    answer, product = ask(backend, problem)["y"], form.reference(a, b)
    single = form.terms(a, b) == 1
    once, twice = round_to(product + bias, out), round_to(round_to(product, out) + bias, out)
    right = answer == once
    found.rounds_twice = bool(np.all((right | (answer == twice))[single]) and not np.all(right[single]))
