"""The typical block of a convolutional network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from .avg_pool2d import AvgPool2d
from .batch_norm2d import BatchNorm2d
from .composition import Composition, Layer
from .conv2d import Conv2d
from .examples import image, output
from .group_norm import GroupNorm
from .instance_norm2d import InstanceNorm2d
from .laws import cropped, enlarged, small
from .layer_norm import LayerNorm
from .local_response_norm import LocalResponseNorm
from .max_pool2d import MaxPool2d
from .op import STRICT, Op, Padding, Pair, Run, Sides, Tensor, edge, example, law, operation
from .parameters import EPS
from .pick import Pick
from .pixel_group_norm import PixelGroupNorm
from .relu import Relu
from .stack import values, weights
from .stack_laws import alike
from .window import Window

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]
NONE = ((0, 0), (0, 0))


def _batch_norm(block: ConvBlock, x: Tensor) -> Op:
    return BatchNorm2d(
        x=x,
        weight=block.scale,
        bias=block.shift,
        running_mean=block.running_mean,
        running_var=block.running_var,
        training=block.training,
        eps=block.eps,
    )


def _layer_norm(block: ConvBlock, x: Tensor) -> Op:
    return LayerNorm(x=x, weight=block.scale, bias=block.shift, axes=3, eps=block.eps)


def _group_norm(block: ConvBlock, x: Tensor) -> Op:
    return GroupNorm(x=x, groups=block.norm_groups, weight=block.scale, bias=block.shift, eps=block.eps)


def _instance_norm(block: ConvBlock, x: Tensor) -> Op:
    return InstanceNorm2d(x=x, weight=block.scale, bias=block.shift, eps=block.eps)


# What may stand between the convolution and the rectifier.
NORMALIZATIONS: dict[str, Callable[[Any, Tensor], Op]] = {
    "batch": _batch_norm,
    "group": _group_norm,
    "layer": _layer_norm,
    "instance": _instance_norm,
}
POOLINGS: dict[str, type[Any]] = {"max": MaxPool2d, "avg": AvgPool2d}


@operation
class ConvBlock(Composition):
    """Convolution, normalization, rectifier, pooling, in this order.

        y = pool(max(normalize(conv(x)), 0))

    Normalization and pooling may be "none". The lecture also applies the rectifier right after the convolution, which
    is this block without a normalization; with one, its words name the order above. Layer normalization runs over the
    channels and the image, and `scale` and `shift` are then of that shape; for the others they are one per channel.

    Source: the lecture's typical block (L073, L050, L069).
    """

    x: Tensor  # (N, C, H, W) images
    weight: Tensor  # (K, C/groups, R, S) filters
    bias: Tensor | None = None  # (K) of the convolution
    scale: Tensor | None = None  # (K) weight of the normalization; (K, I, J) for layer normalization
    shift: Tensor | None = None  # (K) its bias; (K, I, J) for layer normalization
    running_mean: Tensor | None = None  # (K) of batch normalization
    running_var: Tensor | None = None  # (K) of batch normalization
    stride: Pair = (1, 1)  # of the convolution: rows, columns
    padding: Padding = ((0, 0), (0, 0))  # of the convolution: (top, bottom), (left, right)
    padding_mode: str = "zeros"  # zeros, replicate, reflect or circular
    dilation: Pair = (1, 1)  # of the convolution: rows, columns
    groups: int = 1  # of the convolution
    normalization: str = "none"  # none, batch, group, layer or instance
    training: bool = False  # of batch normalization
    norm_groups: int = 1  # groups of a group normalization
    eps: float = 1e-5  # added to the variances
    pooling: str = "none"  # none, max or avg
    window: Pair = (2, 2)  # of the pooling: rows, columns
    pool_stride: Pair = (2, 2)  # of the pooling: rows, columns

    requires = ("conv2d", "relu", "max_pool2d", "avg_pool2d")
    may_have = ("batch_norm2d", "group_norm", "layer_norm", "instance_norm2d")

    def steps(self) -> tuple[Layer, ...]:
        found: list[Layer] = [self.convolved]
        if self.normalization != "none":
            found.append(self.normalized)
        found.append(_rectified)
        if self.pooling != "none":
            found.append(self.pooled)
        return tuple(found)

    def convolved(self, x: Tensor) -> Op:
        """The convolution of x."""
        return Conv2d(
            x=x,
            weight=self.weight,
            bias=self.bias,
            stride=self.stride,
            padding=self.padding,
            padding_mode=self.padding_mode,
            dilation=self.dilation,
            groups=self.groups,
        )

    def normalized(self, x: Tensor) -> Op:
        """The normalization of x."""
        return NORMALIZATIONS[self.normalization](self, x)

    def pooled(self, x: Tensor) -> Op:
        """The pooling of x."""
        pooled: Op = POOLINGS[self.pooling](x=x, kernel_size=self.window, stride=self.pool_stride)
        return pooled

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        normalization = pick.one_of(("none", *NORMALIZATIONS), (40, *[60 / len(NORMALIZATIONS)] * len(NORMALIZATIONS)))
        pooling = pick.one_of(("none", "max", "avg"), (30, 40, 30))
        kind = pick.one_of(("integers", "normal"), (60, 40))
        random = np.random.default_rng(pick.integer(0, (1 << 16) - 1))
        n, groups = pick.one_of((1, 2), (30, 70)), 1 + pick.one_of((0, 1), (75, 25))
        c, k = groups * pick.integer(1, 2), groups * pick.integer(1, 3)
        window = pick.integer(1, 3), pick.integer(1, 3)
        drawn = []
        for pooled in window if pooling != "none" else (1, 1):
            taps, stride = 1 + pick.one_of((0, 1, 2)), 1 + pick.one_of((0, 1), (70, 30))
            before, after = pick.integer(0, 1), pick.integer(0, 1)
            length = (pick.integer(2, 7) + pooled) * stride + taps - before - after
            drawn.append(Window(max(length, taps), taps, stride, 1, before, after))
        rows, columns = drawn
        normed = (k, rows.count, columns.count) if normalization == "layer" and pick.flag() else (k,)
        affine = normalization != "none" and (normalization != "layer" or len(normed) == 3) and pick.flag(0.8)
        made = {
            "x": values(random, (n, c, rows.length, columns.length), kind),
            "weight": weights(random, (k, c // groups, rows.taps, columns.taps), kind),
            "bias": values(random, (k,), kind) if pick.flag(0.6) else None,
            "scale": 1 + values(random, normed, "normal") / 4 if affine else None,
            "shift": values(random, normed, "normal") if affine else None,
            "running_mean": values(random, (k,), "normal") if normalization == "batch" else None,
            "running_var": 0.5 + random.random(k) if normalization == "batch" else None,
        }
        return cls(
            **cast(dict[str, Any], {name: None if a is None else a.astype(pick.dtype) for name, a in made.items()}),
            stride=(rows.stride, columns.stride),
            padding=((rows.before, rows.after), (columns.before, columns.after)),
            groups=groups,
            normalization=normalization,
            training=normalization == "batch" and pick.flag(),
            norm_groups=pick.one_of([g for g in range(1, k + 1) if k % g == 0]),
            eps=pick.one_of((EPS, 0.5)),
            pooling=pooling,
            window=window,
            pool_stride=(pick.integer(1, 2), pick.integer(1, 2)),
        )

    # How its layers are exchanged, and what shifts.

    @law("BLK-02, LAW-P4, L050")
    def rectifier_and_max_pooling_commute(self, run: Run, pick: Pick) -> Sides | None:
        """With max pooling, rectifying after the pooling gives the same as before it."""
        block = self.but(pooling="max", window=self.window if self.pooling != "none" else (1, 1))

        def asked(problem: Op) -> Tensor:
            return run.values(problem).astype(self.dtype)

        x = asked(block.convolved(self.x))
        return asked(block.pooled(asked(_rectified(x)))), asked(_rectified(asked(block.pooled(x))))

    @law("EQV-09, LAW-C29")
    def normalization_over_the_image_commutes_with_rolls(self, run: Run, pick: Pick) -> Sides | None:
        """Rolling an image by whole pixels rolls its group, instance or layer normalization, unless layer normalization
        has weights of its own for every position."""
        name = pick.one_of(tuple(NORMALIZATIONS))
        k = self.weight.shape[0]
        scale = None if name == "layer" or self.scale is None else np.resize(self.scale, (k,))
        running = {"running_mean": np.zeros(k, self.dtype), "running_var": np.ones(k, self.dtype)}
        block = self.but(normalization=name, scale=scale, shift=None, **running)
        x = run.values(block.convolved(self.x)).astype(self.dtype)
        steps = pick.integer(0, 3), pick.integer(1, 3)
        there = run(block.normalized(np.roll(x, steps, (2, 3))))
        return there, run(block.normalized(x)).rearranged(lambda y: np.roll(y, steps, (2, 3)))

    @law("EQV-09", STRICT)
    def layers_of_single_pixels_commute_with_rolls(self, run: Run, pick: Pick) -> Sides | None:
        """The rectifier and the normalizations across channels see one pixel at a time: rolling commutes with them."""
        x = self.x
        layer: Callable[[Tensor], Op] = pick.one_of(
            (
                _rectified,
                lambda a: LocalResponseNorm(x=a, size=3),
                lambda a: PixelGroupNorm(x=a, groups=1, eps=0.5),
            )
        )
        steps = pick.integer(0, 3), pick.integer(1, 3)
        rolled = run(layer(np.roll(x, steps, (2, 3))))
        return rolled, run(layer(x)).rearranged(lambda y: np.roll(y, steps, (2, 3)))

    @law("EQV-07, EQV-05")
    def the_block_commutes_with_rolls(self, run: Run, pick: Pick) -> Sides | None:
        """With circular padding, windows side by side and sizes that both strides divide, rolling the image by their
        product rolls the output by one."""
        stride = min(self.stride[0], 2), min(self.stride[1], 2)
        pool_stride = self.pool_stride if self.pooling != "none" else (1, 1)
        r, s = self.weight.shape[2:]
        size = tuple(a * b * 3 for a, b in zip(stride, pool_stride, strict=True))
        block = self.but(
            x=cropped(enlarged(self.x, *size), *size),
            stride=stride,
            padding=((0, r - 1), (0, s - 1)),
            padding_mode="circular",
            window=pool_stride,
            pool_stride=pool_stride,
            **({"scale": None, "shift": None} if self.normalization == "layer" else {}),
        )
        a, b = pick.integer(0, 2), pick.integer(1, 2)
        by = a * stride[0] * pool_stride[0], b * stride[1] * pool_stride[1]
        here = run(block).rearranged(lambda y: np.roll(y, (a, b), (2, 3)))
        return alike(run, block.but(x=np.roll(block.x, by, (2, 3))), here), here

    @law("BLK-03, LAW-N9")
    def batch_normalization_folds_into_the_convolution(self, run: Run, pick: Pick) -> Sides | None:
        """In evaluation, filters times s and a bias of (bias - mean)*s + shift, s = scale/sqrt(variance + eps), do what
        convolution and batch normalization do: here with s and all else exact."""
        k = self.weight.shape[0]
        s = 2.0 ** (np.arange(k) % 3)
        whole = np.arange(k) % 5 - 2.0
        bias = np.zeros(k) if self.bias is None else np.asarray(small(self.bias), np.float64)
        made = {"scale": 2 * s, "shift": whole[::-1], "running_mean": whole, "running_var": np.full(k, 3.5)}
        block = self.but(
            x=small(self.x),
            weight=small(self.weight),
            bias=bias.astype(self.dtype),
            normalization="batch",
            training=False,
            eps=0.5,
            **{name: array.astype(self.dtype) for name, array in made.items()},
        )
        weight = np.asarray(block.weight, np.float64) * s[:, None, None, None]
        one = block.but(
            weight=weight.astype(self.dtype),
            bias=((bias - whole) * s + whole[::-1]).astype(self.dtype),
            normalization="none",
            **dict.fromkeys(made),
        )
        return run(block), run(one)

    # Worked.

    @example("BLK-02, E20")
    def rectifier_and_average_pooling_do_not_commute(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """-1 and 1: rectified and then averaged they give 1/2; averaged first they would give 0. Their maximum is 1."""
        one = np.ones((1, 1, 1, 1)).astype(dtype)
        problem = cls(x=image([[-1, 1]], dtype), weight=one, pooling="avg", window=(1, 2), pool_stride=(1, 1))
        return [(problem, output([[0.5]])), (problem.but(pooling="max"), output([[1]]))]

    @example("BLK-01, L073, E20")
    def normalization_comes_before_the_rectifier(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """-1 and 1 times 4 plus 8 are 4 and 12, of mean 8 and variance 16; with eps 9 they become -0.8 and 0.8: 0 and
        0.8 come out. Rectified first, -0.8 would stay. With a shift of 1 they are 0.2 and 1.8, on average 1."""
        problem = cls(
            x=image([[-1, 1]], dtype),
            weight=np.full((1, 1, 1, 1), 4.0).astype(dtype),
            bias=np.full(1, 8.0).astype(dtype),
            normalization="group",
            eps=9.0,
        )
        shifted = problem.but(shift=np.ones(1).astype(dtype), pooling="avg", window=(1, 2), pool_stride=(1, 1))
        return [(problem, output([[0, 0.8]])), (shifted, output([[1]]))]

    @example("RF-07")
    def a_normalization_sees_the_whole_sample(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """8 0 0 0 has mean 2, variance 12; with eps 4 and scale -1 it becomes -1.5 and three times 0.5. One pixel has
        changed them all: 0 0 0 0 gives zeros. In two groups the other channel does not see it."""
        x = np.zeros((2, 2, 1, 4))
        x[0, 0, 0, 0] = 8
        problem = cls(
            x=x.astype(dtype),
            weight=np.eye(2).reshape(2, 2, 1, 1).astype(dtype),
            scale=np.full(2, -1.0).astype(dtype),
            normalization="group",
            norm_groups=2,
            eps=4.0,
        )
        y = np.zeros((2, 2, 1, 4))
        y[0, 0, 0, 1:] = 0.5
        one = x[:, :1].astype(dtype)
        layer = problem.but(
            x=one, weight=problem.weight[:1, :1], scale=np.full((1, 1, 4), -1.0).astype(dtype), normalization="layer"
        )
        return [(problem, y), (problem.but(normalization="instance"), y), (layer, y[:, :1])]

    @example("EQV-09, E10")
    def weights_for_every_position_break_rolls(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """8 0 0 0 and 0 8 0 0 under layer normalization with scales 1 2 3 4: 1.5 comes out as 1.5 in the first and as 3
        in the second; with one scale per channel it is 1.5 in both."""
        x = np.array([[8.0, 0, 0, 0], [0, 8, 0, 0]])[:, None, None].astype(dtype)
        one = np.ones((1, 1, 1, 1)).astype(dtype)
        scale = np.arange(1.0, 5.0).reshape(1, 1, 4).astype(dtype)
        problem = cls(x=x, weight=one, scale=scale, normalization="layer", eps=4.0)
        rolls = problem.but(scale=one[0, 0, 0], normalization="group")
        return [
            (problem, np.array([[1.5, 0, 0, 0], [0, 3, 0, 0]])[:, None, None]),
            (rolls, np.array([[1.5, 0, 0, 0], [0, 1.5, 0, 0]])[:, None, None]),
        ]

    @edge("GEN-14")
    def an_empty_batch(cls: Any, pick: Pick) -> ConvBlock:
        """No images give no images, through every layer but a normalization, which has a clause of its own for them."""
        problem: ConvBlock = cls.draw(pick)
        return problem.but(x=problem.x[:0], normalization="none", scale=None, shift=None)


def _rectified(x: Tensor) -> Op:
    return Relu(x=x)
