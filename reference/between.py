"""Arithmetic between the layers of a network that no backend is asked for.

It is computed in float64 and rounded once to the dtype, so that nothing can go wrong in it that is a backend's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .formats import FORMATS, format_of, round_to

Array = npt.NDArray[np.float64]
Tensor = npt.NDArray[Any]


class Between:
    """A function of the answer before it. `operations` float64 roundings of its `size` are made in computing it."""

    operations = 0

    def value(self, x: Array) -> Array:
        """The function, in float64."""
        raise NotImplementedError

    def moved(self, x: Array, off: Array) -> Array:
        """How far the value may move where each element of x moves by at most `off`."""
        raise NotImplementedError

    def spread(self, x: Array, spread: Array) -> Array:
        """The standard deviation of the value where those of x are `spread` and independent, to first order."""
        raise NotImplementedError

    def size(self, x: Array) -> Array:
        """What float64 roundings in `value` are relative to: the sum of the absolute terms."""
        return np.abs(self.value(x))

    def applied(self, x: Tensor) -> Tensor:
        """The value rounded once to the dtype of x."""
        with np.errstate(invalid="ignore", over="ignore"):
            return round_to(self.value(np.asarray(x, np.float64)), format_of(x.dtype)).astype(x.dtype)

    def passed_on(self, x: Array, off: Array, dtype: np.dtype[Any]) -> Array:
        """How far `applied` may be from the value of x, if its own input is at most `off` away from x.

        It moves by `moved`; the value is computed in float64 on both sides; one side is rounded to the dtype.
        """
        out, unit = format_of(dtype), FORMATS["float64"].unit
        with np.errstate(invalid="ignore", over="ignore"):
            moved = self.moved(x, off)
            most = np.abs(self.value(x)) + moved
            error = moved + (self.operations + 2) * unit * (2 * (self.size(x) + moved))
            return np.asarray(error + (out.unit * (most + error) + out.spacing / 2 if out.p < 53 else 0.0))


@dataclass(frozen=True)
class Squash(Between):
    """A tanh(S a) with A = 1.7159 and S = 2/3, the units of LeNet-5 (LeCun et al. 1998, appendix A).

    Its steepest slope is A*S, and it never moves by more than 2A.
    """

    height: float = 1.7159
    slope: float = 2.0 / 3.0
    operations = 12  # the argument 1, tanh to 4 ulp 8, the product 1

    def value(self, x: Array) -> Array:
        return np.asarray(self.height * np.tanh(self.slope * x))

    def moved(self, x: Array, off: Array) -> Array:
        return np.asarray(np.minimum(self.height * self.slope * off, 2 * self.height))

    def spread(self, x: Array, spread: Array) -> Array:
        steep = self.height * self.slope * (1 - np.tanh(self.slope * x) ** 2)
        return np.asarray(steep * spread)


@dataclass(frozen=True, eq=False)
class Scaled(Between):
    """factor * coefficient[c] * x + bias[c]: a trainable subsampling, once the averages of its windows are there."""

    coefficient: Tensor  # (C)
    bias: Tensor  # (C)
    factor: float = 4.0  # the sum of a 2x2 window is four times its average
    operations = 3

    def _each(self) -> tuple[Array, Array]:
        a, b = (np.asarray(v, np.float64)[:, None, None] for v in (self.coefficient, self.bias))
        return self.factor * a, b

    def value(self, x: Array) -> Array:
        a, b = self._each()
        return np.asarray(a * x + b)

    def moved(self, x: Array, off: Array) -> Array:
        return np.asarray(np.abs(self._each()[0]) * off)

    def spread(self, x: Array, spread: Array) -> Array:
        return np.asarray(np.abs(self._each()[0]) * spread)

    def size(self, x: Array) -> Array:
        a, b = self._each()
        return np.asarray(np.abs(a * x) + np.abs(b))


@dataclass(frozen=True, eq=False)
class Distances(Between):
    """y[n,o] = sum over f of (x[n,f] - centres[o,f])^2: the radial basis units at the end of LeNet-5.

    Where x moves by d, a term moves by at most 2|x - centre|*d + d^2.
    """

    centres: Tensor  # (O, F)

    @property
    def operations(self) -> int:  # type: ignore[override]
        return int(self.centres.shape[1]) + 4

    def _apart(self, x: Array) -> Array:
        return x[:, None, :] - np.asarray(self.centres, np.float64)[None]

    def value(self, x: Array) -> Array:
        return np.asarray((self._apart(x) ** 2).sum(axis=2))

    def moved(self, x: Array, off: Array) -> Array:
        by = off[:, None, :]
        return np.asarray((2 * np.abs(self._apart(x)) * by + by**2).sum(axis=2))

    def spread(self, x: Array, spread: Array) -> Array:
        return np.asarray(np.sqrt(((2 * self._apart(x) * spread[:, None, :]) ** 2).sum(axis=2)))
