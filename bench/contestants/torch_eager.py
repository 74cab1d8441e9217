"""PyTorch, eager, with autograd.

Of the ways to write it this was the quickest by measurement (784-50-10, batch 100, one thread, Xeon
of the Sapphire Rapids kind, 2026-11-24): `addmm` on weights stored (in, out) and a bare update 324
us; `F.linear` 334; ``nn.Sequential`` with ``optim.SGD``, plain, fused or foreach, 500. On a GPU
the update is one fused kernel launch for all parameters.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from contestants import Contestant
from workload import Array, Workload


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

    def prepare(self, rows: Array) -> Any:
        return list(torch.from_numpy(rows).to(self.device))

    def loss(self, rows: torch.Tensor) -> torch.Tensor:
        x, t = torch.index_select(self.x, 0, rows), torch.index_select(self.t, 0, rows)
        W1, b1, W2, b2 = self.params.values()
        hidden = torch.addmm(b1, x, W1).relu_()
        return functional.cross_entropy(torch.addmm(b2, hidden, W2), t)

    def step(self, rows: torch.Tensor) -> None:
        parameters = list(self.params.values())
        gradients = torch.autograd.grad(self.loss(rows), parameters)
        with torch.no_grad():
            if self.device == "cuda":
                torch._foreach_sub_(parameters, gradients, alpha=self.workload.learning_rate)
                return
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=self.workload.learning_rate)

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
