"""The specification: what each operation means, with its ground truth, bounds, rules, laws and worked examples.

Usable alone, with NumPy only::

    >>> from convspec.reference import Conv2d
    >>> Conv2d(x=[[[[1, 2, 3]]]], weight=[[[[1, 10]]]]).expected()
    array([[[[21., 32.]]]])
"""

from .avg_pool2d import AvgPool2d
from .avg_pool2d_backward import AvgPool2dBackward
from .batch_norm2d import BatchNorm2d
from .batch_norm2d_backward import BatchNorm2dBackward
from .composition import Composition
from .conv2d import Conv2d
from .conv2d_backward import Conv2dBackward
from .conv_block import ConvBlock
from .convolve2d import Convolve2d
from .dropout import Dropout
from .dropout2d import Dropout2d
from .group_norm import GroupNorm
from .group_norm_backward import GroupNormBackward
from .instance_norm2d import InstanceNorm2d
from .layer_norm import LayerNorm
from .layer_norm_backward import LayerNormBackward
from .lenet5 import LeNet5
from .linear import Linear
from .linear_backward import LinearBackward
from .local_response_norm import LocalResponseNorm
from .locally_connected2d import LocallyConnected2d
from .max_pool2d import MaxPool2d
from .max_pool2d_backward import MaxPool2dBackward
from .op import Clause, InvalidProblem, Op, Undetermined
from .pad2d import Pad2d
from .pixel_group_norm import PixelGroupNorm
from .relu import Relu
from .relu_backward import ReluBackward
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
    Conv2dBackward,
    LinearBackward,
    ReluBackward,
    AvgPool2dBackward,
    MaxPool2dBackward,
    BatchNorm2dBackward,
    LayerNormBackward,
    GroupNormBackward,
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
    "AvgPool2dBackward",
    "BatchNorm2d",
    "BatchNorm2dBackward",
    "Clause",
    "Composition",
    "Conv2d",
    "Conv2dBackward",
    "ConvBlock",
    "Convolve2d",
    "Dropout",
    "Dropout2d",
    "GroupNorm",
    "GroupNormBackward",
    "InstanceNorm2d",
    "InvalidProblem",
    "LayerNorm",
    "LayerNormBackward",
    "LeNet5",
    "Linear",
    "LinearBackward",
    "LocalResponseNorm",
    "LocallyConnected2d",
    "MaxPool2d",
    "MaxPool2dBackward",
    "Op",
    "Pad2d",
    "PixelGroupNorm",
    "Relu",
    "ReluBackward",
    "Stack",
    "SyncBatchNorm2d",
    "Undetermined",
]
