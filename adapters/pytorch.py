"""PyTorch on the CPU and on the first CUDA device, through torch.nn.functional."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.reference import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Convolve2d,
    Dropout,
    Dropout2d,
    GroupNorm,
    GroupNormBackward,
    InstanceNorm2d,
    LayerNorm,
    Linear,
    LocallyConnected2d,
    LocalResponseNorm,
    MaxPool2d,
    Op,
    Pad2d,
    Relu,
    SyncBatchNorm2d,
)
from convspec.reference.backward import Backward
from convspec.reference.formats import dtype_named, name_of
from convspec.reference.rounding import Arithmetic

from .errors import CannotLoad, Unsupported
from .sync_torch import MOST_DEVICES, DeviceLost, Devices, synchronized

try:
    import torch
    from torch.nn import functional

    from .onednn_faults import PAIRS_OF_BFLOAT16, is_wrong, may_end_the_process
    from .pytorch_backward import Gradients
except ImportError as error:
    raise CannotLoad("torch: PyTorch is not installed; pip install 'convspec[torch]'") from error

Tensor = npt.NDArray[Any]

_ONE_GENERATOR = RLock()  # functionals draw from one generator, whichever thread calls
_ONE_GROUP = RLock()  # of processes, which answer one request after another

NORMS = ("batch_norm2d", "layer_norm", "group_norm")  # those that have gradients
MODES = {"zeros": "constant", "replicate": "replicate", "reflect": "reflect", "circular": "circular"}


class Torch(Gradients):
    """Every operation by the functional of its name; padding that it cannot take itself is padded first."""

    variants: tuple[str, ...] = ("channels_last",)
    device = "cpu"
    dtypes = ("float32", "float64", "float16", "bfloat16")
    # Its batch and instance normalization of 16-bit images keep mean and deviation in the images' own format, and so do
    # the gradients of its normalizations, which are computed in it element by element where images are strided, and
    # added up in it for weight and bias. The gradients of its float16 convolutions are sums of what single taps and
    # images gave, rounded to float16, and those of its 16-bit poolings are added up window by window in the images' own
    # format. On processors for which oneDNN has no bfloat16 its gradients of bfloat16 convolutions are such sums too.
    # On others the instruction that multiplies pairs of bfloat16 (vdpbf16ps) reads subnormals as zero and leaves none.
    arithmetic: Any = (
        {
            (op, d): replace(Arithmetic.ieee(d), name="16-bit statistics", statistics=d)
            for op in ("batch_norm2d", "instance_norm2d", *(f"{norm}_backward" for norm in NORMS))
            for d in ("float16", "bfloat16")
        }
        | {
            (op, d): replace(Arithmetic.ieee(d), name="16-bit sums", accumulator=d)
            for op, d in (
                ("conv2d_backward", "float16"),
                *(() if PAIRS_OF_BFLOAT16 else [("conv2d_backward", "bfloat16")]),
                *((f"{pool}_pool2d_backward", d) for pool in ("avg", "max") for d in ("float16", "bfloat16")),
            )
        }
        | {
            (op, "bfloat16"): replace(Arithmetic.ieee("bfloat16"), name="flushed subnormals", flush_to_zero=True)
            for op in ("convolve2d", "conv2d", "conv2d_backward", "linear", "linear_backward")
            if PAIRS_OF_BFLOAT16
        }
    )

    conventions = {"lrn_even": "mirror"}  # noqa: RUF012

    def __init__(self, *variants: str) -> None:
        self.name = "torch"
        self.version = torch.__version__
        self.layout = torch.channels_last if "channels_last" in variants else torch.contiguous_format
        self.devices: Devices | None = None

    def supports(self, problem: Op) -> bool:
        """PyTorch pools with symmetric padding of at most half a window; no local responses of 16 bits; no training
        step with eps = 0; as many devices as there are processes for. Gradients where the forward operation is, but
        none of a group normalization with a bias and no weight, for which its kernel raises "tensor does not have a
        device"."""
        if isinstance(problem, GroupNormBackward) and problem.weight is None and problem.bias is not None:
            return False
        if isinstance(problem, Backward):
            return self.supports(problem.forward)
        if isinstance(problem, (MaxPool2d, AvgPool2d)):
            return all(
                before == after and 2 * before <= size
                for (before, after), size in zip(problem.padding, problem.kernel_size, strict=True)
            )
        if isinstance(problem, LocalResponseNorm):
            return problem.dtype.itemsize > 2
        if isinstance(problem, BatchNorm2d):
            return not problem.training or problem.eps != 0
        if isinstance(problem, SyncBatchNorm2d):
            return len(problem.shards) <= MOST_DEVICES
        return True

    def to_device(self, array: Tensor) -> Any:
        """The array as a tensor, sharing memory on the CPU; what PyTorch cannot view (negative steps) is copied.

        A tensor, as the gradients give it to the forward operations, stays as it is.
        """
        if isinstance(array, torch.Tensor):
            return array
        if any(step < 0 for step in array.strides) or not array.flags.writeable:
            array = array.copy()
        if array.dtype == np.bool_ or name_of(array.dtype) != "bfloat16":
            tensor = torch.from_numpy(array)
        else:
            tensor = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        tensor = tensor.to(self.device)
        if self.layout is torch.channels_last and tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    def to_numpy(self, tensor: Any) -> Tensor:
        if isinstance(tensor, np.ndarray):
            return tensor
        tensor = tensor.detach().cpu()
        if tensor.dtype is torch.bfloat16:
            return np.asarray(tensor.view(torch.int16).numpy().view(dtype_named("bfloat16")))
        return np.asarray(tensor.numpy())

    def conv2d(self, problem: Conv2d) -> Any:
        if problem.x.ndim != 4 or problem.weight.ndim != 4:  # PyTorch would take three axes for one image
            raise ValueError(f"x and weight have {problem.x.ndim} and {problem.weight.ndim} axes, not 4")
        x, weight = self.to_device(problem.x), self.to_device(problem.weight)
        bias = None if problem.bias is None else self.to_device(problem.bias)
        (top, bottom), (left, right) = problem.padding
        padding: tuple[Any, Any] = (top, left)
        if problem.padding_mode != "zeros" or (top, left) != (bottom, right):
            x, padding = self._padded(x, problem.padding, problem.padding_mode), (0, 0)
        rows, columns = problem.stride
        down, across = problem.dilation
        if padding[1] and columns > 1 and may_end_the_process(x, weight):
            raise RuntimeError("not called: oneDNN would read beside these arrays, which may end the process")
        if is_wrong(x, weight, problem.stride, padding, problem.dilation):
            raise Unsupported("a shape of which oneDNN's 16-bit kernels are known to read wrong memory")
        return functional.conv2d(x, weight, bias, (rows, columns), padding, (down, across), problem.groups)

    def locally_connected2d(self, problem: LocallyConnected2d) -> Any:
        """Unfolded windows times the weights: PyTorch has no such layer. 16-bit arrays are widened for it."""
        if problem.x.ndim != 4 or problem.weight.ndim != 6:
            raise ValueError(f"x and weight have {problem.x.ndim} and {problem.weight.ndim} axes, not 4 and 6")
        x, weight = self.to_device(problem.x), self.to_device(problem.weight)
        wide = torch.float64 if x.dtype is torch.float64 else torch.float32
        (rows, columns), (r, s) = problem.stride, weight.shape[4:]
        seen = self._padded(x, problem.padding, "zeros").unfold(2, r, rows).unfold(3, s, columns)  # (N, C, I, J, R, S)
        # einsum would broadcast axes of length 1, and a bias of one too.
        if (x.shape[1], *seen.shape[2:]) != (weight.shape[3], *weight.shape[:2], r, s) or 0 in (r, s):
            raise ValueError(f"weight {tuple(weight.shape)} does not match windows {tuple(seen.shape)}")
        y = torch.einsum("ncijrs,ijkcrs->nkij", seen.to(wide), weight.to(wide))
        if problem.bias is not None:
            if problem.bias.shape != y.shape[1:]:
                raise ValueError(f"bias is {problem.bias.shape}, not {tuple(y.shape[1:])}")
            y = y + self.to_device(problem.bias).to(wide)
        return y.to(x.dtype)

    def convolve2d(self, problem: Convolve2d) -> Any:
        x, kernel = self.to_device(problem.x), self.to_device(problem.kernel)
        height, width = kernel.shape
        if height % 2 == 0 or width % 2 == 0:
            raise ValueError(f"an even kernel {height}x{width} has no centre")
        padded = functional.pad(x, (width // 2, width // 2, height // 2, height // 2))
        return functional.conv2d(padded[None, None], kernel.flip(0, 1)[None, None])[0, 0]

    def pad2d(self, problem: Pad2d) -> Any:
        if problem.x.ndim != 4:
            raise ValueError(f"x has {problem.x.ndim} axes, not 4")
        x = self.to_device(problem.x)
        return _own(self._padded(x, problem.padding, problem.mode), x)

    def max_pool2d(self, problem: MaxPool2d) -> Any:
        kernel, stride, padding = _pool(problem)
        down, across = problem.dilation
        return functional.max_pool2d(
            self.to_device(problem.x), kernel, stride, padding, (down, across), problem.ceil_mode
        )

    def avg_pool2d(self, problem: AvgPool2d) -> Any:
        kernel, stride, padding = _pool(problem)
        return functional.avg_pool2d(
            self.to_device(problem.x), kernel, stride, padding, problem.ceil_mode, problem.count_include_pad
        )

    def relu(self, problem: Relu) -> Any:
        return functional.relu(self.to_device(problem.x))

    def linear(self, problem: Linear) -> Any:
        if problem.x.ndim != 2 or problem.weight.ndim != 2:
            raise ValueError(f"x and weight have {problem.x.ndim} and {problem.weight.ndim} axes, not 2")
        bias = None if problem.bias is None else self.to_device(problem.bias)
        return functional.linear(self.to_device(problem.x), self.to_device(problem.weight), bias)

    def batch_norm2d(self, problem: BatchNorm2d) -> Any:
        if problem.x.ndim != 4:
            raise ValueError(f"x has {problem.x.ndim} axes, not 4")
        weight, bias = self._affine(problem)
        # PyTorch updates the running statistics where they are.
        mean, var = (
            None if a is None else self.to_device(a).clone() for a in (problem.running_mean, problem.running_var)
        )
        settings = problem.training, problem.momentum, problem.eps
        y = functional.batch_norm(self.to_device(problem.x), mean, var, weight, bias, *settings)
        return y, mean, var

    def sync_batch_norm2d(self, problem: SyncBatchNorm2d) -> Any:
        """PyTorch's own SyncBatchNorm refuses the CPU: one process for each device, and collectives between them."""
        problem.validate()
        with _ONE_GROUP:
            if self.devices is None:
                self.devices = Devices()
            try:
                return synchronized(self.devices, problem)
            except DeviceLost:
                self.close()
                raise

    def close(self) -> None:
        if self.devices is not None:
            self.devices.close()
            self.devices = None

    def layer_norm(self, problem: LayerNorm) -> Any:
        rank = problem.x.ndim
        if not 1 <= problem.axes < rank:
            raise ValueError(f"{problem.axes} of {rank} axes cannot be normalized image by image")
        weight, bias = self._affine(problem)
        return functional.layer_norm(
            self.to_device(problem.x), problem.x.shape[rank - problem.axes :], weight, bias, problem.eps
        )

    def group_norm(self, problem: GroupNorm) -> Any:
        if problem.x.ndim != 4:
            raise ValueError(f"x has {problem.x.ndim} axes, not 4")
        return functional.group_norm(self.to_device(problem.x), problem.groups, *self._affine(problem), eps=problem.eps)

    def instance_norm2d(self, problem: InstanceNorm2d) -> Any:
        if problem.x.ndim != 4:  # PyTorch would take three axes for one image
            raise ValueError(f"x has {problem.x.ndim} axes, not 4")
        weight, bias = self._affine(problem)
        return functional.instance_norm(self.to_device(problem.x), weight=weight, bias=bias, eps=problem.eps)

    def local_response_norm(self, problem: LocalResponseNorm) -> Any:
        if problem.x.ndim != 4:
            raise ValueError(f"x has {problem.x.ndim} axes, not 4")
        x = self.to_device(problem.x)
        return functional.local_response_norm(x, problem.size, problem.alpha, problem.beta, problem.k)

    def dropout(self, problem: Dropout) -> Any:
        with self._seeded(problem.seed):
            x = self.to_device(problem.x)
            return _own(functional.dropout(x, problem.p, problem.training), x)

    def dropout2d(self, problem: Dropout2d) -> Any:
        if problem.x.ndim != 4:  # PyTorch would take three axes for (N, C, L)
            raise ValueError(f"x has {problem.x.ndim} axes, not 4")
        with self._seeded(problem.seed):
            x = self.to_device(problem.x)
            return _own(functional.dropout2d(x, problem.p, problem.training), x)

    def _generator(self) -> torch.Generator:
        return torch.default_generator

    @contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        """The generator that PyTorch's functionals draw from, at this seed; afterwards in the state that it was in.

        What torch.random.fork_rng and torch.manual_seed do, without the other devices, which cost ten times the call.
        """
        if not 0 <= operator.index(seed) < 2**63:
            raise ValueError(f"the seed {seed} is not from 0 to 2^63 - 1")
        with _ONE_GENERATOR:
            generator = self._generator()
            before = generator.get_state()
            generator.manual_seed(seed)
            try:
                yield
            finally:
                generator.set_state(before)

    def _affine(self, problem: Any) -> tuple[Any, Any]:
        """Weight and bias as tensors, None where absent."""
        weight, bias = (None if a is None else self.to_device(a) for a in (problem.weight, problem.bias))
        return weight, bias

    def _padded(self, x: Any, padding: Any, mode: str) -> Any:
        (top, bottom), (left, right) = padding
        if min(top, bottom, left, right) < 0:
            raise ValueError(f"padding {padding} is negative; torch.nn.functional.pad would crop")
        return functional.pad(x, (left, right, top, bottom), MODES[mode])


class Cuda(Torch):
    """PyTorch on the first CUDA device, TF32 off; `cuda[tf32]` with it on, declared as such."""

    variants = ("tf32", "channels_last")
    device = "cuda"

    def __init__(self, *variants: str) -> None:
        super().__init__(*variants)
        if not torch.cuda.is_available():
            raise CannotLoad(
                f"cuda: PyTorch {torch.__version__} sees no CUDA device here; "
                "run it where there is one, or use --backend=torch"
            )
        self.name = f"torch on {torch.cuda.get_device_name(0)}"
        self.tf32 = "tf32" in variants
        self.arithmetic = "tf32" if self.tf32 else "ieee"

    def to_device(self, array: Tensor) -> Any:
        # Process-wide switches: set before every call, so that cuda and cuda[tf32] can share a run.
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        torch.backends.cudnn.allow_tf32 = self.tf32
        return super().to_device(array)

    def _generator(self) -> torch.Generator:
        torch.cuda.init()
        return torch.cuda.default_generators[0]

    def sync_batch_norm2d(self, problem: SyncBatchNorm2d) -> Any:
        """The kernels of torch.nn.SyncBatchNorm, which it runs on one device for each shard, all on this one.

        As in its forward step, each shard with images gives its mean, inverse deviation and count, which are gathered,
        and the running statistics are updated where they are. 16-bit images are computed in float32 throughout, since
        the counts would else be 16-bit numbers.
        """
        problem.validate()
        wide = np.float32 if problem.dtype.itemsize == 2 else problem.dtype
        x, weight, bias, mean, var = (
            None if a is None else self.to_device(np.array(a, wide))
            for a in (problem.x, problem.weight, problem.bias, problem.running_mean, problem.running_var)
        )
        assert x is not None
        held = [shard.contiguous() for shard in x.split(list(problem.shards)) if shard.numel()]
        y = x.clone()
        if held:
            means, inverses = zip(*(torch.batch_norm_stats(shard, problem.eps) for shard in held), strict=True)
            counts = torch.tensor([s.numel() / s.shape[1] for s in held], dtype=x.dtype, device=x.device)
            gathered = torch.stack(means), torch.stack(inverses), mean, var, problem.momentum, problem.eps, counts
            total, inverse = torch.batch_norm_gather_stats_with_counts(held[0], *gathered)
            parts = [torch.batch_norm_elemt(shard, weight, bias, total, inverse, problem.eps) for shard in held]
            y = torch.cat(parts)
        return tuple(None if a is None else self.to_numpy(a).astype(problem.dtype) for a in (y, mean, var))

    def synchronize(self) -> None:
        torch.cuda.synchronize()


def _own(result: Any, x: Any) -> Any:
    """The result in memory of its own: what changes nothing hands back its argument."""
    return result.clone() if result.data_ptr() == x.data_ptr() else result


def _pool(problem: Any) -> tuple[tuple[Any, Any], tuple[Any, Any], tuple[Any, Any]]:
    """kernel, stride and padding as pairs; PyTorch would accept lists of other lengths."""
    if problem.x.ndim != 4:
        raise ValueError(f"x has {problem.x.ndim} axes, not 4")
    (height, width), (rows, columns) = problem.kernel_size, problem.stride
    (top, bottom), (left, right) = problem.padding
    if (top, left) != (bottom, right):
        raise ValueError(f"padding {problem.padding} is not symmetric")
    return (height, width), (rows, columns), (top, left)
