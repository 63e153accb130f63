"""One device of a synchronized batch normalization: a process of its own, run by `sync_torch.Devices`.

    python -m convspec.adapters.sync_worker RANK WORLD FOLDER

Requests come in through standard input and answers go out through standard output, both as pickles framed by
`multiprocessing.connection`; the end of the input ends the process. Between the processes there is gloo: each shard's
mean, sum of squares about it and number of elements are gathered, and combined by their numbers of elements.
"""

from __future__ import annotations

import os
import shutil
import sys
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist

Packed = tuple[bytes, str, tuple[int, ...]]  # the elements, their dtype as PyTorch calls it, the shape

GLOO_SECONDS = 20.0


def unpacked(packed: Packed | None) -> Any:
    """The tensor; None for none."""
    if packed is None:
        return None
    data, dtype, shape = packed
    if not data:
        return torch.empty(shape, dtype=getattr(torch, dtype))
    return torch.frombuffer(bytearray(data), dtype=getattr(torch, dtype)).reshape(shape)


def packed(tensor: Any) -> Packed | None:
    """What `unpacked` takes apart."""
    if tensor is None:
        return None
    data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return data, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)


def gathered(own: Any, group: Any, size: int) -> Any:
    """What all devices of the group have, (size, ...)."""
    if size == 1:
        return own[None]
    every = [torch.empty_like(own) for _ in range(size)]
    dist.all_gather(every, own, group=group)
    return torch.stack(every)


def step(group: Any, size: int, request: dict[str, Any]) -> tuple[Packed | None, ...]:
    """This device's part of y, and the running statistics: 16-bit images in float32, rounded once at the end."""
    x = unpacked(request["x"])
    dtype = x.dtype

    def wide(tensor: Any) -> Any:
        return tensor.float() if tensor is not None and dtype.itemsize == 2 else tensor

    x = wide(x)
    others = ("weight", "bias", "running_mean", "running_var")
    weight, bias, *before = (wide(unpacked(request[name])) for name in others)
    c = x.shape[1]
    count = x.numel() // c if c else 0
    mean, squares = x.new_zeros(c), x.new_zeros(c)
    if count:
        mean = x.mean((0, 2, 3))
        squares = (x - mean[:, None, None]).square().sum((0, 2, 3))
    every = gathered(torch.cat([mean, squares, x.new_full((1,), count)]), group, size)
    means, sums, counts = every[:, :c], every[:, c : 2 * c], every[:, 2 * c :]
    m = counts.sum()
    if not m:
        return packed(x.to(dtype)), *(packed(None if a is None else a.to(dtype)) for a in before)
    mean = (counts * means).sum(0) / m
    squares = (sums + counts * (means - mean).square()).sum(0)
    y = (x - mean[:, None, None]) / (squares / m + request["eps"]).sqrt()[:, None, None]
    if weight is not None:
        y = y * weight[:, None, None]
    if bias is not None:
        y = y + bias[:, None, None]
    a = request["momentum"]
    after = [
        None if old is None else (1 - a) * old + a * new
        for old, new in zip(before, (mean, squares / (m - 1)), strict=True)
    ]
    return packed(y.to(dtype)), *(packed(None if new is None else new.to(dtype)) for new in after)


def main() -> None:
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    requests, answers = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    os.dup2(2, 1)  # whatever a library prints stays out of the answers
    store = f"file://{os.path.join(folder, 'store')}"
    waits = timedelta(seconds=GLOO_SECONDS)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world, timeout=waits)
    groups = {size: dist.new_group(list(range(size)), timeout=waits) for size in range(2, world + 1)}
    answers.send("ready")
    while True:
        try:
            size, request = requests.recv()
        except EOFError:
            break
        try:
            answers.send(("done", step(groups.get(size), size, request)))
        except BrokenPipeError:
            break
        except Exception as error:
            answers.send(("failed", f"{type(error).__name__}: {error}"))
    shutil.rmtree(folder, ignore_errors=True)  # whoever made it may be gone
    os._exit(0)  # without waiting for the other processes, which may be gone


if __name__ == "__main__":
    main()
