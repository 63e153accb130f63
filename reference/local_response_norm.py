"""Local response normalization, as published."""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import rules
from .dot import BETTER_THAN_DOUBLE, as_float
from .features import Feature, how_many, one_or_more, sizes, stratum
from .features import excluded as excluded_of
from .formats import FORMATS
from .laws import small
from .measured import Measured
from .normalize import FORTY_DIGITS, decimals, pair
from .op import STRICT, Op, Run, Shape, Sides, Tensor, edge, example, law, operation, rule
from .parameters import attribute
from .pick import Pick
from .rounding import Arithmetic, Bound
from .sets import lost
from .spoilt import ANY, At, spoil
from .subnormal import is_subnormal
from .window import STRETCHED, WIDE

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]


def _size(size: int) -> str:
    return str(size) if size in (1, 3) else "odd" if size % 2 else "even"


def _alpha(alpha: float) -> str:
    return "0" if alpha == 0 else "small" if alpha < 0.1 else "large"


def _reach(size: int, c: int) -> str:
    """Is there a channel whose window lies inside, is every window cut off, or does every window see all channels?"""
    return "inside" if size <= c else "all" if (size - 1) // 2 >= c - 1 else "cut_off"


ALPHAS = tuple(map(attribute, (1e-4, 1.0, 0.5, 0.0, 0.99)))


@operation
class LocalResponseNorm(Op):
    """Divide each element by a power of the squares of its neighbours, across the channels of its pixel.

        y[n,c,h,w] = x[n,c,h,w] * (k + alpha/size * sum over j of x[n,j,h,w]^2) ^ -beta

    j runs from c - (size-1)//2 to c + size//2, inside [0, C): `size` channels, of an even size one more behind than
    before (a backend may declare `lrn_even: mirror`: then one more before). alpha is divided by size also where the
    window is cut off at the first or last channel. No mean is subtracted.

    Source: Krizhevsky et al. 2012, with alpha divided by size as in ONNX LRN and PyTorch local_response_norm.
    """

    x: Tensor  # (N, C, H, W) images
    size: int  # channels in a window
    alpha: float = 1e-4  # factor of the mean square of the window
    beta: float = 0.75  # the power
    k: float = 1.0  # added to it, before the power

    features = (
        one_or_more("images", lambda p: p.x.shape[0]),
        how_many("channels", lambda p: p.x.shape[1]),
        one_or_more("rows", lambda p: p.x.shape[2]),
        how_many("columns", lambda p: p.x.shape[3]),
        Feature("size", ("1", "3", "odd", "even"), lambda p: _size(p.size)),
        Feature("reach", ("inside", "cut_off", "all"), lambda p: _reach(p.size, p.x.shape[1])),
        Feature("alpha", ("0", "small", "large"), lambda p: _alpha(p.alpha)),
        Feature("beta", ("0.75", "0.5", "1.0", "0.0", "2.0"), lambda p: str(float(p.beta))),
        Feature("k", ("1.0", "2.0", "0.125"), lambda p: str(float(p.k))),
        sizes("channels", lambda p: p.x.shape[1]),
        sizes("columns", lambda p: p.x.shape[3], WIDE),
        stratum("size_is_channels", lambda p: p.size == p.x.shape[1] > 1),
    )
    excluded = excluded_of(
        ("size=1 reach=cut_off|all", "a window of one channel is a channel"),
        ("size=3 reach=cut_off", "two channels see each other"),
        ("channels=1 size=1 reach=cut_off|all", "a window of one channel is a channel"),
        ("channels=1 reach=cut_off", "every window sees the only channel"),
        ("channels=1 size=3|odd|even reach=inside", "a window of several channels is cut off"),
    )

    def output_shape(self) -> Shape:
        return self.x.shape

    def declared(self, conventions: Mapping[str, str]) -> LocalResponseNorm:
        """With `lrn_even: mirror`, a window of an even size has one more channel before than behind."""
        if conventions.get("lrn_even") != "mirror" or self.size % 2:
            return self
        return self.read(mirrored=True)

    def neighbours(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The sums over the windows of values (N, C, H, W)."""
        c = values.shape[1]
        before, after = (self.size - 1) // 2, self.size // 2
        if self.reading.get("mirrored"):
            before, after = after, before
        total = np.zeros_like(values)
        for offset in range(-min(before, c), min(after, c) + 1):
            to = slice(max(0, -offset), c - max(0, offset))
            source = slice(max(0, offset), c + min(0, offset))
            total[:, to] = total[:, to] + values[:, source]
        return total

    def reference(self) -> Array:
        x = as_float(self.x)
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(x * (self.k + self.alpha / self.size * self.neighbours(x * x)) ** -self.beta)

    def truth(self) -> tuple[Array, Array]:
        if self.dtype != np.float64:
            return super().truth()
        if not self.x.size:
            zero = np.zeros(self.x.shape)
            return zero, zero.copy()
        alpha, beta, k = (decimal.Decimal(float(a)) for a in (self.alpha, self.beta, self.k))
        with decimal.localcontext(FORTY_DIGITS):
            x = decimals(self.x)
            divisor = self.neighbours(x * x) * alpha / self.size + k
            return pair(x * divisor**-beta)

    def judgement(self, arithmetic: Arithmetic) -> Bound:
        """How far x * D^-beta, D = k + alpha/size * S, may be off.

        S is a sum of T <= size squares: no square passes more than T roundings, in any order. Its share alpha/size
        costs four more, as a product with a rounded 1/size and one with a rounded alpha, and the addition of k one; k
        itself is rounded and then added. D is good to rel = (g(size+5)*alpha*S/size + (2u + u^2)*k) / D, with
        g(n) = n*u/(1 - n*u). Its power is off by a factor of (1 - rel)^-beta at most. A logarithm and an exponential
        good to 2 ulp each, 4u, and the rounded product of the former with a rounded beta move the exponent by
        ((1+u)^6 - 1)*beta*(|ln D| - ln(1 - rel)) and the power by 4u: E = |y|*(exp(that)*(1+4u)*(1+2u) - 1). A wider
        accumulator is rounded once at the end. Where a square or D leaves the range, nothing is demanded. A power
        that is subnormal loses what underflow takes, times |x|; a subnormal x that may be read as zero, all of y.
        Derived here.

        Zero gives zero; beta = 0, or alpha = 0 with k = 1, gives x.
        """
        out, acc, u = arithmetic.out, arithmetic.acc, arithmetic.unit
        x = as_float(self.x)
        y = self.reference()
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            squares = self.neighbours(x * x)
            d = self.k + self.alpha / self.size * squares
            floor = lost(arithmetic) * ((self.alpha + 1) * (self.size + 1) + squares)  # squares or alpha/size underflow
            roundings = (self.size + 5) * u
            growth = roundings / (1 - roundings) if roundings < 1 else np.inf
            rel = (growth * self.alpha / self.size * squares + (2 * u + u * u) * self.k + floor) / d
            shift = -np.log1p(-np.minimum(rel, 1.0))  # of ln D, infinite where D may be lost altogether
            power = self.beta * (shift + np.expm1(6 * np.log1p(u)) * (np.abs(np.log(d)) + shift))
            error = np.abs(y) * np.expm1(power + np.log1p(4 * u) + np.log1p(2 * u))
            if arithmetic.widens:
                error = error + out.unit * (np.abs(y) + error)
            unit = BETTER_THAN_DOUBLE if self.dtype == np.float64 else FORMATS["float64"].unit
            error = error + (self.size + 16) * (1 + self.beta) * unit * np.abs(y) + 2 * lost(arithmetic)
            error = error + out.spacing / 2
            error = error + np.where(d**-self.beta < 2 * acc.smallest_normal, lost(arithmetic) * np.abs(x), 0.0)
            if arithmetic.flush_to_zero:
                error = error + np.where(is_subnormal(self.x), np.abs(y), 0.0)
            infinite = ~(np.maximum(squares, d) < acc.largest / 2)
            error = np.where(infinite, np.inf, error)  # divided by it, zeros are left, or NaN
            overflows = infinite | ~(np.abs(y) + error < acc.largest)
        identity = self.beta == 0 or (self.alpha == 0 and self.k == 1)
        forced = ((x == 0) | identity) & ~overflows
        return Bound(np.where(forced, 0.0, error), forced, overflows, 2 * np.abs(y) + (y == 0))

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        n = pick.integer(1, 3)
        c = pick.one_of(STRETCHED) if pick.flag(0.25) else pick.integer(1, 7, unlike=(n,))
        h = pick.integer(1, 4, unlike=(n, c))
        w = pick.one_of(WIDE) if pick.flag(0.1) else pick.integer(1, 4, unlike=(n, c, h))
        size = 1 + pick.one_of((2, 0, 1, 3, 4, 6, 10, 7, 2 * c), (30, 8, 10, 10, 25, 7, 7, 3, 3))
        beta = pick.one_of((0.75, 0.5, 1.0, 0.0, 2.0), (50, 15, 15, 12, 8))
        alpha = pick.one_of(ALPHAS, (30, 36, 18, 10, 6))
        k = pick.one_of((1.0, 2.0, 0.125), (60, 25, 15))
        if pick.flag(0.5):
            x = np.random.default_rng(pick.seed()).standard_normal((n, c, h, w)).astype(pick.dtype)
        else:
            x = pick.data(size).array((n, c, h, w))
        return cls(x=x, size=size, alpha=alpha, beta=beta, k=k)

    @rule(lambda self, pick: rules.drop_axis(self, pick, "x"), source="GEN-01")
    def x_has_four_axes(self) -> bool:
        """x has the four axes N, C, H, W."""
        return rules.ranks(self, x=4)

    @rule(lambda self, pick: rules.fractional(self, pick, "size"), STRICT, "LRN-06")
    def size_is_whole(self) -> bool:
        """size is a whole number."""
        return rules.are_whole(self, "size")

    @rule(lambda self, pick: self.but(size=pick.one_of((0, -1))), STRICT, "LRN-06")
    def size_is_positive(self) -> bool:
        """A window has at least one channel."""
        return bool(self.size >= 1)

    @law("LAW-N19")
    def negated_inputs_give_negated_outputs(self, run: Run, pick: Pick) -> Sides | None:
        """-x gives the negated result."""
        return run(self.but(x=-self.x)), -run(self)

    @law("LAW-N20")
    def alpha_takes_the_scale(self, run: Run, pick: Pick) -> Sides | None:
        """2x gives twice what x gives with four times the alpha."""
        u = small(self.x)
        return run(self.but(x=2 * u)), 2 * run(self.but(x=u, alpha=4 * self.alpha))

    @law("LAW-N20")
    def k_takes_the_scale(self, run: Run, pick: Pick) -> Sides | None:
        """4x with 16 times the k gives 4^(1 - 2*beta) times what x gives: with beta = 3/4 half of it."""
        u = self.but(x=small(self.x), beta=pick.one_of((0.75, 0.5, 1.0)))
        return run(u.but(x=4 * u.x, k=16 * self.k)), run(u) * 2.0 ** (2 - 4 * u.beta)

    @law("LAW-N21")
    def beta_zero_changes_nothing(self, run: Run, pick: Pick) -> Sides | None:
        """With beta = 0 the result is x."""
        return run(self.but(beta=0.0)), as_float(self.x)

    @law("LAW-N21")
    def alpha_zero_divides_by_a_power_of_k(self, run: Run, pick: Pick) -> Sides | None:
        """With alpha = 0, k = 4 and beta = 1/2 the result is x / 2."""
        return run(self.but(alpha=0.0, k=4.0, beta=0.5)), as_float(self.x) / 2

    @law("LAW-N21, LRN-05")
    def a_window_over_all_channels_is_one_sum(self, run: Run, pick: Pick) -> Sides | None:
        """From 2C-1 channels on, every window holds all: the channels may be reversed."""
        wide = self.but(size=2 * self.x.shape[1] + 1)
        return run(wide.but(x=np.array(self.x[:, ::-1], order="C"))), run(wide)[:, ::-1]

    @law("LAW-N18, LRN-02, EQV-09")
    def pixels_may_be_permuted(self, run: Run, pick: Pick) -> Sides | None:
        """Turning the image upside down and left to right turns the result."""
        turned = self.but(x=np.array(self.x[:, :, ::-1, ::-1], order="C"))
        return run(turned), run(self)[:, :, ::-1, ::-1]

    @law("LRN-01, GEN-18", STRICT)
    def nan_reaches_its_neighbours_and_no_other(self, run: Run, pick: Pick) -> Sides | None:
        """A NaN makes every output NaN whose window holds it, and no other."""
        one, at, reached = self._with_one_place(pick)
        clean = run(one)
        actual = clean.like(run.values(spoil(one, "x", at, np.nan)))
        return actual, clean.like(np.where(reached, np.nan, clean.value))

    @law("LRN-01, GEN-18", STRICT)
    def infinity_reaches_its_neighbours_and_no_other(self, run: Run, pick: Pick) -> Sides | None:
        """With beta = 3/4 an infinity makes every output 0 or NaN whose window holds it, its own too: it is divided by
        infinity, or multiplied by zero. Every other output is what it was."""
        one, at, reached = self._with_one_place(pick)
        clean = run(one)
        found = run.values(spoil(one, "x", at, pick.one_of(ANY[1:])))
        due = Measured(np.where(reached, 0.0, clean.value), lambda: np.where(reached, 0.0, clean.tolerance))
        return due.like(np.where(reached & np.isnan(found), 0.0, found)), due

    def _with_one_place(self, pick: Pick) -> tuple[LocalResponseNorm, At, npt.NDArray[np.bool_]]:
        """With squares that count and a window of an odd size, as by every convention; an element; who sees it."""
        one, at = self.but(size=self.size | 1, alpha=1.0, beta=0.75), np.zeros(self.x.shape)
        index = tuple(pick.integer(0, int(n) - 1) for n in self.x.shape)
        at[index] = 1
        return one, index, one.neighbours(at) > 0

    @example("LRN-04, LRN-03")
    def counting_the_window(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """Six channels of ones with alpha = size and beta = k = 1 give 1/(1 + count): windows of 3 hold 2 3 3 3 3 2, of
        5 hold 3 4 5 5 4 3, of 4 hold 3 4 4 4 3 2."""
        x = np.ones((1, 6, 1, 1)).astype(dtype)
        counts = {3: [2, 3, 3, 3, 3, 2], 5: [3, 4, 5, 5, 4, 3], 4: [3, 4, 4, 4, 3, 2]}
        return [
            (cls(x=x, size=size, alpha=float(size), beta=1.0), 1 / (1 + np.array(count, float)).reshape(1, 6, 1, 1))
            for size, count in counts.items()
        ]

    @edge("GEN-14")
    def an_empty_batch(cls: Any, pick: Pick) -> LocalResponseNorm:
        """No images give no images."""
        problem: LocalResponseNorm = cls.draw(pick)
        return problem.but(x=problem.x[:0])

    @edge("LRN-01")
    def one_pixel(cls: Any, pick: Pick) -> LocalResponseNorm:
        """Images of one pixel."""
        problem: LocalResponseNorm = cls.draw(pick)
        return problem.but(x=np.array(problem.x[:, :, :1, :1], order="C"))

    @edge("LRN-01, LRN-06")
    def a_window_of_one_channel(cls: Any, pick: Pick) -> LocalResponseNorm:
        """A window of one channel: every element is divided by a power of its own square alone."""
        problem: LocalResponseNorm = cls.draw(pick)
        return problem.but(size=1)

    @edge("LRN-05")
    def a_window_beyond_the_channels(cls: Any, pick: Pick) -> LocalResponseNorm:
        """A window larger than the number of channels."""
        problem: LocalResponseNorm = cls.draw(pick)
        return problem.but(size=2 * problem.x.shape[1] + 3)
