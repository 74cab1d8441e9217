"""JAX: many steps under one `jax.jit`, by `jax.lax.scan`.

20 steps a call were no slower than 100, rolled or unrolled by 4 (one thread, 2026-11-24).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from contestants.jax_step import JaxStep
from workload import PROOF_STEPS, Array, Workload

STEPS = PROOF_STEPS
"""Steps of a call, fixed because JAX compiles for it."""


class JaxScan(JaxStep):
    """`JaxStep.take_step` as the body of a scan over the rows of the batches."""

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        self.step = jax.jit(self.scan, donate_argnums=0)

    def scan(
        self, state: Any, x: jax.Array, t: jax.Array, rows: jax.Array, masks: Any = None
    ) -> Any:
        return jax.lax.scan(
            lambda carried, step: self.take_step(carried, x, t, *step), state, (rows, masks)
        )

    def prepare(self, rows: Array) -> Any:
        batches = rows.astype("int32").reshape(-1, STEPS, rows.shape[1])
        return [self.put(some) for some in batches]

    def prepare_masks(self, masks: list[list[jax.Array]]) -> Any:
        return [[jnp.stack(of_layer) for of_layer in zip(*masks, strict=True)]]
