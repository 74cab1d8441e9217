"""Parameters and state of another dtype than the network's: right, though not in the fused step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.backends import Backend
from fastnn.nn.optimizers import Momentum
from fastnn.nn.sequential import Sequential
from fastnn.training.fit import fit

pytestmark = pytest.mark.gpu

OTHER = {"float32": "float64", "float64": "float32"}
PLACES = (
    *[(0, name) for name in ("W", "b")],
    *[(1, name) for name in ("gamma", "beta", "running_mean", "running_var")],
    *[(3, name) for name in ("W", "b")],
)
"""Of Affine, BatchNormalization, Relu, Affine."""


def losses_with(place: int, name: str, dtype: str, backend: Backend) -> tuple[Any, Sequential]:
    """Train with one array of the other dtype."""
    network = fastnn.MultiLayerNet(12, [9], 5, use_batchnorm=True, dtype=dtype, seed=0)
    layer = list(network.layers.values())[place]
    value = backend.to_numpy(getattr(layer, name)) + 0.25
    setattr(layer, name, backend.asarray(value, OTHER[dtype]))
    generator = np.random.default_rng(0)
    x, t = generator.standard_normal((50, 12)), generator.integers(0, 5, 50)
    history = fit(
        network, x, t, epochs=2, batch_size=16, optimizer=Momentum(0.1), seed=0, progress=False
    )
    return np.array(history.losses), network


def test_an_array_of_another_dtype_trains_as_on_numpy(cuda: Backend, dtype: str) -> None:
    for place, name in PLACES:
        found, network = losses_with(place, name, dtype, cuda)
        with fastnn.use_backend("numpy") as numpy:
            right, _ = losses_with(place, name, dtype, numpy)
        np.testing.assert_allclose(found, right, rtol=1e-4, err_msg=f"{place} {name}")
        said = str(fastnn.explain(network))
        assert ("single operations, not fused" in said) == ("running" not in name), said
