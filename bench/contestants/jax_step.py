"""JAX: the whole step under `jax.jit`, gather and update included, called once a step.

The parameters' buffers are donated, the row numbers lie on the device, and nothing waits between
the steps. ``promise_in_bounds`` spares the gather its checks.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from contestants import Contestant
from contestants.jax_network import mean_loss
from contestants.jax_rules import RULES, initial_state
from masks import proof_masks
from workload import SEED, Array, Workload


class JaxStep(Contestant):
    """``value_and_grad`` of the mean cross-entropy with index labels.

    What a step changes, ``state``: the parameters, what the rule remembers, the running averages of
    batch normalisation, and the key of dropout.
    """

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        jax.config.update("jax_default_matmul_precision", "float32")  # on a GPU it would be TF32
        self.place = jax.devices("cpu" if device == "cpu" else "cuda")[0]
        self.x = self.put(workload.x)
        self.t = self.put(workload.t.astype("int32"))
        params = {name: self.put(array) for name, array in workload.initial().items()}
        averages = [
            tuple(self.put(make(units, workload.dtype)) for make in (np.zeros, np.ones))
            for units in workload.hidden
            if workload.normalised
        ]
        key = self.put(jax.random.key(SEED, impl=RANDOM)) if workload.dropout else None
        self.state = (params, initial_state(workload.optimizer, params), averages, key)
        self.step = jax.jit(self.take_step, donate_argnums=0)

    def put(self, array: Any) -> Any:
        return jax.device_put(array, self.place)

    def take_step(
        self, state: Any, x: jax.Array, t: jax.Array, rows: jax.Array, masks: Any = None
    ) -> tuple[Any, Any]:
        params, of_rule, averages, key = state
        workload = self.workload
        x = x.at[rows].get(mode="promise_in_bounds")
        t = t.at[rows].get(mode="promise_in_bounds")
        if workload.dropout and masks is None:
            key, *keys = jax.random.split(key, 1 + len(workload.hidden))
            masks = [
                jax.random.bernoulli(one, 1 - workload.dropout, (len(rows), units))
                for one, units in zip(keys, workload.hidden, strict=True)
            ]
        gradient = jax.value_and_grad(mean_loss, has_aux=True)
        (loss, averages), grads = gradient(params, averages, x, t, masks, workload)
        lr = np.dtype(workload.dtype).type(workload.learning_rate)
        params, of_rule = RULES[workload.optimizer](params, grads, of_rule, lr)
        return (params, of_rule, averages, key), loss

    def prepare(self, rows: Array) -> Any:
        return [self.put(batch) for batch in rows.astype("int32")]

    def run(self, rows: Any, masks: Any = None) -> None:
        for number, batch in enumerate(rows):
            given = () if masks is None else (masks[number],)
            self.state, _ = self.step(self.state, self.x, self.t, batch, *given)
        jax.block_until_ready(self.state)

    def prove(self) -> dict[str, Array]:
        if not self.workload.dropout:
            return super().prove()
        masks = [[self.put(one != 0) for one in step] for step in proof_masks(self.workload)]
        self.run(self.prepare(self.workload.proof_rows()), self.prepare_masks(masks))
        return self.parameters()

    def prepare_masks(self, masks: list[list[jax.Array]]) -> Any:
        """Give what `run` takes as the masks of each call."""
        return masks

    def parameters(self) -> dict[str, Array]:
        return {name: np.asarray(array) for name, array in self.state[0].items()}


RANDOM = "threefry2x32"
"""JAX's default, and the quickest: a step of 784-[100]x6-10 with dropout took 1095 us, and 1950 by
"rbg" and "unsafe_rbg" (one thread, EPYC of the Zen 4 kind, 2026-11-26)."""
