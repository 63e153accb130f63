"""The gradients of convolution."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from . import backward, backward_clauses, backward_laws, backward_parameters, conv2d_backward_clauses
from .backward import Backward, HiLo, Products
from .conv2d import Conv2d
from .dot import exact_dot
from .features import of_forward
from .op import Padding, Pair, Tensor, operation
from .pick import Pick
from .rounding import Arithmetic, Bound
from .takers import Index, collected, most_takers, takers

Array = npt.NDArray[np.float64]


@operation
class Conv2dBackward(Backward):
    """The gradients of a convolution, from the gradient of its output.

        grad_x[n,c,h,w]      = sum of grad_output[n,k,i,j] * weight[k,c',r,s] over the filters k of the group of c and
                               all (i,r), (j,s) whose tap lies on row h and column w
        grad_weight[k,c,r,s] = sum over n, i, j of grad_output[n,k,i,j] *
                               xp[n, group(k)*C/groups + c, i*stride + r*dilation, j*stride + s*dilation]
        grad_bias[k]         = sum over n, i, j of grad_output[n,k,i,j]

    c' is the number of c within its group, and xp is x padded. grad_x is the adjoint of the convolution: the gradient
    of the padded image is cut to the image, and in the modes that copy elements into the border the gradient of each
    copy is added to that of the element. A pixel that no tap lies on, between far strides or left over behind the last
    window, has gradient 0. Gradients of filters and biases are sums over images and outputs, not means. grad_bias is
    None where there is no bias.

    Source: the chain rule on the lecture's convolution layer; PyTorch conv2d under autograd.
    """

    x: Tensor  # (N, C, H, W) images
    weight: Tensor  # (K, C/groups, R, S) filters
    bias: Tensor | None = None  # (K) added to every output of a filter
    stride: Pair = (1, 1)  # (rows, columns) from one window to the next
    padding: Padding = ((0, 0), (0, 0))  # ((top, bottom), (left, right)) around the image
    padding_mode: str = "zeros"  # zeros, replicate, reflect or circular
    dilation: Pair = (1, 1)  # (rows, columns) from one tap to the next
    groups: int = 1  # blocks of channels, each with filters of its own
    grad_output: Tensor  # (N, K, I, J) the gradient of the output

    spreads = "adds"
    has_windows = True
    outputs = backward.PARAMETERS
    shared = (0, 2, 3)
    features = of_forward(Conv2d.features)
    excluded = Conv2d.excluded
    chapters = (backward.of_forward(Conv2d), backward_clauses, backward_parameters, conv2d_backward_clauses)
    the_gradient_is_the_adjoint = backward_laws.the_gradient_is_the_adjoint
    the_gradient_of_the_weights_is_the_adjoint = backward_laws.the_gradient_of_the_weights_is_the_adjoint

    @property
    def forward(self) -> Conv2d:
        return backward.forward_of(self, Conv2d)

    @property
    def gradients(self) -> dict[str, Products]:
        """grad_output (N, g, K/g, I*J) times filters (g, K/g, taps), patches (N, g, taps, I*J) or ones."""
        groups, k = self.groups, self.weight.shape[0]
        forward, taps = self.forward, int(np.prod(self.weight.shape[1:]))
        g = self.grad_output.reshape(self.x.shape[0], groups, k // groups, int(np.prod(self.grad_output.shape[2:])))
        filters = self.weight.reshape(groups, k // groups, taps)
        takers = _takers(forward)

        def grad_x(g: Array, w: Array) -> Array:
            return collected((self._shares(np.matmul(w.swapaxes(1, 2), g)),), *takers)[0]

        def exact_grad_x(g: Array, w: Array) -> HiLo:
            hi, lo = exact_dot(w.swapaxes(1, 2)[:, :, None], g.swapaxes(2, 3)[:, :, None], None)
            hi, lo = collected((self._shares(hi), self._shares(lo)), *takers)
            return hi, lo

        found = {
            "grad_x": Products(g, filters, grad_x, exact_grad_x),
            "grad_weight": Products(
                g,
                forward.columns(np.asarray(self.x, np.float64)),
                lambda g, seen: np.matmul(_rows(g), _rows(seen).swapaxes(1, 2)).reshape(self.weight.shape),
                lambda g, seen: _shaped(exact_dot(_rows(g)[:, :, None], _rows(seen)[:, None], None), self.weight.shape),
            ),
        }
        if self.bias is not None:
            ones = np.ones(g.shape[0] * g.shape[3])
            found["grad_bias"] = Products(
                g,
                ones,
                lambda g, one: np.matmul(_rows(g), one).reshape(k),
                lambda g, one: _shaped(exact_dot(_rows(g), one, None), (k,)),
                summed=True,
            )
        return found

    def _shares(self, columns: Array) -> Array:
        """(N, g, taps, I*J) -> (N, C, I, J, R, S)."""
        n, c = self.x.shape[:2]
        i, j = self.grad_output.shape[2:]
        r, s = self.weight.shape[2:]
        return columns.reshape(n, c, r, s, i, j).transpose(0, 1, 4, 5, 2, 3)

    def references(self) -> dict[str, Array]:
        return backward.values(self.gradients)

    def truths(self) -> dict[str, HiLo]:
        return backward.exact(self.gradients, self.dtype)

    def judgements(self, arithmetic: Arithmetic) -> dict[str, Bound]:
        """Sums of products, and of the bias a sum: backward.bounds."""
        return backward.bounds(self.gradients, arithmetic, self.dtype)

    def likely_errors(self, arithmetic: Arithmetic) -> dict[str, Array]:
        return backward.likely_errors(self.gradients, arithmetic)

    @staticmethod
    def terms(forward: Conv2d) -> int:
        n, k, i, j = forward.output_shape()
        rows, columns = (most_takers(axis, forward.padding_mode) for axis in forward.axes)
        return max(n * i * j, k // forward.groups * rows * columns)

    @classmethod
    def draw(cls, pick: Pick) -> Self:
        return cls.drawn(Conv2d.draw(pick), pick)


def _takers(forward: Conv2d) -> tuple[Index, Index]:
    rows, columns = forward.axes
    return takers(rows, forward.padding_mode), takers(columns, forward.padding_mode)


def _rows(array: Array) -> Array:
    """(N, g, A, I*J) -> (g, A, N*I*J)."""
    n, g, a, outputs = array.shape
    return array.transpose(1, 2, 0, 3).reshape(g, a, n * outputs)


def _shaped(pair: HiLo, shape: tuple[int, ...]) -> HiLo:
    return pair[0].reshape(shape), pair[1].reshape(shape)
