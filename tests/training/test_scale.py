"""``fit(..., scale=...)``: inputs multiplied as they are used, on every backend and every way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, History, MultiLayerNet, Relu, Sequential, fit
from fastnn.backends import Backend
from tests.helpers.problems import BYTES, FLOATS, Batch

SCALE = 1 / 255
WAYS = ["narrow", "wide", "dense", "own layer", "one layer"]


class Half:
    """A layer of the user's own: with it the network is trained step by step in the loop."""

    def forward(self, x: Any) -> Any:
        return x * 0.5

    def backward(self, dout: Any) -> Any:
        return dout * 0.5


def problem(way: str, kind: str) -> tuple[Any, Any]:
    generator = np.random.default_rng(7)
    x = generator.integers(1, 128, (60, 12))
    if way != "dense":
        x = np.where(generator.random(x.shape) < 0.8, 0, x)
    return x.astype(kind), generator.integers(0, 4, 60)


def network_for(way: str, dtype: str) -> Sequential:
    hidden = {"wide": [400], "one layer": []}.get(way, [6])
    network: Sequential = MultiLayerNet(12, hidden, 4, dtype=dtype, seed=3)
    if way == "own layer":
        network = Sequential([*network.layers.values(), Half()])
    return network


def trained(
    way: str, dtype: str, x: Any, t: Any, **options: Any
) -> tuple[History, dict[str, np.ndarray[Any, Any]]]:
    network = network_for(way, dtype)
    history = fit(
        network, x[:50], t[:50], epochs=3, batch_size=8, optimizer=SGD(0.5), seed=1,
        validation=(x[50:], t[50:]), progress=False, **options,
    )  # fmt: skip
    return history, {name: fastnn.to_numpy(array) for name, array in network.params.items()}


@pytest.mark.parametrize(("dtype", "kind"), [*((some, "float32") for some in FLOATS), *BYTES])
@pytest.mark.parametrize("way", WAYS)
def test_it_is_as_if_the_data_were_scaled_before(
    backend: Backend, dtype: str, way: str, kind: str
) -> None:
    x, t = problem(way, kind)
    before = x.copy()
    scaled = x.astype(dtype) * np.dtype(dtype).type(SCALE)
    history, parameters = trained(way, dtype, x, t, scale=SCALE)
    expected, expected_parameters = trained(way, dtype, scaled, t)
    assert history.losses == expected.losses
    assert history.train_accuracies == expected.train_accuracies
    assert history.validation_accuracies == expected.validation_accuracies
    for name, array in expected_parameters.items():
        np.testing.assert_array_equal(parameters[name], array, name)
    np.testing.assert_array_equal(x, before)


def test_a_method_of_the_users_own_is_given_scaled_data(backend: Backend) -> None:
    class Own(MultiLayerNet):
        def accuracy(self, x: Any, t: Any) -> float:
            seen.append((float(backend.xp.max(x)), int(x.shape[0])))
            return 0.5

    seen: list[tuple[float, int]] = []
    x, t = problem("narrow", "uint8")
    fit(
        Own(12, [6], 4), x, t, batch_size=8, scale=SCALE, validation=(x[:5], t[:5]), progress=False
    )  # fmt: skip
    assert {count for largest, count in seen[-2:]} == {60, 5}
    assert all(largest <= 0.5 for largest, _ in seen[-2:])


@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf, "1", True, None, 1j, 1e300, 1e-60])
def test_what_is_no_scale(backend: Backend, scale: Any) -> None:
    x, t = problem("narrow", "uint8")
    network = network_for("narrow", "float32")
    before = {name: fastnn.to_numpy(array).copy() for name, array in network.params.items()}
    with pytest.raises((TypeError, ValueError), match="scale"):
        fit(network, x, t, scale=scale, progress=False)
    for name, array in network.params.items():
        np.testing.assert_array_equal(fastnn.to_numpy(array), before[name])


def test_the_warning_about_magnitudes_knows_of_it(backend: Backend) -> None:
    x, t = problem("dense", "uint8")
    with pytest.warns(fastnn.TrainingWarning, match="scale=1/255"):
        fit(network_for("narrow", "float32"), 2 * x, t, optimizer=SGD(1e-5), progress=False)
    fit(network_for("narrow", "float32"), 2 * x, t, scale=SCALE, progress=False)
    with pytest.warns(fastnn.TrainingWarning, match=r"times scale=100"):
        fit(
            network_for("narrow", "float32"), x / 128, t, scale=100, optimizer=SGD(1e-5),
            progress=False,
        )  # fmt: skip


def test_dead_units_are_those_of_the_scaled_data(batch: Batch) -> None:
    """A bias that outweighs scaled inputs, and not the bytes themselves."""
    from fastnn.training.standstill import dead_units

    W, b = np.ones((12, 3), "float32"), np.full(3, -10, "float32")
    network = Sequential([fastnn.Affine(W, b), Relu(), fastnn.Affine(W[:3], b)])
    x = np.full((5, 12), 200, "uint8")
    assert dead_units(network, x, 1.0) == [("Affine1", 0, 3)]
    assert dead_units(network, x, SCALE) == [("Affine1", 3, 3)]
