"""PyTorch on a GPU with products in TF32, which is off unless a user turns it on."""

from __future__ import annotations

import torch

from contestants.torch_compile import TorchCompile
from contestants.torch_eager import TorchEager
from contestants.torch_graph import TorchGraph
from workload import Workload


class _Tf32(TorchEager):
    """``set_float32_matmul_precision("high")``, before anything is compiled or captured."""

    def __init__(self, workload: Workload, device: str) -> None:
        torch.set_float32_matmul_precision("high")
        super().__init__(workload, device)


class TorchTf32(_Tf32):
    """Eager."""


class TorchCompileTf32(_Tf32, TorchCompile):
    """Compiled."""


class TorchGraphTf32(_Tf32, TorchGraph):
    """A CUDA graph."""
