"""Networks that are trained some steps by an update rule, on any backend."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

import fastnn
from fastnn.backends.loop import Loop
from fastnn.backends.plan import Rule, state_name
from fastnn.training.planner import make_plan
from tests.helpers.problems import affine_of, data_set

OPTIMIZERS = [
    fastnn.Momentum,
    fastnn.Nesterov,
    fastnn.AdaGrad,
    fastnn.RMSprop,
    fastnn.Adam,
]
STEPS = 5


def trained(
    engine: str, optimizer: Any, sizes: tuple[int, ...], density: float, dtype: str, batch: int,
    penalty: float = 0,
) -> tuple[dict[str, Any], Any, Any]:  # fmt: skip
    """Parameters and state after some steps, their losses, and what ran them."""
    with fastnn.use_backend(engine) as backend:
        rng = np.random.default_rng(3)
        layers: list[Any] = []
        for D, M in pairwise(sizes):
            W = rng.standard_normal((D, M)) / np.sqrt(D)
            layers += [affine_of(W.astype(dtype), np.zeros(M, dtype)), fastnn.Relu()]
        network = fastnn.Sequential(layers[:-1])
        network.weight_decay_lambda = penalty
        x, t = data_set(700, sizes[0], sizes[-1], density=density)
        data = backend.asarray(x, dtype), backend.asarray(t, "int64")
        plan = make_plan(network, *data, optimizer, batch)
        runner: Any = backend.compile(plan) or Loop(backend, plan)
        rows = backend.asarray(np.array([rng.permutation(700)[:batch] for _ in range(STEPS)]))
        losses = runner.run(rows, optimizer.hyperparameters_of_steps(STEPS))
        runner.flush()
        update = plan.chain.update
        assert isinstance(update, Rule)
        names = [state_name(each, name) for name in network.params for each in update.state]
        return {name: plan.arrays[name] for name in [*network.params, *names]}, losses, runner
