"""The update rules of the contestants from PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

Update = Callable[[Sequence[torch.Tensor]], None]


def sgd(parameters: list[torch.Tensor], lr: float) -> Update:
    """A bare update, which is quicker than ``optim.SGD``."""

    def update(gradients: Sequence[torch.Tensor]) -> None:
        with torch.no_grad():
            if parameters[0].is_cuda:
                torch._foreach_sub_(parameters, gradients, alpha=lr)
                return
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=lr)

    return update


def momentum(parameters: list[torch.Tensor], lr: float) -> Update:
    return _by(torch.optim.SGD(parameters, lr, momentum=0.9, fused=True), parameters)


def adam(parameters: list[torch.Tensor], lr: float) -> Update:
    """``optim.Adam`` with the book's epsilon, which PyTorch adds to another root."""
    optimizer = torch.optim.Adam(parameters, lr, fused=True)
    step = _by(optimizer, parameters)
    steps = 0

    def update(gradients: Sequence[torch.Tensor]) -> None:
        nonlocal steps
        steps += 1
        optimizer.param_groups[0]["eps"] = 1e-7 / math.sqrt(1 - 0.999**steps)
        step(gradients)

    return update


def _by(optimizer: torch.optim.Optimizer, parameters: list[torch.Tensor]) -> Update:
    def update(gradients: Sequence[torch.Tensor]) -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()

    return update


RULES = {"SGD": sgd, "Momentum": momentum, "Adam": adam}
