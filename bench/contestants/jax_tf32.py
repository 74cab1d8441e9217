"""JAX as it comes: on a GPU of today its products are in TF32."""

from __future__ import annotations

import jax

from contestants.jax_scan import JaxScan
from workload import Workload


class JaxScanTf32(JaxScan):
    """`JaxScan` in the default precision, which is read when a step is traced."""

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        jax.config.update("jax_default_matmul_precision", "default")
