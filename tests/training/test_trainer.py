"""The book's Trainer: its signature, its lists and what it prints, and its batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import MultiLayerNet, Trainer, TwoLayerNet, shuffle_dataset, smooth_curve
from fastnn.backends import Backend
from tests.helpers.problems import Batch

OPTIMIZERS = ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam", "AdamW"]


@pytest.fixture
def data() -> Batch:
    return Batch(50, 12, 4)


def books_lists(
    network: Any, x: Any, t: Any, optimizer: Any, epochs: int, batch: int, evaluated: int | None
) -> tuple[list[float], list[float]]:
    """The losses and accuracies of the loop that the book writes."""
    losses, accuracies = [], []
    per_epoch = max(len(x) / batch, 1)
    for i in range(int(epochs * per_epoch)):
        rows = np.random.choice(len(x), batch)  # noqa: NPY002
        optimizer.update(network.params, network.gradient(x[rows], t[rows]))
        losses.append(network.loss(x[rows], t[rows]))
        if i % per_epoch == 0:
            accuracies.append(network.accuracy(x[:evaluated], t[:evaluated]))
    return losses, accuracies


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_lists_are_those_of_the_books_loop(
    backend: Backend, data: Batch, optimizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with fastnn.use_backend("numpy"):
        reference = TwoLayerNet(12, 6, 4, 0.5, dtype="float64", seed=1)
    np.random.seed(0)  # noqa: NPY002
    rule = getattr(fastnn, optimizer)(lr=0.02)
    losses, accuracies = books_lists(reference, data.x, data.t, rule, 20, 10, None)
    network = TwoLayerNet(12, 6, 4, 0.5, dtype="float64", seed=1)
    np.random.seed(0)  # noqa: NPY002
    trainer = Trainer(network, data.x, data.t, data.x[:9], data.t[:9], mini_batch_size=10,
                      optimizer=optimizer, optimizer_param={"lr": 0.02})  # fmt: skip
    trainer.train()
    assert len(trainer.train_loss_list) == 100
    np.testing.assert_allclose(trainer.train_loss_list, losses, rtol=1e-9)
    assert trainer.train_acc_list == accuracies
    assert len(trainer.test_acc_list) == 20
    assert all(type(loss) is float for loss in trainer.train_loss_list)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"train loss:{trainer.train_loss_list[0]}"
    assert lines[1] == (
        f"=== epoch:1, train acc:{trainer.train_acc_list[0]}, "
        f"test acc:{trainer.test_acc_list[0]} ==="
    )
    assert lines[-2:] == [
        "=============== Final Test Accuracy ===============",
        f"test acc:{network.accuracy(data.x[:9], data.t[:9])}",
    ]


def test_only_the_first_samples_are_evaluated(data: Batch, capsys: Any) -> None:
    np.random.seed(0)  # noqa: NPY002
    network = TwoLayerNet(12, 6, 4, seed=1)
    trainer = Trainer(network, data.x, data.t, data.x, data.t, epochs=1, mini_batch_size=40,
                      evaluate_sample_num_per_epoch=7, verbose=False)  # fmt: skip
    trainer.train()
    assert (
        trainer.train_acc_list
        == trainer.test_acc_list
        == [network.accuracy(data.x[:7], data.t[:7])]
    )
    assert trainer.optimizer.lr == 0.01  # type: ignore[attr-defined]
    assert capsys.readouterr().out == ""


def test_one_hot_labels_images_and_bytes(backend: Backend, data: Batch) -> None:
    losses = []
    for x, t in (
        (data.x, data.t), (data.x.reshape(-1, 3, 2, 2), data.one_hot), (data.x.tolist(), data.t),
    ):  # fmt: skip
        np.random.seed(1)  # noqa: NPY002
        trainer = Trainer(TwoLayerNet(12, 6, 4, seed=1), x, t, x, t, epochs=2, verbose=False,
                          mini_batch_size=20)  # fmt: skip
        trainer.train()
        losses.append(trainer.train_loss_list)
    assert losses[0] == losses[1] == losses[2]


def test_a_network_of_ones_own(data: Batch) -> None:
    """As the book's: nothing but these four, over NumPy."""

    class Own:
        def __init__(self) -> None:
            self.net = TwoLayerNet(12, 6, 4, seed=1)
            self.params = {name: fastnn.to_numpy(a).copy() for name, a in self.net.params.items()}

        def __getattr__(self, name: str) -> Any:
            self.net.params = self.params
            return getattr(self.net, name)

    with fastnn.use_backend("numpy"):
        np.random.seed(1)  # noqa: NPY002
        trainer = Trainer(Own(), data.x, data.t, data.x, data.t, epochs=2, verbose=False)
        trainer.train()
        np.random.seed(1)  # noqa: NPY002
        other = Trainer(TwoLayerNet(12, 6, 4, seed=1), data.x, data.t, data.x, data.t, epochs=2,
                        verbose=False)  # fmt: skip
        other.train()
    assert trainer.train_loss_list == other.train_loss_list


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            {"optimizer": "adams"},
            ValueError,
            "one of SGD, .*AdamW, got 'adams'; did you mean 'adam'",
        ),
        ({"optimizer": fastnn.SGD(0.1)}, TypeError, "optimizer must be a name.*got SGD"),
        ({"optimizer_param": {"rate": 1}}, TypeError, "rate"),
        ({"optimizer_param": {"lr": -1}}, ValueError, "lr must be finite and not negative"),
        ({"mini_batch_size": 0}, ValueError, "mini_batch_size must be at least 1"),
        ({"epochs": -1}, ValueError, "epochs must be at least 0"),
        ({"evaluate_sample_num_per_epoch": 0}, ValueError, "evaluate_sample_num_per_epoch"),
    ],
)
def test_what_is_refused(
    data: Batch, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    network = TwoLayerNet(12, 6, 4)
    with pytest.raises(error, match=words):
        Trainer(network, data.x, data.t, data.x, data.t, **options)


def test_data_that_do_not_fit(backend: Backend, data: Batch) -> None:
    network = TwoLayerNet(12, 6, 4)
    before = network.params.copy()
    t = data.t.copy()
    t[3] = 9
    trainer = Trainer(network, data.x, data.t, data.x, t, verbose=False)
    with pytest.raises(ValueError, match=r"label test t\[3\] is 9"):
        trainer.train()
    for name, array in network.params.items():
        np.testing.assert_array_equal(fastnn.to_numpy(array), fastnn.to_numpy(before[name]))


def test_numbers_have_no_accuracy(data: Batch) -> None:
    network = MultiLayerNet(12, [6], 4)
    network.lastLayer = fastnn.MeanSquaredError()
    with pytest.raises(TypeError, match=r"accuracies, and MultiLayerNet\(.*has none.*R2"):
        Trainer(network, data.x, data.one_hot, data.x, data.one_hot)


# The functions beside it


def books_smooth_curve(x: Any) -> Any:
    s = np.r_[x[10:0:-1], x, x[-1:-11:-1]]
    w = np.kaiser(11, 2)
    y = np.convolve(w / w.sum(), s, mode="valid")
    return y[5 : len(y) - 5]


@pytest.mark.parametrize("length", [11, 12, 200])
def test_smooth_curve_is_the_books(length: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal(length)
    np.testing.assert_array_equal(smooth_curve(x), books_smooth_curve(x))
    np.testing.assert_array_equal(smooth_curve(x.tolist()), smooth_curve(x))


@pytest.mark.parametrize("length", [1, 2, 3, 5, 6, 10])
def test_smooth_curve_of_few_values(length: int) -> None:
    np.testing.assert_allclose(smooth_curve([3.0] * length), [3.0] * length)
    assert smooth_curve(np.arange(length)).shape == (length,)


def test_smooth_curve_of_none() -> None:
    with pytest.raises(ValueError, match=r"x has shape \(0,\): expected \(K,\)"):
        smooth_curve([])
    with pytest.raises(ValueError, match=r"x has shape \(2, 2\)"):
        smooth_curve(np.ones((2, 2)))


def test_shuffle_dataset(backend: Backend) -> None:
    x, t = np.arange(60).reshape(20, 3), np.arange(20)
    given = backend.asarray(x), backend.asarray(t)
    np.random.seed(5)  # noqa: NPY002
    shuffled_x, shuffled_t = shuffle_dataset(*given)
    np.random.seed(5)  # noqa: NPY002
    order = np.random.permutation(20)  # noqa: NPY002
    assert backend.owns(shuffled_x)
    assert backend.owns(shuffled_t)
    np.testing.assert_array_equal(fastnn.to_numpy(shuffled_x), x[order])
    np.testing.assert_array_equal(fastnn.to_numpy(shuffled_t), order)
    np.testing.assert_array_equal(fastnn.to_numpy(given[0]), x)
    images, labels = shuffle_dataset(x.reshape(20, 1, 3, 1).tolist(), t.tolist())
    assert images.shape == (20, 1, 3, 1)
    np.testing.assert_array_equal(fastnn.to_numpy(images)[:, 0, 0, 0] // 3, labels)
    with pytest.raises(ValueError, match=r"20 samples.*19"):
        shuffle_dataset(x, t[:19])
