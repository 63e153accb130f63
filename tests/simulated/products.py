"""Sums of products that are less exact than they say.

Convolutions and fully connected layers are matrix products of filters and unfolded patches; each class has a way of
its own to multiply. What a fast algorithm does not cover (strides, dilation, groups) falls back to the plain product,
as in the libraries. By default float32.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from convspec.reference.formats import dtype_named

Tensor = npt.NDArray[Any]

BFLOAT16 = dtype_named("bfloat16")


def rounded(x: Tensor, bits: int) -> Tensor:
    """To nearest numbers of so many significant bits."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits).astype(x.dtype)


def truncated(x: Tensor, bits: int) -> Tensor:
    """Significant bits beyond so many cut off."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.trunc(np.ldexp(mantissa, bits)), exponent - bits).astype(x.dtype)


class Plain:
    """float32 products in an order of the library's own; 16-bit numbers are widened, the result rounded once."""

    dtypes: ClassVar[Any] = ("float32",)

    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        """(K, T) times (T, M)."""
        return np.matmul(filters, columns)

    def conv2d(self, problem: Any) -> Tensor:
        problem.validate()
        return self.unfolded(problem)

    def unfolded(self, problem: Any) -> Tensor:
        (n, k, i, j), g = problem.output_shape(), problem.groups
        seen = problem.columns(problem.x.astype(np.float64)).astype(self.internal(problem))  # (N, g, T, I*J)
        filters = problem.weight.astype(seen.dtype).reshape(g, k // g, -1)
        y = np.empty((g, k // g, n, i * j), seen.dtype)
        for group in range(g):
            columns = seen[:, group].transpose(1, 0, 2).reshape(seen.shape[2], n * i * j)
            y[group] = self.multiply(filters[group], columns).reshape(k // g, n, i * j)
        y = y.reshape(k, n, i * j).swapaxes(0, 1).reshape(n, k, i, j)
        return self.biased(y, problem.bias if problem.bias is None else problem.bias[:, None, None], problem)

    def linear(self, problem: Any) -> Tensor:
        problem.validate()
        wide = self.internal(problem)
        y = self.multiply(problem.weight.astype(wide), np.array(problem.x.astype(wide).T, order="C")).T
        return self.biased(y, problem.bias, problem)

    @staticmethod
    def biased(y: Tensor, bias: Tensor | None, problem: Any) -> Tensor:
        y = y if bias is None else y + bias.astype(y.dtype)
        return np.asarray(y, order="C").astype(problem.dtype)

    @staticmethod
    def internal(problem: Any) -> Any:
        return np.float32 if problem.dtype.itemsize < 8 else np.float64


class Plain16(Plain):
    dtypes = ("float16", "bfloat16")


class BiasAfterRounding(Plain16):
    """The sum is rounded to 16 bits, then the bias is added."""

    @staticmethod
    def biased(y: Tensor, bias: Tensor | None, problem: Any) -> Tensor:
        y = y.astype(problem.dtype)
        return np.asarray(y if bias is None else y + bias, order="C")


class Wide(Plain):
    """float32 in float64."""

    @staticmethod
    def internal(problem: Any) -> Any:
        return np.float64


# Inputs of fewer bits.


class Tf32(Plain):
    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        return super().multiply(rounded(filters, 11), rounded(columns, 11))


class Tf32Truncated(Plain):
    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        return super().multiply(truncated(filters, 11), truncated(columns, 11))


class Tf32Declared(Tf32):
    arithmetic = "tf32"


class Bf16Inputs(Plain):
    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        return super().multiply(rounded(filters, 8), rounded(columns, 8))


class F16Inputs(Plain):
    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        with np.errstate(over="ignore"):
            return super().multiply(*(a.astype(np.float16).astype(np.float32) for a in (filters, columns)))


class OneRoundedFactor(Plain):
    """Weights alone are kept in bfloat16."""

    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        return super().multiply(rounded(filters, 8), columns)


class Float32ForFloat64(Plain):
    dtypes = ("float64",)

    @staticmethod
    def internal(problem: Any) -> Any:
        return np.float32


# float32 out of several shorter numbers.


def parts(x: Tensor, bits: int, count: int) -> list[Tensor]:
    """Numbers of so many bits that add up to x, as far as they go."""
    made = []
    for _ in range(count):
        made.append(rounded(x, bits))
        x = x - made[-1]
    return made


class Bf16x2(Plain):
    """The products of the parts, the smallest first, without those of two parts further down than the last."""

    bits, count = 8, 2

    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        a, b = (parts(x, self.bits, self.count) for x in (filters, columns))
        y = np.zeros((len(filters), columns.shape[1]), filters.dtype)
        for level in reversed(range(self.count)):
            for i in range(level + 1):
                y = y + super().multiply(a[i], b[level - i])
        return y


class Bf16x3(Bf16x2):
    count = 3


class Tf32x3(Bf16x2):
    bits = 11


# Sums of fewer bits.


class TruncatedSums(Plain):
    """float32, cut off where others round."""

    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        y = np.zeros((len(filters), columns.shape[1]))
        for t in range(len(columns)):
            y = truncated(y + filters[:, t, None].astype(np.float64) * columns[t], 24)
        return y.astype(np.float32)


class F16Sums(Plain):
    """One product after the other, each partial sum rounded."""

    kept: ClassVar[Any] = np.float16

    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        y = np.zeros((len(filters), columns.shape[1]), np.float32)
        for t in range(len(columns)):
            y = (y + filters[:, t, None] * columns[t]).astype(self.kept).astype(np.float32)
        return y


class Bf16Sums(F16Sums):
    kept = BFLOAT16


class F16SumsOfF16(F16Sums):
    dtypes = ("float16",)


class F16SumsOfBlocks(F16Sums):
    """float32 within blocks of 16 products, float16 from block to block."""

    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        y = np.zeros((len(filters), columns.shape[1]), np.float32)
        for t in range(0, len(columns), 16):
            y = (y + np.matmul(filters[:, t : t + 16], columns[t : t + 16])).astype(self.kept).astype(np.float32)
        return y


class DropsTheLastProduct(Plain):
    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        return super().multiply(filters[:, :-1], columns[:-1])


# Fast algorithms.


def toom_cook(m: int, points: tuple[float, ...], taps: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """A', G and B' of F(m, taps): y = A'((G g) * (B' d)) for filters g and inputs d, at these points and infinity."""
    size = m + taps - 1
    a, g, b = np.zeros((m, size)), np.zeros((size, taps)), np.zeros((size, size))
    for j, p in enumerate(points):
        others = [q for q in points if q != p]
        a[:, j] = p ** np.arange(m)
        g[j] = p ** np.arange(taps) / np.prod([p - q for q in others])
        b[j, : size - 1] = np.poly(others)[::-1]
    a[m - 1, -1] = g[-1, taps - 1] = 1
    b[-1] = np.poly(points)[::-1]
    return a, g, b


class Winograd2(Plain):
    """F(2,3): tiles of 2 x 2 outputs, 3x3 filters with stride 1."""

    m, points = 2, (0.0, 1.0, -1.0)

    def conv2d(self, problem: Any) -> Tensor:
        problem.validate()
        plain = problem.weight.shape[2:] == (3, 3) and problem.stride == (1, 1) and problem.dilation == (1, 1)
        if not plain or problem.groups != 1 or problem.padding_mode != "zeros" or min(problem.output_shape()) < 1:
            return self.unfolded(problem)
        (n, k, i, j), m, wide = problem.output_shape(), self.m, self.internal(problem)
        a, g, b = (array.astype(wide) for array in toom_cook(m, self.points))
        (top, bottom), (left, right) = problem.padding
        padding = ((0, 0), (0, 0), (top, bottom + -i % m), (left, right + -j % m))
        x = np.pad(problem.x.astype(wide), padding)
        tiles = np.lib.stride_tricks.sliding_window_view(x, (m + 2, m + 2), (2, 3))[
            :, :, ::m, ::m
        ]  # (N, C, I/m, J/m, ., .)
        filters = np.matmul(np.matmul(g, problem.weight.astype(wide)), g.T)
        tiles = np.matmul(np.matmul(b, tiles), b.T)
        points = np.einsum("kcuv,ncijuv->nkijuv", filters, tiles, optimize=True)
        y = np.matmul(np.matmul(a, points), a.T)  # (N, K, I/m, J/m, m, m)
        y = y.transpose(0, 1, 2, 4, 3, 5).reshape(n, k, i + -i % m, j + -j % m)[:, :, :i, :j]
        return self.biased(y, problem.bias if problem.bias is None else problem.bias[:, None, None], problem)


class Winograd4(Winograd2):
    m, points = 4, (0.0, 1.0, -1.0, 2.0, -2.0)


class Winograd6(Winograd2):
    m, points = 6, (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)


class Winograd4OfF16(Winograd4):
    dtypes = ("float16",)


class WinogradInFloat64(Winograd4):
    """The errors of its transforms are below those of float32: next to a huge number too."""

    @staticmethod
    def internal(problem: Any) -> Any:
        return np.float64


class Fft(Plain):
    """The whole image at once, in complex numbers of two float32."""

    def conv2d(self, problem: Any) -> Tensor:
        problem.validate()
        plain = problem.stride == (1, 1) and problem.dilation == (1, 1) and problem.groups == 1
        if not plain or problem.padding_mode != "zeros" or min(problem.output_shape()) < 1:
            return self.unfolded(problem)
        wide = self.internal(problem)
        x = np.pad(problem.x.astype(wide), ((0, 0), (0, 0), *problem.padding))
        y = self.correlated(x, problem.weight.astype(wide))
        return self.biased(y, problem.bias if problem.bias is None else problem.bias[:, None, None], problem)

    def correlated(self, x: Tensor, weight: Tensor) -> Tensor:
        height, width = x.shape[2:]
        r, s = weight.shape[2:]
        seen, used = np.fft.rfft2(x), np.fft.rfft2(weight, (height, width))
        assert seen.dtype == (np.complex64 if x.dtype == np.float32 else np.complex128)
        made = np.einsum("nchw,kchw->nkhw", seen, used.conj(), optimize=True)
        y: Tensor = np.fft.irfft2(made, (height, width))[:, :, : height - r + 1, : width - s + 1]
        return y


class TiledFft(Fft):
    """In tiles of 16 x 16 inputs, those of neighbours overlapping by what the filter sees: NNPACK's."""

    tile = 16

    def correlated(self, x: Tensor, weight: Tensor) -> Tensor:
        (height, width), (r, s) = x.shape[2:], weight.shape[2:]
        down, across = self.tile - r + 1, self.tile - s + 1
        rows, columns = height - r + 1, width - s + 1
        y = np.empty((len(x), len(weight), rows, columns), x.dtype)
        x = np.pad(x, ((0, 0), (0, 0), (0, self.tile), (0, self.tile)))
        for i in range(0, rows, down):
            for j in range(0, columns, across):
                made = super().correlated(x[:, :, i : i + self.tile, j : j + self.tile], weight)
                y[:, :, i : i + down, j : j + across] = made[:, :, : rows - i, : columns - j]
        return y


class Strassen(Plain):
    """One level of it, in all matrix products."""

    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        (k, t), m = filters.shape, columns.shape[1]
        a = np.pad(filters, ((0, k % 2), (0, t % 2)))
        b = np.pad(columns, ((0, t % 2), (0, m % 2)))
        (a11, a12), (a21, a22) = (np.hsplit(half, 2) for half in np.vsplit(a, 2))
        (b11, b12), (b21, b22) = (np.hsplit(half, 2) for half in np.vsplit(b, 2))
        m1 = (a11 + a22) @ (b11 + b22)
        m2, m3 = (a21 + a22) @ b11, a11 @ (b12 - b22)
        m4, m5 = a22 @ (b21 - b11), (a11 + a12) @ b22
        m6, m7 = (a21 - a11) @ (b11 + b12), (a12 - a22) @ (b21 + b22)
        y = np.block([[m1 + m4 - m5 + m7, m3 + m5], [m2 + m4, m1 - m2 + m3 + m6]])
        return y[:k, :m]


class SharedExponents(Plain):
    """Each operand as whole numbers of 24 bits of its largest element: exact products and sums, small numbers lost."""

    def multiply(self, filters: Tensor, columns: Tensor) -> Tensor:
        whole, scales = [], []
        for array in (filters, columns):
            with np.errstate(divide="ignore"):
                scale = 2.0 ** (np.ceil(np.log2(np.abs(array).max(initial=0.0))) - 24) if array.any() else 1.0
            whole.append(np.rint(array.astype(np.float64) / scale))
            scales.append(scale)
        with np.errstate(invalid="ignore"):
            return (np.matmul(*whole) * scales[0] * scales[1]).astype(filters.dtype)
