"""Callbacks that are objects: when they are called, in which order, what they may do."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Callback, Checkpoint, CSVLogger, EarlyStopping, fit
from fastnn.backends import Backend
from fastnn.training.state import Training
from tests.helpers.networks import parameters, small
from tests.helpers.problems import Batch

STEPS = 6
"""Of an epoch: 53 samples in batches of 10."""


class Log(Callback):
    """Notes what is called, and after how many steps."""

    def __init__(self, every: int | None = 1) -> None:
        self.every_steps = every
        self.calls: list[tuple[str, int]] = []

    def on_train_begin(self, training: Training) -> None:
        self.calls.append(("begin", training.step))

    def on_step_end(self, training: Training) -> None:
        self.calls.append(("step", training.step))

    def on_epoch_end(self, training: Training) -> None:
        self.calls.append(("epoch", training.step))

    def on_train_end(self, training: Training) -> None:
        self.calls.append(("end", training.step))


def run(data: Batch, callbacks: list[Any], **options: Any) -> tuple[Any, fastnn.History]:
    network = small()
    how = {"epochs": 2, "batch_size": 10, "seed": 1, "progress": False, **options}
    return network, fit(network, data.x, data.t, callbacks=callbacks, **how)


def test_when_they_are_called(backend: Backend, data: Batch) -> None:
    logs = [Log(), Log(4), Log(None)]
    run(data, logs)
    first = [("step", step) for step in range(1, STEPS + 1)]
    second = [("step", step) for step in range(STEPS + 1, 2 * STEPS + 1)]
    end = [("epoch", 2 * STEPS), ("end", 2 * STEPS)]
    assert logs[0].calls == [("begin", 0), *first, ("epoch", STEPS), *second, *end]
    assert logs[1].calls == [
        ("begin", 0), ("step", 4), ("epoch", STEPS), ("step", 8), ("step", 12), *end,
    ]  # fmt: skip
    assert logs[2].calls == [("begin", 0), ("epoch", STEPS), *end]


def test_looking_changes_no_bit(backend: Backend, data: Batch) -> None:
    network, history = run(data, [])
    watched, other = run(data, [Log(), lambda network, history: None])
    np.testing.assert_array_equal(history.losses, other.losses)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(parameters(watched)[name], array)


def test_a_step_is_shown_whole_and_may_be_changed(backend: Backend, data: Batch) -> None:
    seen: list[dict[str, Any]] = []

    class Freeze(Callback):
        def on_step_end(self, training: Training) -> None:
            seen.append(parameters(training.network))
            training.network.params["b2"] = np.full(4, training.step)
            training.optimizer.lr = 0.0  # type: ignore[attr-defined]

    network, history = run(data, [Freeze()], optimizer=SGD(0.5))
    by_hand = small()
    order = np.random.default_rng(1).permutation(53)[:10]
    SGD(0.5).update(by_hand.params, by_hand.gradient(data.x[order], data.t[order]))
    for name, array in parameters(by_hand).items():
        np.testing.assert_allclose(seen[0][name], array, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(seen[1]["b2"], np.ones(4))
    np.testing.assert_array_equal(parameters(network)["b2"], np.full(4, 2 * STEPS))
    np.testing.assert_array_equal(parameters(network)["W1"], seen[0]["W1"])
    assert len(history.losses) == 2 * STEPS


class EndAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, training: Training) -> Any:
        return np.bool_(training.step == self.step)


@pytest.mark.parametrize(("step", "epochs"), [(1, 0), (STEPS - 1, 0), (STEPS, 1), (STEPS + 1, 1)])
def test_a_step_may_end_the_training(backend: Backend, data: Batch, step: int, epochs: int) -> None:
    log = Log(None)
    _, history = run(data, [log, EndAt(step)])
    assert (len(history.losses), history.epochs) == (step, epochs)
    assert not history.interrupted
    assert [call for call in log.calls if call[0] == "epoch"] == [("epoch", STEPS)] * epochs
    assert log.calls[-1] == ("end", step)


@pytest.mark.usefixtures("on_numpy")
def test_the_last_begun_is_the_first_to_end(data: Batch) -> None:
    ended: list[int] = []

    class End(Callback):
        def __init__(self, number: int) -> None:
            self.number = number

        def on_train_end(self, training: Training) -> None:
            ended.append(self.number)

    run(data, [End(1), End(2)])
    assert ended == [2, 1]


@pytest.mark.usefixtures("on_numpy")
def test_an_error_in_a_step_leaves_the_network_whole(data: Batch) -> None:
    class Fail(Callback):
        def on_step_end(self, training: Training) -> None:
            if training.step == 3:
                raise ZeroDivisionError

    class Break(Callback):
        def on_step_end(self, training: Training) -> None:
            training.network.layers["Affine1"].W = np.zeros((2, 2), "float32")

    class Grow(Callback):
        every_steps = 0

        def on_step_end(self, training: Training) -> None:
            """Never."""

    for callback, error in ((Fail(), ZeroDivisionError), (Break(), ValueError)):
        network = small()
        with pytest.raises(error):
            fit(network, data.x, data.t, batch_size=10, callbacks=[callback], progress=False)
        network.gradient(data.x, data.t)
    with pytest.raises(ValueError, match=r"Grow\.every_steps"):
        run(data, [Grow()])


@pytest.mark.usefixtures("on_numpy")
def test_what_is_no_callback_is_refused(data: Batch) -> None:
    with pytest.raises(TypeError, match="the class EarlyStopping itself: make an object"):
        run(data, [EarlyStopping])
    with pytest.raises(TypeError, match=r"fastnn\.Callback"):
        run(data, [3])


@pytest.mark.usefixtures("on_numpy", "python_handles_ctrl_c")
@pytest.mark.parametrize("step", [2, STEPS, STEPS + 2])
def test_interrupted_between_steps(data: Batch, tmp_path: Path, step: int) -> None:
    """Ctrl-C in a callback ends the training; the end is told, and saved.

    That is so after the last step of an epoch, too, which is then evaluated when it goes on.
    """

    class Press(Callback):
        def on_step_end(self, training: Training) -> None:
            if training.step == step:
                signal.raise_signal(signal.SIGINT)

    log, path, table = Log(None), tmp_path / "training", tmp_path / "log.csv"
    evaluated: dict[str, Any] = {"epochs": 3, "validation": (data.x, data.t)}
    _, history = run(data, [Press(), log, Checkpoint(path), CSVLogger(table)], **evaluated)
    assert history.interrupted
    assert log.calls[-1] == ("end", step)
    whole, expected = run(data, [], **evaluated)
    resumed, longer = run(data, [CSVLogger(table)], resume=path, **evaluated)
    assert not longer.interrupted
    assert longer.losses == expected.losses
    assert longer.validation_accuracies == expected.validation_accuracies
    assert longer.epoch_steps == expected.epoch_steps == [STEPS] * 3
    for name, array in parameters(whole).items():
        np.testing.assert_array_equal(parameters(resumed)[name], array)
    assert len(table.read_text("utf-8").splitlines()) == 1 + 3
