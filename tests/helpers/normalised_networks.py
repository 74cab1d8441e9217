"""Networks with batch normalisation, that are trained some steps on any backend."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

import fastnn
from fastnn import BatchNormalization, Relu, Sigmoid
from fastnn.backends.loop import Loop
from fastnn.training.planner import make_plan
from tests.helpers.problems import affine_of, data_set, relative_error

SIZES = (30, 70, 20, 9, 3)
SMOOTH = (Sigmoid, Relu, Sigmoid)


def network_of(
    normalised: tuple[int, ...], dtype: str, sizes: tuple[int, ...], activations: Any = SMOOTH
) -> Any:
    """Layers of these sizes, some of them normalised, on the active backend."""
    backend, rng = fastnn.get_backend(), np.random.default_rng(3)
    layers: list[Any] = []
    for i, (D, M) in enumerate(pairwise(sizes)):
        W, b = rng.standard_normal((D, M)) / np.sqrt(D), rng.standard_normal(M)
        layers += [affine_of(W.astype(dtype), b.astype(dtype))]
        if i in normalised:
            vectors = rng.uniform(0.5, 1.5, M), rng.standard_normal(M)
            gamma, beta = (backend.asarray(vector.astype(dtype)) for vector in vectors)
            layers += [BatchNormalization(gamma, beta, 0.9 - 0.1 * i)]
        if i < len(sizes) - 2:
            layers += [activations[i]()]
    return fastnn.Sequential(layers)


def trained(
    engine: str, normalised: tuple[int, ...], density: float, dtype: str, batches: tuple[int, ...],
    *, optimizer: Any = None, sizes: tuple[int, ...] = SIZES,
    activations: Any = SMOOTH,
) -> tuple[dict[str, Any], Any, Any]:  # fmt: skip
    """All that is trained and kept after two steps of each batch, the losses, and what ran them."""
    optimizer = optimizer or fastnn.Momentum(0.1)
    with fastnn.use_backend(engine) as backend:
        rng, network = np.random.default_rng(5), network_of(normalised, dtype, sizes, activations)
        x, t = data_set(700, sizes[0], sizes[-1], density=density)
        data = backend.asarray(x, dtype), backend.asarray(t, "int64")
        plan = make_plan(network, *data, optimizer, max(batches))
        runner: Any = backend.compile(plan) or Loop(backend, plan)
        losses = []
        for batch in batches:
            rows = np.array([rng.permutation(700)[:batch] for _ in range(2)])
            found = runner.run(backend.asarray(rows), optimizer.hyperparameters_of_steps(2))
            losses.append(backend.to_numpy(found))
            runner.flush()
            runner.reload()
        kept = {name: array for name, array in plan.arrays.items() if not name.endswith("_data")}
        return kept, np.concatenate(losses), runner


def largest_error(found: dict[str, Any], right: dict[str, Any], normalised: tuple[int, ...]) -> Any:
    """Without the state of a bias before a normalisation, whose gradient is but rounding."""
    assert found.keys() == right.keys()
    names = right.keys() - {f"v:b{i + 1}" for i in normalised}
    return max((relative_error(found[name], right[name]), name) for name in names)
