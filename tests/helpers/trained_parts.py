"""Networks of every activation, loss and dropout that are trained some steps, on any backend."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

import fastnn
from fastnn import Dropout, LeakyRelu, MeanSquaredError, Relu, Tanh
from fastnn.backends.loop import Loop
from fastnn.training.planner import make_plan
from tests.helpers.problems import affine_of, data_set

STEPS = 5
OF_ACTIVATIONS = (30, 70, 20, 9, 3)
OF_DROPOUT = (30, 70, 20, 9, 30, 8, 3)
BEHIND: tuple[Any, ...] = (Relu, Tanh, None, LeakyRelu, Tanh)
RATIOS = (0.2, 0.5, 0.0, 0.99, None)

Trained = tuple[dict[str, Any], Any, Any]
"""Parameters and state of layers after some steps, their losses, and what ran them."""


def with_activations(
    engine: str, activations: tuple[Any, ...], density: float, dtype: str, batch: int,
    optimizer: Any,
) -> Trained:  # fmt: skip
    """Train a network of classes with these activations, one after the other."""
    with fastnn.use_backend(engine):
        rng = np.random.default_rng(3)
        layers: list[Any] = []
        for i, (D, M) in enumerate(pairwise(OF_ACTIVATIONS)):
            W = rng.standard_normal((D, M)) / np.sqrt(D)
            layers += [affine_of(W.astype(dtype), np.zeros(M, dtype))]
            layers += [activations[i % len(activations)]()]
        x, t = data_set(700, OF_ACTIVATIONS[0], OF_ACTIVATIONS[-1], density=density)
        rows = np.array([rng.permutation(700)[:batch] for _ in range(STEPS)])
        return _trained(fastnn.Sequential(layers[:-1]), x.astype(dtype), t, optimizer, [rows])


def with_loss(
    engine: str, loss: Any, sizes: tuple[int, ...], dtype: str, batch: int, density: float = 0.2,
    *, magnitude: float = 1.0, steps: int = STEPS,
) -> Trained:  # fmt: skip
    """Train a network of numbers by a loss; targets are from 0 to 1."""
    with fastnn.use_backend(engine):
        rng = np.random.default_rng(3)
        layers: list[Any] = []
        for D, M in pairwise(sizes):
            W = magnitude ** (1 / (len(sizes) - 1)) * rng.standard_normal((D, M)) / np.sqrt(D)
            layers += [affine_of(W.astype(dtype), np.zeros(M, dtype)), Relu()]
        network = fastnn.Sequential(layers[:-1], loss())
        x, _ = data_set(700, sizes[0], 2, density=density)
        t = np.round(rng.random((700, sizes[-1])), 1).astype(dtype)
        rows = np.array([rng.permutation(700)[:batch] for _ in range(steps)])
        return _trained(network, x.astype(dtype), t, fastnn.SGD(0.05), [rows])


def network_with_dropout(dtype: str, normalised: tuple[int, ...] = ()) -> fastnn.Sequential:
    """A network with dropout behind several activations, behind none, and not at all.

    If some of its layers are normalised it is one of numbers, not of classes.
    """
    rng = np.random.default_rng(3)
    layers: list[Any] = []
    for i, (D, M) in enumerate(pairwise(OF_DROPOUT)):
        W = rng.standard_normal((D, M)) / np.sqrt(D)
        layers += [affine_of(W.astype(dtype), (rng.standard_normal(M) / 4).astype(dtype))]
        if i in normalised:
            gamma = rng.uniform(0.5, 1.5, M).astype(dtype)
            layers += [fastnn.BatchNormalization(gamma, gamma - 1)]
        if i < len(BEHIND):
            activation, ratio = BEHIND[i], RATIOS[i]
            layers += [] if activation is None else [activation()]
            layers += [] if ratio is None else [Dropout(ratio, seed=i)]
    return fastnn.Sequential(layers, MeanSquaredError() if normalised else None)


def with_dropout(
    engine: str, density: float, dtype: str, batch: int, held: int, normalised: tuple[int, ...] = ()
) -> Trained:
    """Train it for a run and one of shorter batches, the mask of one layer being held."""
    with fastnn.use_backend(engine):
        network = network_with_dropout(dtype, normalised)
        for number, layer in enumerate(network.layers.values()):
            if isinstance(layer, Dropout):
                layer.draws, layer.held = 2**32 * number + 2**32 - 3, number == held
        x, t = data_set(700, OF_DROPOUT[0], OF_DROPOUT[-1], density=density)
        t = np.eye(OF_DROPOUT[-1], dtype=dtype)[t] if normalised else t
        rng = np.random.default_rng(1)
        rows = [
            np.array([rng.permutation(700)[:samples] for _ in range(STEPS)])
            for samples in (batch, batch - 2)
        ]
        return _trained(network, x.astype(dtype), t, fastnn.SGD(0.1), rows)


def _trained(network: Any, x: Any, t: Any, optimizer: Any, runs: list[Any]) -> Trained:
    backend = network.backend
    dtype = str(t.dtype) if t.ndim > 1 else "int64"
    plan = make_plan(
        network, backend.asarray(x), backend.asarray(t, dtype), optimizer, runs[0].shape[1]
    )
    runner: Any = backend.compile(plan) or Loop(backend, plan)
    numbers = optimizer.hyperparameters_of_steps(STEPS)
    losses = [backend.to_numpy(runner.run(backend.asarray(rows), numbers)) for rows in runs]
    runner.flush()
    found = {
        name: backend.to_numpy(array)
        for name, array in plan.arrays.items()
        if not name.endswith("_data")
    }
    return found, np.concatenate(losses), runner
