"""Early stopping: what it monitors, when it ends, which network it gives back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Checkpoint, EarlyStopping, History, MeanSquaredError, fit
from fastnn.backends import Backend
from tests.helpers.networks import parameters, small
from tests.helpers.problems import Batch


def run(data: Batch, callbacks: list[Any], **options: Any) -> tuple[Any, History]:
    network = small()
    how: dict[str, Any] = {
        "epochs": 40, "batch_size": 10, "seed": 1, "progress": False, "optimizer": SGD(1.0),
        "validation": (data.x[::-1][:30], np.roll(data.t, 3)[:30]), **options,
    }  # fmt: skip
    return network, fit(network, data.x, data.t, callbacks=callbacks, **how)


def test_it_gives_the_best_network_back(backend: Backend, data: Batch) -> None:
    seen: list[dict[str, Any]] = []

    def keep(network: Any, history: History) -> None:
        seen.append(parameters(network))

    stop = EarlyStopping(4, monitor="validation_accuracy")
    network, history = run(data, [stop, keep])
    values = history.validation_accuracies
    best = int(np.argmax(values))
    assert history.epochs == best + 1 + 4 < 40
    assert (stop.best, stop.best_epoch, stop.waited) == (values[best], best + 1, 4)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, seen[best][name])
    assert any((seen[best][name] != seen[-1][name]).any() for name in seen[0])


@pytest.mark.usefixtures("on_numpy")
def test_without_the_best(data: Batch) -> None:
    seen: list[dict[str, Any]] = []
    stop = EarlyStopping(2, False, monitor="loss", min_delta=10.0)
    network, history = run(data, [stop, lambda net, history: seen.append(parameters(net))])
    assert history.epochs == 3  # the first is the best, as nothing is better by 10
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, seen[-1][name])


@pytest.mark.usefixtures("on_numpy")
def test_what_is_nan_is_never_better(data: Batch) -> None:
    def spoil(network: Any, history: History) -> None:
        if history.epochs == 2:
            network.params["b2"] = np.full(4, np.nan)

    stop = EarlyStopping(3, monitor="loss")
    with pytest.warns(fastnn.TrainingWarning, match="diverged"):
        _, history = run(data, [stop, spoil], validation=None)
    assert math.isnan(history.losses[-1])
    assert history.epochs == stop.best_epoch + 3 < 7
    assert np.isfinite(stop.best)


@pytest.mark.usefixtures("on_numpy")
def test_it_begins_anew_with_each_fit(data: Batch) -> None:
    stop = EarlyStopping(2)
    first = run(data, [stop])[1]
    assert run(data, [stop])[1].epochs == first.epochs


@pytest.mark.usefixtures("on_numpy")
def test_what_is_not_there_is_said_before_training(data: Batch) -> None:
    network = small()
    before = parameters(network)
    for stop, words in (
        (EarlyStopping(), "monitors validation data.* call fit with validation="),
        (EarlyStopping(monitor="validation_accuracy"), "monitors 'validation_accuracy'.*only loss"),
        (EarlyStopping(monitor="accuracy"), "monitors 'accuracy'"),
    ):
        with pytest.raises(ValueError, match=words):
            fit(network, data.x, data.t, callbacks=[stop], progress=False)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(ValueError, match="train_accuracy"):
        run(data, [EarlyStopping(monitor="validation_score")])


@pytest.mark.usefixtures("on_numpy")
def test_scores_of_numbers(data: Batch) -> None:
    network = fastnn.TwoLayerNet(12, 6, 1, 0.5, seed=3)
    network.lastLayer = MeanSquaredError()
    t = data.x[:, 0]
    stop = EarlyStopping(2)
    history = fit(network, data.x, t, epochs=30, seed=0, validation=(data.x, t), callbacks=[stop],
                  optimizer=SGD(0.3), progress=False)  # fmt: skip
    monitored = getattr(history, "validation_losses", history.validation_scores)
    assert stop.best in monitored


@pytest.mark.parametrize(
    "arguments", [{"patience": 0}, {"min_delta": -1}, {"restore_best": 1}, {"patience": 1.5}]
)
def test_other_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(arguments))):
        EarlyStopping(**arguments)


@pytest.mark.usefixtures("on_numpy")
def test_it_goes_on_from_a_checkpoint(data: Batch, tmp_path: Path) -> None:
    """The best network may be one of before; a training that it had ended stays ended."""
    path = tmp_path / "training"

    def callbacks() -> list[Any]:
        return [Checkpoint(path), EarlyStopping(4, monitor="validation_accuracy")]

    whole, history = run(data, callbacks())
    again, same = run(data, callbacks(), resume=path)
    assert same.losses == history.losses
    for epochs in range(1, history.epochs):
        run(data, callbacks(), epochs=epochs)
        resumed, longer = run(data, callbacks(), resume=path)
        assert longer.losses == history.losses
        for name, array in parameters(whole).items():
            np.testing.assert_array_equal(parameters(resumed)[name], array)
            np.testing.assert_array_equal(parameters(again)[name], array)
