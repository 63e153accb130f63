"""How many parameters and connections a layer has, from its sizes alone."""

from __future__ import annotations

from math import prod

Shape = tuple[int, ...]

NOTHING_TO_LEARN = ("relu", "max_pool2d", "avg_pool2d", "local_response_norm", "dropout", "pad2d")


def elements(*shape: int) -> int:
    """The features of an image: height * width * channels (CNT-01)."""
    return prod(shape)


def linear(inputs: int, outputs: int, bias: bool = True) -> int:
    """A weight for every pair of an input and an output, and a bias for every output (CNT-02, CNT-03)."""
    return inputs * outputs + outputs * bias


def conv2d(channels: int, filters: int, taps: Shape, *, groups: int = 1, bias: bool = True) -> int:
    """filters * channels/groups * rows * columns, and a bias for every filter; the size of the image plays no part, nor
    do stride, padding and dilation (CNT-05). Raises ValueError where groups do not divide the channels."""
    if channels % groups or filters % groups:
        raise ValueError(f"{groups} groups do not divide {channels} channels and {filters} filters")
    return filters * (channels // groups) * prod(taps) + filters * bias


def locally_connected(outputs: Shape, channels: int, filters: int, taps: Shape, bias: bool = True) -> int:
    """A filter of its own for every output position: as `conv2d`, times the positions, biases included (CNT-04)."""
    return prod(outputs) * conv2d(channels, filters, taps, bias=bias)


def convolution_connections(outputs: Shape, channels: int, filters: int, taps: Shape) -> int:
    """Every output reads its taps in every channel, and a bias: what weight sharing leaves as it was."""
    return prod(outputs) * conv2d(channels, filters, taps)


def table_connections(outputs: Shape, table: tuple[tuple[int, ...], ...], taps: Shape) -> int:
    """As `convolution_connections`, where each filter reads only the channels that its row of the table names."""
    return prod(outputs) * table_parameters(table, taps)


def table_parameters(table: tuple[tuple[int, ...], ...], taps: Shape) -> int:
    """As `conv2d`, where each filter has weights only for the channels that its row of the table names."""
    return sum(len(row) * prod(taps) + 1 for row in table)


def batch_norm2d(channels: int) -> tuple[int, int]:
    """(trained, running): a weight and a bias; a mean and a variance for each channel (CNT-06)."""
    return 2 * channels, 2 * channels


def group_norm(channels: int) -> int:
    """A weight and a bias for each channel, whatever the number of groups; so has instance normalization (CNT-06)."""
    return 2 * channels


def layer_norm(*shape: int) -> int:
    """A weight and a bias for each element of the normalized shape (CNT-06)."""
    return 2 * prod(shape)
