"""JAX: the whole step under `jax.jit`, gather and update included, called once a step.

The parameters' buffers are donated, the row numbers lie on the device, and nothing waits between
the steps. ``promise_in_bounds`` spares the gather its checks.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from contestants import Contestant
from workload import Array, Workload


class JaxStep(Contestant):
    """``value_and_grad`` of the mean cross-entropy with index labels."""

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        jax.config.update("jax_default_matmul_precision", "float32")  # on a GPU it would be TF32
        self.place = jax.devices("cpu" if device == "cpu" else "cuda")[0]
        self.x = self.put(workload.x)
        self.t = self.put(workload.t.astype("int32"))
        self.params = {name: self.put(array) for name, array in workload.initial().items()}
        self.step = jax.jit(self.sgd, donate_argnums=0)

    def put(self, array: Array) -> jax.Array:
        return jax.device_put(array, self.place)

    def sgd(self, params: Any, x: jax.Array, t: jax.Array, rows: jax.Array) -> tuple[Any, Any]:
        x = x.at[rows].get(mode="promise_in_bounds")
        t = t.at[rows].get(mode="promise_in_bounds")
        loss, gradients = jax.value_and_grad(mean_loss)(params, x, t)
        lr = np.dtype(self.workload.dtype).type(self.workload.learning_rate)
        return jax.tree.map(lambda p, g: p - lr * g, params, gradients), loss

    def prepare(self, rows: Array) -> Any:
        return [self.put(batch) for batch in rows.astype("int32")]

    def run(self, rows: Any) -> None:
        for batch in rows:
            self.params, _ = self.step(self.params, self.x, self.t, batch)
        jax.block_until_ready(self.params)

    def parameters(self) -> dict[str, Array]:
        return {name: np.asarray(array) for name, array in self.params.items()}


def mean_loss(params: Any, x: jax.Array, t: jax.Array) -> jax.Array:
    """Mean cross-entropy of the two-layer network."""
    hidden = jnp.maximum(x @ params["W1"] + params["b1"], 0)
    scores = hidden @ params["W2"] + params["b2"]
    right = jnp.take_along_axis(scores, t[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(scores, axis=1) - right)
