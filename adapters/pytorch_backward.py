"""The gradients in PyTorch: autograd through the functional of the forward operation."""

from __future__ import annotations

from typing import Any

import torch

from convspec.reference import (
    AvgPool2dBackward,
    BatchNorm2dBackward,
    Conv2dBackward,
    GroupNormBackward,
    LayerNormBackward,
    LinearBackward,
    MaxPool2dBackward,
    ReluBackward,
)


class Gradients:
    """The backward operations, by the forward methods of the class that this is mixed into."""

    def conv2d_backward(self, problem: Conv2dBackward) -> Any:
        return self._gradients(problem)

    def linear_backward(self, problem: LinearBackward) -> Any:
        return self._gradients(problem)

    def relu_backward(self, problem: ReluBackward) -> Any:
        return self._gradients(problem)

    def avg_pool2d_backward(self, problem: AvgPool2dBackward) -> Any:
        return self._gradients(problem)

    def max_pool2d_backward(self, problem: MaxPool2dBackward) -> Any:
        if "every_window_holds_input" in problem.broken_rules():
            # Its largest tap has no place on the image: PyTorch would write the gradient beside it, into other memory.
            raise ValueError("a window lies on padding alone")
        return self._gradients(problem)

    def batch_norm2d_backward(self, problem: BatchNorm2dBackward) -> Any:
        return self._gradients(problem)

    def group_norm_backward(self, problem: GroupNormBackward) -> Any:
        return self._gradients(problem)

    def layer_norm_backward(self, problem: LayerNormBackward) -> Any:
        return self._gradients(problem)

    def _gradients(self, problem: Any) -> Any:
        """The forward call on tensors that ask for gradients, and the way back; None where there is no array.

        16-bit images whose border copies them are widened: PyTorch would round the gradient of the border and that of
        the image before it adds them.
        """
        this: Any = self
        forward = problem.forward
        leaves = {
            name: this.to_device(array).detach().requires_grad_()
            for name, array in forward.arrays().items()
            if f"grad_{name}" in problem.outputs  # not the running statistics
        }
        copies = getattr(forward, "padding_mode", "zeros") != "zeros" and problem.dtype.itemsize == 2
        with torch.enable_grad():
            given = {name: leaf.float() for name, leaf in leaves.items()} if copies else leaves
            y = getattr(this, forward.name)(forward.but(**given))
            y = y[0] if isinstance(y, tuple) else y
            y = y.to(leaves["x"].dtype) if copies else y
        found = torch.autograd.grad(y, tuple(leaves.values()), this.to_device(problem.grad_output))
        grads = {f"grad_{name}": grad for name, grad in zip(leaves, found, strict=True)}
        several = tuple(grads.get(name) for name in problem.outputs)
        return several if len(several) > 1 else several[0]
