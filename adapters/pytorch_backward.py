"""The gradients in PyTorch: autograd through the functional of the forward operation."""

from __future__ import annotations

from typing import Any

import torch

from convspec.reference import Conv2dBackward, LinearBackward


class Gradients:
    """The backward operations, by the forward methods of the class that this is mixed into."""

    def conv2d_backward(self, problem: Conv2dBackward) -> Any:
        return self._gradients(problem)

    def linear_backward(self, problem: LinearBackward) -> Any:
        return self._gradients(problem)

    def _gradients(self, problem: Any) -> Any:
        """The forward call on tensors that ask for gradients, and the way back; None where there is no array."""
        this: Any = self
        forward = problem.forward
        leaves = {name: this.to_device(array).detach().requires_grad_() for name, array in forward.arrays().items()}
        with torch.enable_grad():
            y = getattr(this, forward.name)(forward.but(**leaves))
        found = torch.autograd.grad(y, tuple(leaves.values()), this.to_device(problem.grad_output))
        grads = {f"grad_{name}": grad for name, grad in zip(leaves, found, strict=True)}
        several = tuple(grads.get(name) for name in problem.outputs)
        return several if len(several) > 1 else several[0]
