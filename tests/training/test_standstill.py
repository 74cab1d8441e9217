"""Inputs far from 1 and dead units are said, once; where that is an error nothing is half done."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, History, Relu, Sequential, TrainingWarning, fit
from fastnn.backends import Backend
from fastnn.datasets.directory import DataSet
from fastnn.training.standstill import dead_units
from tests.helpers.networks import parameters, small
from tests.helpers.problems import Batch

OPTIONS: dict[str, Any] = {"batch_size": 10, "seed": 1, "progress": False}


@pytest.fixture
def data() -> Batch:
    return Batch(530, 12, 4)


BYTES, STANDARDIZE = "pass scale=1/255 to fit, or divide x by 255", "standardize x"
FAR: dict[str, tuple[Callable[[Any], Any], str]] = {
    "bytes": (lambda x: np.round(x * 255).astype("uint8"), BYTES),
    "bytes as float32": (lambda x: np.round(x * 255).astype("float32"), BYTES),
    "bytes as int64": (lambda x: np.round(x * 255).astype("int64"), BYTES),
    "large": (lambda x: 1000 * x, f"so large.*{STANDARDIZE}"),
    "negative": (lambda x: -1000 * x, f"so large.*{STANDARDIZE}"),
    "huge": (lambda x: 1e30 * x, f"so large.*{STANDARDIZE}"),
    "offset": (lambda x: x + 500, f"so large.*{STANDARDIZE}"),
    "one column": (lambda x: np.where(np.arange(12) == 3, 1e4, x), STANDARDIZE),
    "small": (lambda x: x / 255 / 255, f"so small.*{STANDARDIZE}"),
    "tiny": (lambda x: x * 1e-30, f"so small.*{STANDARDIZE}"),
}


@pytest.mark.parametrize("case", FAR)
def test_inputs_far_from_1_are_warned_of_before_training(
    backend: Backend, data: Batch, case: str
) -> None:
    make, words = FAR[case]
    network = small()
    before = parameters(network)
    with pytest.raises(TrainingWarning, match=words):  # warnings are errors in these tests
        fit(network, make(data.x), data.t, **OPTIONS)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, before[name])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(network, make(data.x), data.t, optimizer=SGD(0), **OPTIONS)
    assert history.epochs == 1
    (told,) = [warning for warning in caught if "inputs x" in str(warning.message)]
    assert re.search(words, str(told.message))
    assert told.filename == __file__


rng = np.random.default_rng(0)
NEAR: dict[str, Callable[[Any], Any]] = {
    "pixels": lambda x: x,
    "standardized": lambda x: rng.standard_normal(x.shape),
    "with rare outliers": lambda x: np.where(rng.random(x.shape) < 0.002, 50, x),
    "up to 16": lambda x: np.round(16 * x),
    "times 10": lambda x: 10 * x,
    "a tenth": lambda x: x / 10,
    "one-hot": lambda x: np.eye(12)[np.arange(530) % 12],
    "mostly zeros": lambda x: np.where(np.arange(530)[:, None] % 9, 0, x),
    "bool": lambda x: x > 0.5,
    "int8": lambda x: np.sign(x - 0.3).astype("int8"),
}


@pytest.mark.parametrize("case", NEAR)
def test_ordinary_inputs_are_not(backend: Backend, data: Batch, case: str) -> None:
    fit(small(), NEAR[case](data.x), data.t, optimizer=SGD(0.01), **OPTIONS)


def test_bytes_under_the_defaults_are_warned_of_twice(backend: Backend, mnist: DataSet) -> None:
    if backend.name == "strict":
        pytest.skip("it is slow")
    (x, t), _ = mnist
    x = np.round(255 * x[:4000]).astype("uint8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network = fastnn.TwoLayerNet(784, 50, 10, seed=0)
        fit(network, x, t[:4000], epochs=6, progress=False)
    first, second = [str(warning.message) for warning in caught]
    assert BYTES in first
    ((name, dead, units),) = dead_units(network, x, 1.0)
    assert (name, units) == ("Affine1", 50)
    assert dead >= 45
    assert "of the 50 units of Affine1 are dead" in second


def with_dead_units(count: int, bias: float = -1e3) -> Sequential:
    network = small()
    network.params["b1"] = np.where(np.arange(6) < count, bias, 0.1)
    return network


@pytest.mark.parametrize("count", [6])
@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_dead_units_are_named_when_the_loss_does_not_move(
    backend: Backend, data: Batch, count: int, epochs: int
) -> None:
    network = with_dead_units(count)
    words = f"has not moved for an epoch, and {count} of the 6 units of Affine1 are dead"
    with pytest.warns(TrainingWarning, match=words) as caught:
        history = fit(network, data.x, data.t, epochs=epochs, optimizer=SGD(1e-9), **OPTIONS)
    assert len(caught) == 1
    assert history.epochs == epochs


def test_live_units_are_not(backend: Backend, data: Batch) -> None:
    fit(with_dead_units(4), data.x, data.t, epochs=3, optimizer=SGD(0), **OPTIONS)


def test_nothing_is_said_while_the_loss_moves(backend: Backend, data: Batch) -> None:
    t = np.argmax(data.x[:, :4], axis=1)
    history = fit(with_dead_units(3), data.x, t, epochs=3, optimizer=SGD(0.5), **OPTIONS)
    assert np.mean(history.losses[-53:]) < 0.95 * np.mean(history.losses[:53])


def test_as_an_error_it_comes_after_a_whole_epoch(backend: Backend, data: Batch) -> None:
    network, histories = with_dead_units(6), []

    def keep(network: Sequential, history: History) -> None:
        histories.append(history)

    with pytest.raises(TrainingWarning, match="6 of the 6"):
        fit(network, data.x, data.t, epochs=9, optimizer=SGD(0.01), callbacks=[keep], **OPTIONS)
    epochs = len(histories) + 1  # the warning comes before the callbacks
    twin = with_dead_units(6)
    with pytest.warns(TrainingWarning):
        fit(twin, data.x, data.t, epochs=epochs, optimizer=SGD(0.01), **OPTIONS)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, parameters(twin)[name])


class Counting:
    """A layer with a state, which only training may change."""

    calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return x

    def backward(self, dout: Any) -> Any:
        return dout


def test_layers_of_ones_own_are_left_alone(backend: Backend, data: Batch) -> None:
    def affine(inputs: int, outputs: int, b: float) -> Affine:
        W, bias = np.ones((inputs, outputs), "float32"), np.full(outputs, b, "float32")
        return Affine(backend.asarray(W), backend.asarray(bias))

    counting = Counting()
    network = Sequential([affine(12, 5, -1e3), Relu(), counting, affine(5, 4, 0), Relu()])
    assert dead_units(network, data.x, 1.0) == [("Affine1", 5, 5)]
    assert counting.calls == 0
    deep = Sequential([affine(12, 5, 0), Relu(), affine(5, 4, -1e3), Relu(), affine(4, 4, 0)])
    assert dead_units(deep, data.x.reshape(530, 3, 4), 1.0) == [
        ("Affine1", 0, 5),
        ("Affine2", 4, 4),
    ]


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_training_that_diverges_is_told_once(backend: Backend, data: Batch, epochs: int) -> None:
    """As that of numbers of magnitude 1e5 does, at too large a rate."""
    network = fastnn.MultiLayerNet(12, [6], 1, seed=0)
    network.lastLayer = fastnn.MeanSquaredError()
    t = 1e5 + 1e4 * data.x[:, 0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(network, data.x, t, optimizer=SGD(10), epochs=epochs, **OPTIONS)
    (told,) = [str(one.message) for one in caught if "diverged" in str(one.message)]
    finite = int(np.isfinite(history.losses).sum())
    assert not np.isfinite(history.losses[finite:]).any()
    assert (
        f"from step {finite + 1} on the loss is nan (it was {history.losses[finite - 1]:.4g} b"
        in told
    )
    assert "b2 hold NaN or infinity" in told
    assert "clip_norm=1" in told
    network.load_state_dict(fastnn.MultiLayerNet(12, [6], 1, seed=0).state_dict())
    better = fit(network, data.x, t, optimizer=SGD(1e-3, clip_norm=1.0), epochs=epochs, **OPTIONS)
    assert np.isfinite(better.losses).all()


def test_a_loss_of_nan_alone_is_no_divergence(backend: Backend, data: Batch) -> None:
    """As that of a loss of one's own may be, of a batch where it has nothing to judge."""

    class Silent(fastnn.nn.losses.SoftmaxWithLoss):
        def forward(self, x: Any, t: Any) -> Any:  # type: ignore[override]
            return super().forward(x, t) * float("nan")

    network = small()
    network.lastLayer = Silent()
    history = fit(network, data.x, data.t, **OPTIONS)
    assert np.isnan(history.losses).all()
