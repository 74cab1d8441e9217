"""PyTorch with ``torch.compile``: the whole step, gather and update included.

Needs a C++ compiler on a CPU, Triton on a GPU.
"""

from __future__ import annotations

import torch

from contestants.torch_eager import TorchEager
from workload import Workload


class TorchCompile(TorchEager):
    """`TorchEager.step`, compiled; on a GPU with CUDA graphs ("reduce-overhead")."""

    plain_only = True

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        for parameter in self.params.values():  # updated in place: else no CUDA graph
            torch._dynamo.mark_static_address(parameter)
        mode = "reduce-overhead" if device == "cuda" else None
        self.step = torch.compile(super().step, mode=mode)  # type: ignore[method-assign]
