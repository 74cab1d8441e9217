"""fastnn's `fit` on a GPU, with all products in our kernels, or all of them in cuBLAS."""

from __future__ import annotations

from typing import Any, ClassVar

from contestants.fastnn_fit import FitCupy
from fastnn.backends.cupy.crossing import NEVER, Crossing
from workload import Workload


class _OneWay(FitCupy):
    limit: ClassVar[int]

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        backend: Any = self.network.backend
        backend.products.crossing = Crossing(self.limit, self.limit, "to be measured")


class FitFused(_OneWay):
    """Our kernels."""

    limit = NEVER


class FitCublas(_OneWay):
    """cuBLAS."""

    limit = 0
