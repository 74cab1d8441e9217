"""Losses of the user's own, validated: what they say of their answers, and what they do not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import EarlyStopping, MeanSquaredError, MultiLayerNet, PoissonWithLoss
from fastnn.backends import Backend
from fastnn.nn.loss import Loss
from fastnn.nn.targets import Targets, check_numbers
from tests.helpers.layers import AnySquaredError

OPTIONS: dict[str, Any] = {"epochs": 3, "batch_size": 20, "seed": 0, "progress": False}


class UnmeasuredError(AnySquaredError):
    """A loss that says that nothing but itself tells how good answers are."""

    measure = None


class ScoredError(AnySquaredError):
    measure = "R2"


class OnLoss(Loss):
    """A loss made on fastnn's `Loss`, which leaves to it how losses become one, with weights."""

    def losses(self, x: Any, t: Any) -> tuple[Any, Any]:
        return self.backend.squared_error(x, t), x

    def _gradient(self, y: Any, t: Any) -> Any:
        return self.backend.squared_error_backward(y, t)

    def _checked(self, t: Any, shape: Any, backend: Backend, dtype: str, name: str) -> Targets:
        return check_numbers(t, shape, backend, dtype, needs="OnLoss needs numbers", name=name)


class OfClasses:
    """The book's `SoftmaxWithLoss`, which says nothing."""

    def forward(self, x: Any, t: Any) -> Any:
        self.t, self.y = t, fastnn.softmax(x)
        return fastnn.cross_entropy_error(self.y, t)

    def backward(self, dout: float = 1) -> Any:
        backend = fastnn.get_backend()
        return backend.softmax_cross_entropy_backward(self.y, backend.asarray(self.t, "int64"))


@pytest.fixture
def x() -> Any:
    return np.random.default_rng(0).standard_normal((90, 30))


@pytest.fixture
def numbers() -> Any:
    """Of a network's dtype: a loss of the user's own is given targets as they are."""
    return np.random.default_rng(1).standard_normal((90, 3)).astype("float32")


def network_with(loss: Any, outputs: int = 3, dtype: str = "float32") -> MultiLayerNet:
    network = MultiLayerNet(30, [8], outputs, dtype=dtype, seed=1)
    network.lastLayer = loss()
    return network


def check_losses_alone(history: fastnn.History, asked: list[float], dtype: str) -> None:
    np.testing.assert_allclose(
        history.validation_losses, asked, rtol=1e-5 if dtype == "float32" else 1e-12
    )
    assert history.train_accuracies == history.validation_accuracies == []
    assert history.train_scores == history.validation_scores == []
    assert list(history.by_epoch()) == ["loss", "validation_loss", "seconds"]
    assert f"validation loss {asked[-1]:.3g}"[:18] in repr(history)


@pytest.mark.parametrize("loss", [AnySquaredError, UnmeasuredError, OnLoss])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("way", ["validation", "split"])
def test_numbers_are_validated_by_their_loss(
    backend: Backend, dtype: str, loss: Any, outputs: int, way: str, x: Any, numbers: Any
) -> None:
    network, asked = network_with(loss, outputs, dtype), []
    t = numbers[:, :outputs].astype(dtype)

    def ask(network: Any, history: Any) -> None:
        asked.append(network.loss(x[60:], t[60:]))

    if way == "split":
        history = fastnn.fit(network, x, t, validation_split=1 / 3, callbacks=[ask], **OPTIONS)
    else:
        held_out = (x[60:], t[60:])
        history = fastnn.fit(
            network, x[:60], t[:60], validation=held_out, callbacks=[ask], **OPTIONS
        )
    check_losses_alone(history, asked, dtype)
    assert asked[-1] < asked[0]


def test_whole_numbers_of_one_output_are_no_classes(backend: Backend, x: Any) -> None:
    """A softmax over one output tells nothing apart, whatever the numbers are."""
    t = np.random.default_rng(2).integers(0, 2, (90, 1)).astype("float32")
    history = fastnn.fit(network_with(AnySquaredError, 1), x, t, validation=(x, t), **OPTIONS)
    assert len(history.validation_losses) == 3
    assert history.validation_accuracies == []


def test_a_loss_that_says_r2_is_scored(backend: Backend, dtype: str, x: Any, numbers: Any) -> None:
    network, right = network_with(ScoredError, dtype=dtype), network_with(MeanSquaredError)
    numbers = numbers.astype(dtype)
    history = fastnn.fit(network, x, numbers, validation=(x[:30], numbers[:30]), **OPTIONS)
    assert history.train_scores[-1] == pytest.approx(network.score(x, numbers), rel=1e-12)
    right.load_state_dict(network.state_dict())
    assert network.score(x, numbers) == pytest.approx(right.score(x, numbers), rel=1e-4)
    assert history.validation_accuracies == []
    with pytest.raises(TypeError, match=r"ScoredError gives numbers.*network\.score.*R2"):
        network.accuracy(x, numbers)


def test_a_loss_that_says_nothing_is_one_of_classes(backend: Backend, x: Any) -> None:
    t = np.random.default_rng(2).integers(0, 3, 90)
    for labels in (t, t.astype("float64"), fastnn.one_hot(t, 3)):
        network = network_with(OfClasses)
        if labels.ndim == 2:
            network.lastLayer = AnySquaredError()
            labels = fastnn.to_numpy(labels).astype("float32")
        history = fastnn.fit(network, x, labels, validation=(x[:30], labels[:30]), **OPTIONS)
        assert history.train_accuracies[-1] == network.accuracy(x, labels)
        assert history.validation_accuracies[-1] == network.score(x[:30], labels[:30])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: np.where(t == 2, 7, t), r"label validation t\[\d+\] is 7: labels are integers"),
        (lambda t: np.where(t == 2, np.nan, t), r"validation t\[\d+\] is nan.*NaN is a gap"),
        (lambda t: np.stack([t, t, t], axis=1), r"row \d+ of validation t is not one-hot"),
    ],
)
def test_what_are_no_classes_is_said_before_it_trains(
    backend: Backend, x: Any, change: Any, words: str
) -> None:
    """With what to write if they are not meant to be classes."""
    t = change(np.random.default_rng(2).integers(0, 3, 90))
    network = network_with(AnySquaredError if t.ndim == 2 else OfClasses)
    before = network.state_dict()
    words += ".*has no measure.*write measure = None in its class"
    with pytest.raises(ValueError, match=words):
        fastnn.fit(network, x, t, validation=(x, t), **OPTIONS)
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(ValueError, match=r"write measure = None"):
        network.accuracy(x, t)


def test_labels_of_the_training_are_seen_before_it_trains(backend: Backend, x: Any) -> None:
    t = np.random.default_rng(2).integers(0, 3, 90)
    t[70] = 8
    with pytest.raises(ValueError, match=r"label t\[70\] is 8"):
        fastnn.fit(network_with(OfClasses), x, t, validation=(x[:30], t[:30]), **OPTIONS)


def test_a_measure_that_is_none_is_refused(backend: Backend, x: Any, numbers: Any) -> None:
    class OtherError(AnySquaredError):
        measure = "MAE"

    words = "measure of the loss OtherError is 'MAE': expected 'accuracy', 'R2', or None"
    for act in (
        lambda network: network.score(x, numbers),
        lambda network: fastnn.fit(network, x, numbers, validation=(x, numbers), **OPTIONS),
    ):
        with pytest.raises(ValueError, match=words):
            act(network_with(OtherError))


def test_nothing_tells_but_the_loss(backend: Backend, x: Any, numbers: Any) -> None:
    network = network_with(UnmeasuredError)
    for method in (network.accuracy, network.score):
        with pytest.raises(TypeError, match=r"UnmeasuredError does not say which answers are good"):
            method(x, numbers)
    with pytest.raises(TypeError, match="UnmeasuredError does not say which answers are good"):
        network.predict_classes(x)
    with pytest.raises(
        TypeError, match=r"Trainer reports accuracies.* the loss of validation data"
    ):
        fastnn.Trainer(network, x, numbers, x, numbers, verbose=False)


def test_it_is_stopped_early_by_its_loss(
    backend: Backend, dtype: str, x: Any, numbers: Any, tmp_path: Path
) -> None:
    network, stop = network_with(AnySquaredError, dtype=dtype), EarlyStopping(patience=2)
    numbers = numbers.astype(dtype)
    log = fastnn.CSVLogger(tmp_path / "log.csv")
    history = fastnn.fit(
        network, x[:60], numbers[:60], validation=(x[60:], numbers[60:]), callbacks=[stop, log],
        optimizer=fastnn.SGD(0.5), **{**OPTIONS, "epochs": 60},
    )  # fmt: skip
    assert history.epochs < 60
    assert stop.best == min(history.validation_losses)
    assert network.loss(x[60:], numbers[60:]) == pytest.approx(stop.best, rel=1e-5)
    lines = log.path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "epoch,loss,validation_loss,seconds"
    assert len(lines) == history.epochs + 1
    with pytest.raises(ValueError, match="has only loss, validation_loss: choose another monitor"):
        fastnn.fit(network, x, numbers, validation=(x, numbers), progress=False,
                   callbacks=[EarlyStopping(monitor="validation_accuracy")])  # fmt: skip


@pytest.mark.parametrize("loss", [AnySquaredError, UnmeasuredError, OnLoss, PoissonWithLoss])
def test_on_batches_that_come_one_after_the_other(
    backend: Backend, dtype: str, loss: Any, x: Any, numbers: Any
) -> None:
    t, network, asked = np.abs(numbers).astype(dtype), network_with(loss, dtype=dtype), []

    def ask(network: Any, history: Any) -> None:
        asked.append(network.loss(x[60:], t[60:]))

    source = [(x[i : i + 20], t[i : i + 20]) for i in range(0, 60, 20)]
    history = fastnn.fit(
        network, fastnn.batches(source), epochs=3, validation=(x[60:], t[60:]), callbacks=[ask],
        progress=False,
    )  # fmt: skip
    check_losses_alone(history, asked, dtype)


@pytest.mark.parametrize("loss", [OnLoss, PoissonWithLoss])
def test_weights_are_of_the_training_alone(
    backend: Backend, dtype: str, loss: Any, x: Any, numbers: Any
) -> None:
    t, w, asked = np.abs(numbers), np.arange(90.0), []
    network, twice = network_with(loss, dtype=dtype), network_with(loss, dtype=dtype)

    def ask(network: Any, history: Any) -> None:
        asked.append(network.loss(x[60:], t[60:]))

    history = fastnn.fit(
        network, x, t, sample_weight=w, validation_split=1 / 3, callbacks=[ask], **OPTIONS
    )
    check_losses_alone(history, asked, dtype)
    other = fastnn.fit(twice, x[:60], t[:60], sample_weight=w[:60], **OPTIONS)
    assert other.losses == history.losses
    with pytest.raises(TypeError, match="AnySquaredError, a class of your own: let it weigh"):
        fastnn.fit(network_with(AnySquaredError), x, t, sample_weight=w, **OPTIONS)


def test_a_training_goes_on_from_its_checkpoint(
    backend: Backend, x: Any, numbers: Any, tmp_path: Path
) -> None:
    path, held_out = tmp_path / "training", (x[60:], numbers[60:])
    stops: list[Any] = [EarlyStopping(50), fastnn.Checkpoint(path)]
    options = {**OPTIONS, "validation": held_out, "epochs": 2}
    fastnn.fit(network_with(AnySquaredError), x, numbers, callbacks=stops, **options)
    again: list[Any] = [EarlyStopping(50), fastnn.Checkpoint(path)]
    options["epochs"] = 4
    resumed = fastnn.fit(
        network_with(AnySquaredError), x, numbers, callbacks=again, resume=path, **options
    )
    whole = fastnn.fit(network_with(AnySquaredError), x, numbers, **options)
    assert resumed.losses == whole.losses
    assert resumed.validation_losses == whole.validation_losses


def test_the_picture_shows_the_validation_loss(x: Any, numbers: Any) -> None:
    network = network_with(AnySquaredError)
    history = fastnn.fit(network, x, numbers, validation=(x, numbers), **OPTIONS)
    left, right = history.plot().axes
    (curve,) = right.lines
    np.testing.assert_array_equal(curve.get_ydata(), history.validation_losses)
    assert right.get_ylabel() == "loss"
    assert left.get_ylabel() == "loss"
