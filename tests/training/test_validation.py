"""What is held out: its loss beside its accuracy, and the split of a data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import MeanSquaredError, MultiLayerNet, SigmoidWithLoss, SoftmaxWithLoss
from fastnn.backends import Backend
from fastnn.nn import sequential
from tests.helpers.networks import parameters
from tests.helpers.problems import Batch

OPTIONS: dict[str, Any] = {"epochs": 2, "batch_size": 20, "seed": 0, "progress": False}


@pytest.fixture
def data() -> Batch:
    return Batch(90, 30, 3)


def targets_for(loss: type, data: Batch) -> Any:
    return data.t if loss is SoftmaxWithLoss else data.one_hot


@pytest.mark.parametrize("loss", [SoftmaxWithLoss, SigmoidWithLoss, MeanSquaredError])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_validation_loss_is_that_of_the_network(
    backend: Backend, data: Batch, loss: type, decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequential, "CHUNK", 7)
    x, t, held_out = data.x, targets_for(loss, data), slice(0, 33)
    network = MultiLayerNet(30, [8], 3, weight_decay_lambda=decay, seed=1)
    network.lastLayer = loss()
    asked = []

    def ask(network: Any, history: Any) -> None:
        asked.append(network.loss(x[held_out], t[held_out]))

    history = fastnn.fit(
        network, x, t, validation=(x[held_out], t[held_out]), callbacks=[ask], **OPTIONS
    )
    np.testing.assert_allclose(history.validation_losses, asked, rtol=1e-6)
    assert f"validation loss {asked[-1]:.4g}" in repr(history)
    assert history.as_dict()["validation_losses"] == history.validation_losses


def test_of_sparse_data_too(backend: Backend) -> None:
    """Which Numba counts without zeros, a sample whose loss is cut among them; pixels scaled."""
    rng = np.random.default_rng(0)
    x = np.where(rng.random((90, 30)) < 0.9, 0, rng.integers(1, 256, (90, 30))).astype("uint8")
    t = rng.integers(0, 70, 90)
    network = MultiLayerNet(30, [8], 70, seed=1, dtype="float64")
    history = fastnn.fit(network, x, t, validation=(x[:40], t[:40]), scale=1 / 255, **OPTIONS)
    right = network.loss(x[:40] / 255, t[:40])
    assert history.validation_losses[-1] == pytest.approx(right, rel=1e-12)


def test_a_loss_of_ones_own_is_asked(backend: Backend, data: Batch) -> None:
    class Own(SoftmaxWithLoss):
        """Twice as much."""

        def forward(self, x: Any, t: Any) -> Any:  # type: ignore[override]
            return 2 * super().forward(x, t)

    network = MultiLayerNet(30, [8], 3, seed=1)
    network.lastLayer = Own()
    history = fastnn.fit(network, data.x, data.t, validation=(data.x, data.t), **OPTIONS)
    network.lastLayer = SoftmaxWithLoss()
    assert history.validation_losses[-1] == pytest.approx(2 * network.loss(data.x, data.t), 1e-6)


def test_the_last_samples_are_split_off(backend: Backend, data: Batch) -> None:
    found, right = MultiLayerNet(30, [8], 3, seed=1), MultiLayerNet(30, [8], 3, seed=1)
    w = np.arange(90.0)
    one = fastnn.fit(found, data.x, data.t, validation_split=0.3, sample_weight=w, **OPTIONS)
    other = fastnn.fit(
        right, data.x[:63], data.t[:63], validation=(data.x[63:], data.t[63:]),
        sample_weight=w[:63], **OPTIONS,
    )  # fmt: skip
    assert one.losses == other.losses
    assert one.validation_accuracies == other.validation_accuracies
    assert one.validation_losses == other.validation_losses
    assert one.samples == 126
    for name, array in parameters(right).items():
        np.testing.assert_array_equal(parameters(found)[name], array)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"validation_split": 1.0}, ValueError, "validation_split must be at least 0 and less"),
        ({"validation_split": "0.1"}, TypeError, "validation_split must be a real number"),
        ({"validation_split": 0.995}, ValueError, "of 90 samples leaves none to train on"),
        ({"validation_split": 1e-17}, ValueError, "of 90 samples leaves none to hold out"),
        ({"validation_split": 0.5, "batch_size": 46}, ValueError, "there are 45 samples"),
        (
            {"validation_split": 0.5, "sample_weight": np.arange(90) >= 45},
            ValueError, "sample_weight is 0 for every sample",
        ),
        ({"validation_split": 0.5, "sample_weight": np.ones(45)}, ValueError, "there are 90 sam"),
    ],
)  # fmt: skip
def test_splits_that_cannot_be(
    backend: Backend, data: Batch, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    network = MultiLayerNet(30, [8], 3, seed=1)
    before = parameters(network)
    with pytest.raises(error, match=words):
        fastnn.fit(network, data.x, data.t, **{**OPTIONS, **options})
    with pytest.raises(ValueError, match=r"validation=\(x, t\) or validation_split, not both"):
        fastnn.fit(network, data.x, data.t, validation=(data.x, data.t), validation_split=0.5)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, before[name])
