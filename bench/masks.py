"""The masks of dropout in the proof: the same for all, so that all must come to the same.

They are those of ``fastnn.fit(seed=SEED)``. In its turns everybody draws by a generator of its own.
"""

from __future__ import annotations

import numpy as np

import fastnn
from fastnn.training.draws import begin_draws
from workload import PROOF_STEPS, SEED, Array, Workload


def seed_masks(network: fastnn.Sequential) -> None:
    """Let the masks of a network begin as those of ``fit(network, ..., seed=SEED)``."""
    begin_draws(network, np.random.default_rng(SEED), goes_on=False)


def proof_masks(workload: Workload) -> list[list[Array]]:
    """Give the masks of each step of the proof, one (batch, units) of 0 and 1 a hidden layer.

    Without dropout a mask is the number 1.
    """
    if not workload.dropout:
        return [[np.array(1.0)] * len(workload.hidden)] * PROOF_STEPS
    with fastnn.use_backend("numpy") as backend:
        layers = [fastnn.Dropout(workload.dropout) for _ in workload.hidden]
        seed_masks(fastnn.Sequential(layers))
        ones = [np.ones((workload.batch, units), workload.dtype) for units in workload.hidden]
        return [
            [
                backend.dropout(one, step, ratio=layer.ratio, key=layer.key)[0]
                for one, layer in zip(ones, layers, strict=True)
            ]
            for step in range(PROOF_STEPS)
        ]
