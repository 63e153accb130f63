"""The specification: what each operation means, with its ground truth, bounds, rules, laws and worked examples.

Usable alone, with NumPy only::

    >>> from convspec.reference import Conv2d
    >>> Conv2d(x=[[[[1, 2, 3]]]], weight=[[[[1, 10]]]]).expected()
    array([[[[21., 32.]]]])
"""

from .avg_pool2d import AvgPool2d
from .batch_norm2d import BatchNorm2d
from .composition import Composition
from .conv2d import Conv2d
from .conv_block import ConvBlock
from .convolve2d import Convolve2d
from .dropout import Dropout
from .dropout2d import Dropout2d
from .group_norm import GroupNorm
from .instance_norm2d import InstanceNorm2d
from .layer_norm import LayerNorm
from .lenet5 import LeNet5
from .linear import Linear
from .local_response_norm import LocalResponseNorm
from .locally_connected2d import LocallyConnected2d
from .max_pool2d import MaxPool2d
from .op import Clause, InvalidProblem, Op, Undetermined
from .pad2d import Pad2d
from .pixel_group_norm import PixelGroupNorm
from .relu import Relu
from .stack import Stack
from .sync_batch_norm2d import SyncBatchNorm2d

# The table of contents.
OPS: tuple[type[Op], ...] = (
    Convolve2d,
    Pad2d,
    Conv2d,
    LocallyConnected2d,
    MaxPool2d,
    AvgPool2d,
    Relu,
    Linear,
    BatchNorm2d,
    SyncBatchNorm2d,
    LayerNorm,
    GroupNorm,
    InstanceNorm2d,
    LocalResponseNorm,
    PixelGroupNorm,
    Dropout,
    Dropout2d,
)

# Networks made of them: a backend that has the operations is asked for these too.
NETWORKS: tuple[type[Composition], ...] = (Stack, ConvBlock, LeNet5)

# All that is specified.
SPECIFIED: tuple[type[Op], ...] = (*OPS, *NETWORKS)

__all__ = [
    "NETWORKS",
    "OPS",
    "SPECIFIED",
    "AvgPool2d",
    "BatchNorm2d",
    "Clause",
    "Composition",
    "Conv2d",
    "ConvBlock",
    "Convolve2d",
    "Dropout",
    "Dropout2d",
    "GroupNorm",
    "InstanceNorm2d",
    "InvalidProblem",
    "LayerNorm",
    "LeNet5",
    "Linear",
    "LocalResponseNorm",
    "LocallyConnected2d",
    "MaxPool2d",
    "Op",
    "Pad2d",
    "PixelGroupNorm",
    "Relu",
    "Stack",
    "SyncBatchNorm2d",
    "Undetermined",
]
