"""PyTorch, eager, with autograd.

Of the ways to write it this was the quickest by measurement (784-50-10, batch 100, one thread, Xeon
of the Sapphire Rapids kind, 2026-11-24): `addmm` on weights stored (in, out) and a bare update 324
us; `F.linear` 334; ``nn.Sequential`` with ``optim.SGD``, plain, fused or foreach, 500. On a GPU
the update is one fused kernel launch for all parameters. The other rules are those of
`torch.optim`, fused.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch.nn import functional

from contestants import Contestant
from contestants.torch_rules import RULES
from masks import proof_masks
from workload import Array, Workload

ACTIVATIONS = {"relu": torch.relu_, "sigmoid": torch.sigmoid_, "tanh": torch.tanh_}


class TorchEager(Contestant):
    """``addmm``, ``relu_``, ``cross_entropy`` with index labels, ``autograd.grad``, ``sub_``."""

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        self.x = torch.from_numpy(workload.x).to(device)
        self.t = torch.from_numpy(workload.t).to(device)
        self.params = {
            name: torch.from_numpy(array).to(device).requires_grad_()
            for name, array in workload.initial().items()
        }
        self.averages = {
            number: (torch.zeros_like(self.params[f"b{number}"], requires_grad=False),
                     torch.ones_like(self.params[f"b{number}"], requires_grad=False))
            for number in range(1, len(workload.layers) - 1)
        }  # fmt: skip
        self.activate = ACTIVATIONS[workload.activation]
        self.masks: Iterator[torch.Tensor] | None = None
        parameters = list(self.params.values())
        self.update = RULES[workload.optimizer](parameters, workload.learning_rate)

    def prepare(self, rows: Array) -> Any:
        return list(torch.from_numpy(rows).to(self.device))

    def prove(self) -> dict[str, Array]:
        if self.workload.dropout:
            masks = chain.from_iterable(proof_masks(self.workload))
            self.masks = (torch.from_numpy(mask).to(self.device) for mask in masks)
        proved = super().prove()
        self.masks = None
        return proved

    def loss(self, rows: torch.Tensor) -> torch.Tensor:
        x, t = torch.index_select(self.x, 0, rows), torch.index_select(self.t, 0, rows)
        params = self.params
        last = len(self.workload.layers) - 1
        for number in range(1, last):
            x = torch.addmm(params[f"b{number}"], x, params[f"W{number}"])
            if self.workload.normalised:
                of_layer = *self.averages[number], params[f"gamma{number}"], params[f"beta{number}"]
                x = functional.batch_norm(x, *of_layer, training=True, momentum=0.1, eps=1e-6)
            x = self.activate(x)
            if self.workload.dropout:
                x = x * self.mask(x)
        return functional.cross_entropy(torch.addmm(params[f"b{last}"], x, params[f"W{last}"]), t)

    def mask(self, x: torch.Tensor) -> torch.Tensor:
        """What `functional.dropout` does, but for its division by the share that is kept."""
        if self.masks is not None:
            return next(self.masks)
        return torch.empty_like(x, requires_grad=False).bernoulli_(1 - self.workload.dropout)

    def step(self, rows: torch.Tensor) -> None:
        gradients = torch.autograd.grad(self.loss(rows), list(self.params.values()))
        self.update(gradients)

    def run(self, rows: list[torch.Tensor]) -> float | None:
        if self.device == "cpu":
            for batch in rows:
                self.step(batch)
            return None
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for batch in rows:
            self.step(batch)
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000

    def parameters(self) -> dict[str, Array]:
        return {name: array.detach().cpu().numpy() for name, array in self.params.items()}
