"""The floor: the matrix products of a step by NumPy's BLAS, and nothing else."""

from __future__ import annotations

import time

import numpy as np

from contestants import Contestant
from workload import Array, Workload

LARGE = 2048
"""Rows and columns of the large product."""


class Products(Contestant):
    """Forward, backward by the weights of all layers and by the inputs of all but the first.

    It trains nothing: there is no proof of it.
    """

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        rng = np.random.default_rng(0)
        self.operands = []
        for n, k, m, transposed in workload.products():
            a, b = (rng.standard_normal(shape).astype(workload.dtype) for shape in ((n, k), (k, m)))
            if transposed:
                a = np.asfortranarray(a)
            self.operands.append((a, b, np.empty((n, m), workload.dtype)))

    def run(self, rows: Array) -> None:
        for _ in rows:
            for a, b, out in self.operands:
                np.matmul(a, b, out=out)

    def facts(self) -> dict[str, float]:
        """GFLOP/s of a product so large that nothing but its arithmetic counts."""
        a, b, out = (np.ones((LARGE, LARGE), self.workload.dtype) for _ in range(3))
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            np.matmul(a, b, out=out)
            seconds.append(time.perf_counter() - started)
        return {"large_product_gflops": 2 * LARGE**3 / min(seconds) / 1e9}
