"""Checks of what fastnn has besides the book's network, in small networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from fastnn.backends.selection import use_backend
from fastnn.diagnostics.gradient_check import Comparison, GradientReport, check_gradients
from fastnn.nn.activations import BY_PRIMITIVE
from fastnn.nn.layer import Layer
from fastnn.nn.losses import MeanSquaredError, PoissonWithLoss, SigmoidWithLoss
from fastnn.nn.networks import MultiLayerNet
from fastnn.nn.sequential import Sequential

SAMPLES, FEATURES, HIDDEN, OUTPUTS = 3, 12, 7, 5
"""Sizes of the small networks and their data."""


def small_networks(seed: int | None = 0) -> Iterator[tuple[tuple[str, ...], Sequential]]:
    """Give names of parts, as their layers are called, and a network that has them.

    All activations are in one: each network has to be compiled, for float32 and for float64.
    """
    yield _all_activations(seed)
    for loss in (SigmoidWithLoss, MeanSquaredError, PoissonWithLoss):
        network = MultiLayerNet(FEATURES, [HIDDEN], OUTPUTS, seed=seed)
        network.lastLayer = loss()
        yield (loss.__name__,), network
    network = MultiLayerNet(FEATURES, [HIDDEN], OUTPUTS, use_batchnorm=True, seed=seed)
    yield ("BatchNormalization",), _called("BatchNormalization", network, place=1)
    network = MultiLayerNet(
        FEATURES, [HIDDEN], OUTPUTS, use_dropout=True, dropout_ratio=0.3, seed=seed
    )
    yield ("Dropout",), _called("Dropout", network, place=2)


def _called(name: str, network: Sequential, *, place: int) -> Sequential:
    """Call the layer at a place by a name."""
    layers = enumerate(network.layers.items())
    return Sequential({name if i == place else key: layer for i, (key, layer) in layers})


def _all_activations(seed: int | None) -> tuple[tuple[str, ...], Sequential]:
    """Put an activation of each kind between Affine layers."""
    names = tuple(activation.__name__ for activation in BY_PRIMITIVE)
    layers: dict[str, Layer] = {}
    affines = MultiLayerNet(
        FEATURES, [HIDDEN] * len(names), OUTPUTS, "sigmoid", "xavier", seed=seed
    )
    for number, activation in enumerate(BY_PRIMITIVE, 1):
        layers[f"Affine{number}"] = affines.layers[f"Affine{number}"]
        layers[activation.__name__] = activation()
    last = f"Affine{len(names) + 1}"
    return names, Sequential({**layers, last: affines.layers[last]})


def check_every_part(
    backends: Iterable[str] | None = None, *, seed: int | None = 0
) -> GradientReport:
    """Check every part as `check_gradients` does, on random data.

    Parameters
    ----------
    backends : iterable of str, optional
        Which backends; by default all that can run here.
    seed : int, optional
        Of the data and the initial weights.

    Returns
    -------
    GradientReport
        Of each part by itself, and of the network and the training step that have it.
    """
    backends = None if backends is None else list(backends)
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((SAMPLES, FEATURES))
    t = np.eye(OUTPUTS)[generator.integers(0, OUTPUTS, SAMPLES)]
    comparisons: list[Comparison] = []
    left_out = 0
    with use_backend("numpy"):
        networks = list(small_networks(seed))
    for names, network in networks:
        report = check_gradients(network, x, t, backends=backends)
        left_out += report.left_out
        for comparison in report.comparisons:
            if comparison.part in names:
                comparisons.append(comparison)
            elif comparison.part in ("network", "training step"):
                way = comparison.part.removeprefix("training ")
                comparisons.append(replace(comparison, part=f"{way} with {', '.join(names)}"))
    return GradientReport(comparisons, SAMPLES, left_out)
