"""PyTorch on a GPU, the eager step captured once in a CUDA graph and replayed."""

from __future__ import annotations

import torch

from contestants.torch_eager import TorchEager
from workload import Workload

WARM_UP = 3


class TorchGraph(TorchEager):
    """A step costs a copy of the batch's row numbers on the device, and the launch of a graph."""

    plain_only = True

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        self.rows = torch.zeros(workload.batch, dtype=torch.int64, device=device)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # PyTorch wants a few steps on another stream first
            for _ in range(WARM_UP):
                super().step(self.rows)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            super().step(self.rows)
        with torch.no_grad():
            for name, array in workload.initial().items():
                self.params[name].copy_(torch.from_numpy(array))

    def step(self, rows: torch.Tensor) -> None:
        self.rows.copy_(rows)
        self.graph.replay()
