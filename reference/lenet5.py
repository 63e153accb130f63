"""LeNet-5, as it was published and as it is written today."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .avg_pool2d import AvgPool2d
from .between import Distances, Scaled, Squash
from .composition import Composition, Step
from .conv2d import Conv2d
from .linear import Linear
from .max_pool2d import MaxPool2d
from .op import STRICT, Op, Padding, Run, Sides, Tensor, edge, example, law, operation
from .pick import Pick
from .relu import Relu
from .stack import values, weights

Array = npt.NDArray[np.float64]
Worked = list[tuple[Any, Array]]

FORMS = ("modern", "1998")
POOLS: dict[str, type[Any]] = {"max": MaxPool2d, "avg": AvgPool2d}

# Which maps of S2 each map of C3 reads: six read three neighbours, six four neighbours, three four in two pairs, one
# all six. Source: LeCun, Bottou, Bengio, Haffner 1998, table I.
TABLE: tuple[tuple[int, ...], ...] = (
    *(tuple(sorted((k + d) % 6 for d in range(3))) for k in range(6)),
    *(tuple(sorted((k + d) % 6 for d in range(4))) for k in range(6)),
    *(tuple(sorted((k + d) % 6 for d in (0, 1, 3, 4))) for k in range(3)),
    tuple(range(6)),
)

# Maps of C1 and C3, units of C5, F6 and the output: the published ones, and narrow ones that cost little.
PUBLISHED = (6, 16, 120, 84, 10)
NARROW = ((1, 2, 3, 2, 2), (2, 4, 5, 4, 3), (3, 5, 4, 6, 10))


@operation
class LeNet5(Composition):
    """Two convolutions of 5x5 with a halving after each, and three fully connected layers.

    32x32 -> C1 28x28 -> S2 14x14 -> C3 10x10 -> S4 5x5 -> C5 -> F6 -> output; 6, 16, 120, 84 and 10 maps or units as
    published, others by the sizes of the weights. An image of 28x28 is padded by 2.

    modern: C1 and C3 are rectified, S2 and S4 are 2x2 poolings; C5 is a fully connected layer on the flattened 16x5x5
    (in the order c, h, w), C5 and F6 are rectified, the output is the third fully connected layer.

    1998: S2 and S4 are sums over 2x2 windows, times a coefficient, plus a bias, for each map; a map of C3 reads only
    the maps of S2 that TABLE names; C5 is a convolution; all layers up to F6 end in 1.7159*tanh(2/3 a); the outputs are
    the squared distances to `output`. A backend is asked for the convolutions, averages and F6; the rest is computed
    between them in float64 and rounded to the dtype.

    Source: LeCun, Bottou, Bengio, Haffner 1998; the lecture names the network (L070) and draws it (F13).
    """

    x: Tensor  # (N, 1, 32, 32) images, or (N, 1, 28, 28) with padding 2
    c1: Tensor  # (6, 1, 5, 5) filters of C1
    c3: Tensor  # (16, 6, 5, 5) filters of C3
    c5: Tensor  # (120, 400) weights of C5
    f6: Tensor  # (84, 120) weights of F6
    output: Tensor  # (10, 84) weights of the output; in the form of 1998 the centres of its units
    c1_bias: Tensor | None = None  # (6) bias of C1
    c3_bias: Tensor | None = None  # (16) bias of C3
    c5_bias: Tensor | None = None  # (120) bias of C5
    f6_bias: Tensor | None = None  # (84) bias of F6
    output_bias: Tensor | None = None  # (10) bias of the modern form's output
    s2: Tensor | None = None  # (6) coefficients of S2, in the form of 1998
    s4: Tensor | None = None  # (16) coefficients of S4, in the form of 1998
    s2_bias: Tensor | None = None  # (6) bias of S2, in the form of 1998
    s4_bias: Tensor | None = None  # (16) bias of S4, in the form of 1998
    form: str = "modern"  # modern or 1998
    pooling: str = "max"  # max or avg, in the modern form
    padding: Padding = ((0, 0), (0, 0))  # of C1

    name = "lenet5"
    requires = ("conv2d", "max_pool2d", "avg_pool2d", "relu", "linear")

    def steps(self) -> tuple[Step, ...]:
        return self._of_1998() if self.form == "1998" else self._modern()

    def _modern(self) -> tuple[Step, ...]:
        def pooled(x: Tensor) -> Op:
            problem: Op = POOLS[self.pooling](x=x, kernel_size=2, stride=2)
            return problem

        def rectified(x: Tensor) -> Op:
            return Relu(x=x)

        return (
            lambda x: Conv2d(x=x, weight=self.c1, bias=self.c1_bias, padding=self.padding),
            rectified,
            pooled,
            lambda x: Conv2d(x=x, weight=self.c3, bias=self.c3_bias),
            rectified,
            pooled,
            lambda x: Linear(x=flattened(x), weight=self.c5, bias=self.c5_bias),
            rectified,
            lambda x: Linear(x=x, weight=self.f6, bias=self.f6_bias),
            rectified,
            lambda x: Linear(x=x, weight=self.output, bias=self.output_bias),
        )

    def _of_1998(self) -> tuple[Step, ...]:
        def subsampled(x: Tensor) -> Op:
            return AvgPool2d(x=x, kernel_size=(2, 2), stride=(2, 2))

        arrays = self.arrays()
        filters = self.c3 * connected(*self.c3.shape[:2]).astype(self.c3.dtype)
        return (
            lambda x: Conv2d(x=x, weight=self.c1, bias=self.c1_bias, padding=self.padding),
            Squash(),
            subsampled,
            Scaled(arrays["s2"], arrays["s2_bias"]),
            Squash(),
            lambda x: Conv2d(x=x, weight=filters, bias=self.c3_bias),
            Squash(),
            subsampled,
            Scaled(arrays["s4"], arrays["s4_bias"]),
            Squash(),
            lambda x: Conv2d(x=x, weight=as_filters(self.c5, x), bias=self.c5_bias),
            Squash(),
            lambda x: Linear(x=flattened(x), weight=self.f6, bias=self.f6_bias),
            Squash(),
            Distances(self.output),
        )

    @classmethod
    def made(
        cls, dtype: np.dtype[Any], seed: int, widths: tuple[int, ...] = PUBLISHED, *, kind: str = "normal", n: int = 1,
        form: str = "modern", pooling: str = "max", side: int = 32, bias: bool = True,
    ) -> Self:  # fmt: skip
        """A network with random weights. kind: `normal`, or `integers`, which have three weights of -1 or 1 in each
        filter and row."""
        random = np.random.default_rng(seed)
        one, two, three, four, last = widths
        shapes = {"c1": (one, 1, 5, 5), "c3": (two, one, 5, 5), "c5": (three, two * 25), "f6": (four, three)}
        shapes["output"] = (last, four)
        make = _sparse if kind == "integers" else weights
        arrays = {name: make(random, shape, kind) for name, shape in shapes.items()}
        if bias:
            sizes = dict(zip(("c1_bias", "c3_bias", "c5_bias", "f6_bias"), widths, strict=False))
            smaller = 1 if kind == "integers" else 4
            arrays |= {name: values(random, (size,), kind) / smaller for name, size in sizes.items()}
        if form == "1998":
            arrays["output"] = random.choice((-1.0, 1.0), shapes["output"])
            arrays |= {"s2": 0.25 + random.random(one) / 4, "s4": 0.25 + random.random(two) / 4}
            arrays |= {"s2_bias": values(random, (one,), "normal") / 8, "s4_bias": values(random, (two,), "normal") / 8}
        elif bias:
            arrays["output_bias"] = values(random, (last,), kind)
        arrays["x"] = values(random, (n, 1, side, side), kind)
        return cls(
            **{name: array.astype(dtype) for name, array in arrays.items()},
            form=form,
            pooling=pooling,
            padding=((2, 2), (2, 2)) if side == 28 else ((0, 0), (0, 0)),
        )

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls.made(
            pick.dtype,
            widths=pick.one_of(NARROW, (50, 30, 20)),
            form=pick.one_of(FORMS, (75, 25)),
            pooling=pick.one_of(("max", "avg"), (70, 30)),
            kind=pick.one_of(("integers", "normal"), (70, 30)),
            n=pick.one_of((1, 2), (30, 70)),
            side=pick.one_of((32, 28), (75, 25)),
            bias=pick.flag(0.7),
            seed=pick.integer(0, (1 << 16) - 1),
        )

    @law("NET-04, LAW-C13, FC-05, L071")
    def the_fifth_layer_is_a_convolution(self, run: Run, pick: Pick) -> Sides | None:
        """C5 as 5x5 filters on the 5x5 maps of S4 gives what the fully connected layer gives on the flattened maps."""
        c = self.c3.shape[0]
        x = np.resize(self.x, (self.x.shape[0], c, 5, 5))
        whole = run(Linear(x=flattened(x), weight=self.c5, bias=self.c5_bias))
        slid = run(Conv2d(x=x, weight=as_filters(self.c5, x), bias=self.c5_bias))
        return slid.rearranged(lambda y: y[:, :, 0, 0]), whole

    @law("LAW-A8", STRICT)
    def powers_of_two_move_out(self, run: Run, pick: Pick) -> Sides | None:
        """Without biases, the image times 2 gives the modern network's answer times 2 to the last bit."""
        if self.form == "1998" or str(self.dtype) == "float16" or run.convention("repeatable") == "false":
            return None  # results below float16's smallest normal number are not rounded alike at another scale
        plain = self.but(**{f"{name}_bias": None for name in ("c1", "c3", "c5", "f6", "output")})
        return run.values(plain.but(x=self.x * np.asarray(2, self.dtype))), 2 * run.values(plain)

    @example("NET-03, NET-01, L070")
    def ones_through_the_modern_network(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """The published sizes, an image of ones and constant weights: each layer multiplies by its number of inputs
        times its weight, 25/32, 150/128, 400/512, 120/128 and 84/64, whether it pools by maximum or average."""
        sizes = {"c1": (6, 1, 5, 5), "c3": (16, 6, 5, 5), "c5": (120, 400), "f6": (84, 120), "output": (10, 84)}
        parts = {"c1": 32, "c3": 128, "c5": 512, "f6": 128, "output": 64}
        arrays = {name: np.full(shape, 1 / parts[name]).astype(dtype) for name, shape in sizes.items()}
        problem = cls(x=np.ones((1, 1, 32, 32)).astype(dtype), **arrays)
        y = np.full((1, 10), 25 / 32 * 150 / 128 * 400 / 512 * 120 / 128 * 84 / 64)
        return [(problem, y), (problem.but(pooling="avg"), y)]

    @example("NET-01, NET-02, NET-06")
    def zeros_through_the_network_of_1998(cls: Any, dtype: np.dtype[Any]) -> Worked:
        """With zero weights and biases every unit is tanh(0) = 0, and each output is the squared distance of 84 zeros
        to a corner of the cube: 84."""
        problem = cls.made(dtype, 0, form="1998")
        zeros = {name: a * np.asarray(0, dtype) for name, a in problem.arrays().items() if name not in ("x", "output")}
        return [(problem.but(**zeros), np.full((1, 10), 84.0))]

    @edge("NET-03, L070")
    def the_published_sizes(cls: Any, pick: Pick) -> LeNet5:
        """The modern network on 32x32: layers of 28, 14, 10 and 5 pixels a side, then 400, 120, 84 and 10 numbers."""
        return _few(str(pick.dtype), pick.integer(0, 3), "modern")

    @edge("NET-03")
    def an_image_of_28_by_28(cls: Any, pick: Pick) -> LeNet5:
        """A smaller image padded by 2 has the same sizes from the first layer on."""
        return _few(str(pick.dtype), pick.integer(0, 7), "modern", NARROW[1], 28)

    @edge("NET-01, NET-02")
    def the_form_of_1998(cls: Any, pick: Pick) -> LeNet5:
        """The published network with its table of connections, trainable subsampling and distances at the end."""
        return _few(str(pick.dtype), pick.integer(0, 3), "1998")

    @edge("GEN-14")
    def an_empty_batch(cls: Any, pick: Pick) -> LeNet5:
        """No images give no answers, through every layer."""
        return _few(str(pick.dtype), 0, pick.one_of(FORMS), NARROW[0], n=0)


@lru_cache(maxsize=24)
def _few(dtype: str, number: int, form: str, widths: tuple[int, ...] = PUBLISHED, side: int = 32, n: int = 1) -> LeNet5:
    """One of a few networks: those of the published size cost too much to be made and judged anew for every case."""
    from .formats import dtype_named

    kind = "normal" if form == "1998" or number % 2 else "integers"
    pooling = ("max", "avg")[number // 2 % 2]
    return LeNet5.made(dtype_named(dtype), number, widths, kind=kind, n=n, form=form, pooling=pooling, side=side)


def connected(filters: int, channels: int) -> npt.NDArray[np.bool_]:
    """(filters, channels, 1, 1): the upper left part of TABLE as a mask on the filters of C3."""
    found = np.zeros((filters, channels, 1, 1), bool)
    for k, row in enumerate(TABLE[:filters]):
        found[k, [c for c in row if c < channels]] = True
    return found


def flattened(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C*H*W), the elements in this order."""
    return np.array(x.reshape(len(x), prod(x.shape[1:])), order="C")


def as_filters(weight: Tensor, x: Tensor) -> Tensor:
    """The rows of a fully connected layer as filters as large as the image (N, C, H, W)."""
    return weight.reshape(len(weight), *x.shape[1:])


def _sparse(random: np.random.Generator, shape: tuple[int, ...], kind: str) -> Array:
    """Three weights of -1 or 1 in each row: sums of integers stay below 2^11 through five layers."""
    flat = np.zeros((shape[0], prod(shape[1:])))
    at = random.integers(0, flat.shape[1], (shape[0], 3))
    np.put_along_axis(flat, at, random.choice((-1.0, 1.0), at.shape), axis=1)
    return flat.reshape(shape)
