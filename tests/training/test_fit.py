"""fit: the book's loop, faster; the same on every backend; whole whatever interrupts it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    SGD,
    Affine,
    History,
    MultiLayerNet,
    Optimizer,
    Relu,
    Sequential,
    TwoLayerNet,
    fit,
)
from fastnn.backends import Backend
from fastnn.checks import dtype_name
from fastnn.datasets.directory import DataSet
from fastnn.training.data import data_set
from tests.helpers.exhaustive import exhaustive_but
from tests.helpers.layers import AnyScale, AnySquaredError
from tests.helpers.networks import parameters, small
from tests.helpers.problems import Batch, affine_of, relative_error

BOUNDS = {"float32": 1e-4, "float64": 1e-9}


def books_loop(
    network: Sequential, x: Any, t: Any, *, epochs: int, batch_size: int, lr: float, seed: int
) -> list[float]:
    """What `fit` stands for: the book's loop, over the batches that `fit` documents."""
    order, losses = np.random.default_rng(seed), []
    for _ in range(epochs):
        rows = order.permutation(len(x))
        for start in range(0, len(x), batch_size):
            some = rows[start : start + batch_size]
            losses.append(network.loss(x[some], t[some]))
            gradients = network.gradient(x[some], t[some])
            for name in gradients:
                network.params[name] -= lr * gradients[name]
    return losses


@pytest.mark.parametrize("batch_size", [1, 7, 10, 52, 53])
@pytest.mark.parametrize("hidden", [[], [6], [7, 5]])
def test_fit_is_the_books_loop(
    backend: Backend, dtype: str, data: Batch, batch_size: int, hidden: list[int]
) -> None:
    epochs = 1 if batch_size == 1 else 3
    with fastnn.use_backend("numpy"):
        reference = MultiLayerNet(12, hidden, 4, dtype="float64", seed=3)
    expected = books_loop(
        reference, data.x, data.t, epochs=epochs, batch_size=batch_size, lr=0.2, seed=5
    )
    network = MultiLayerNet(12, hidden, 4, dtype=dtype, seed=3)
    history = fit(
        network, data.x, data.t, epochs=epochs, batch_size=batch_size, optimizer=SGD(0.2), seed=5,
        progress=False,
    )  # fmt: skip
    np.testing.assert_allclose(history.losses, expected, rtol=BOUNDS[dtype])
    for name, array in parameters(network).items():
        assert relative_error(array, reference.params[name]) < BOUNDS[dtype], name
    assert history.samples == epochs * 53
    assert history.epochs == len(history.epoch_seconds) == epochs
    assert history.samples_per_second == pytest.approx(history.samples / history.seconds)


@pytest.mark.parametrize("dtype", exhaustive_but(["float32"], ["float32", "float64"]))
def test_200_steps_on_mnist_are_the_same_everywhere(
    backend: Backend, dtype: str, mnist: DataSet
) -> None:
    (x, t), _ = mnist
    x, t = x[:20_000], t[:20_000]
    losses = []
    for engine in ("numpy", backend):
        with fastnn.use_backend(engine):
            network = TwoLayerNet(784, 50, 10, dtype=dtype, seed=1)
        history = fit(network, x, t, batch_size=100, optimizer=SGD(0.1), seed=2, progress=False)
        losses.append(history.losses)
    assert len(losses[0]) == 200
    assert losses[0][-1] < 0.7 * losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=BOUNDS[dtype])


def test_one_seed_gives_the_same_bits_twice(backend: Backend, data: Batch) -> None:
    runs = []
    for _ in range(2):
        network = small()
        history = fit(network, data.x, data.t, epochs=3, batch_size=10, seed=9, progress=False)
        runs.append((history.losses, parameters(network)))
    assert runs[0][0] == runs[1][0]
    for name in runs[0][1]:
        np.testing.assert_array_equal(runs[0][1][name], runs[1][1][name])
    assert fit(small(), data.x, data.t, seed=8, batch_size=10, progress=False).losses != runs[0][0]


def test_bytes_one_hot_labels_and_images_with_axes(backend: Backend, data: Batch) -> None:
    whole = np.round(data.x * 3).astype("uint8")
    options: dict[str, Any] = {"epochs": 2, "batch_size": 10, "seed": 1, "progress": False}
    expected = fit(small(), whole.astype("float32"), data.t, **options).losses
    for x, t in [
        (whole, data.t),
        (whole.astype("int8"), data.one_hot),
        (whole.astype("int64"), data.t.astype("uint8")),
        (whole.astype("float16"), data.t.astype("float32")),
        (whole.reshape(53, 3, 2, 2), data.one_hot.astype(bool)),
        (np.asfortranarray(whole), data.t),
        (whole.astype(">f4"), data.t.astype(">i4")),
        (whole.tolist(), data.t.tolist()),
        (backend.asarray(whole), backend.asarray(data.t)),
    ]:
        np.testing.assert_allclose(fit(small(), x, t, **options).losses, expected, rtol=1e-5)


def networks_of_the_users_own(backend: Backend, dtype: str) -> list[tuple[Sequential, bool]]:
    rng = np.random.default_rng(5)

    def affine(inputs: int, outputs: int) -> Affine:
        W = rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)
        return affine_of(W.astype(dtype), rng.standard_normal(outputs).astype(dtype))

    def scale(width: int) -> AnyScale:
        return AnyScale(backend.asarray(rng.standard_normal(width), dtype))

    return [
        (Sequential([affine(12, 5), scale(5), Relu(), affine(5, 4)]), False),
        (Sequential([Relu(), affine(12, 4), Relu()]), False),
        (Sequential([scale(12), affine(12, 5), Relu(), Relu(), affine(5, 4), scale(4)]), False),
        (Sequential([affine(12, 5), Relu(), affine(5, 4)], AnySquaredError()), True),
    ]


@pytest.mark.parametrize("which", range(4))
def test_any_network_trains(backend: Backend, dtype: str, data: Batch, which: int) -> None:
    network, regression = networks_of_the_users_own(backend, dtype)[which]
    t = data.one_hot.astype(dtype) if regression else data.t
    twin = network.copy()
    expected = books_loop(twin, data.x, t, epochs=2, batch_size=10, lr=0.05, seed=5)
    history = fit(
        network, data.x, t, epochs=2, batch_size=10, optimizer=SGD(0.05), seed=5, progress=False
    )
    np.testing.assert_allclose(history.losses, expected, rtol=BOUNDS[dtype])
    for name, array in parameters(network).items():
        assert relative_error(array, twin.params[name]) < BOUNDS[dtype]


def test_what_was_handed_out_keeps_its_values(backend: Backend, data: Batch) -> None:
    network = small()
    handed_out = [(network.params[n], a) for n, a in parameters(network).items()]

    def keep(network: Sequential, history: History) -> None:
        handed_out.extend((network.params[n], a) for n, a in parameters(network).items())

    fit(network, data.x, data.t, epochs=3, batch_size=10, callbacks=[keep], progress=False)
    handed_out.extend((network.params[n], a) for n, a in parameters(network).items())
    fit(network, data.x, data.t, epochs=2, batch_size=10, progress=False)
    for array, before in handed_out:
        np.testing.assert_array_equal(backend.to_numpy(array), before)
    first, last = handed_out[0][1], handed_out[-4][1]
    assert np.any(first != last)


def test_validation_is_evaluated_after_each_epoch(backend: Backend, data: Batch) -> None:
    network, other = small(), Batch(31, 12, 4, seed=1)
    seen: list[tuple[float, float]] = []

    def record(network: Sequential, history: History) -> None:
        seen.append((network.accuracy(data.x, data.t), network.accuracy(other.x, other.t)))

    history = fit(
        network, data.x, data.t, epochs=4, batch_size=10, optimizer=SGD(0.5), seed=1,
        validation=(other.x, other.one_hot), callbacks=[record], progress=False,
    )  # fmt: skip
    assert list(zip(history.train_accuracies, history.validation_accuracies, strict=True)) == seen
    assert history.train_accuracies[-1] == network.accuracy(data.x, data.t)


def test_in_another_thread(backend: Backend, data: Batch) -> None:
    network, results = small(), []

    def work() -> None:
        results.append(fit(network, data.x, data.t, batch_size=10, seed=1, progress=False).losses)

    threads = [threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    expected = fit(small(), data.x, data.t, batch_size=10, seed=1, progress=False).losses
    for thread in threads:
        thread.join()
    assert results == [expected]


@pytest.mark.filterwarnings("ignore:the training has diverged:fastnn.TrainingWarning")
def test_a_network_that_diverged_looks_diverged(backend: Backend, data: Batch) -> None:
    data.x[:, 5] = 0  # zero times NaN or infinity is NaN
    for bad in (np.nan, np.inf):
        network = small()
        network.params["W1"] = np.where(np.arange(12) == 5, bad, 0.5)[:, None] * np.ones((12, 6))
        with np.errstate(all="ignore"):
            history = fit(network, data.x, data.t, batch_size=10, progress=False)
        assert np.all(np.isnan(history.losses))
        assert all(np.all(np.isnan(array)) for array in parameters(network).values())


def test_no_epochs_and_a_rate_of_zero_change_nothing(backend: Backend, data: Batch) -> None:
    network = small()
    before = parameters(network)
    assert fit(network, data.x, data.t, epochs=0, batch_size=10, progress=False).losses == []
    fit(network, data.x, data.t, batch_size=10, optimizer=SGD(0), progress=False)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, before[name])


Refusal = tuple[Callable[[Batch], dict[str, Any]], type[Exception], str]
REFUSED: dict[str, Refusal] = {
    "no batch": (lambda d: {"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    "large batch": (lambda d: {"batch_size": 54}, ValueError, "54.*53 samples"),
    "fraction": (lambda d: {"batch_size": 1.5}, TypeError, "batch_size must be an integer"),
    "bool": (lambda d: {"batch_size": True}, TypeError, "batch_size must be an integer"),
    "epochs": (lambda d: {"epochs": -1}, ValueError, "epochs must be at least 0"),
    "optimizer": (lambda d: {"optimizer": 0.1}, TypeError, "optimizer must be"),
    "validation": (lambda d: {"validation": d.x}, TypeError, r"pair \(x, t\)"),
    "validation t": (
        lambda d: {"validation": (d.x, d.t + 4)}, ValueError, r"label validation t\[0\]",
    ),
    "validation x": (
        lambda d: {"validation": (d.x[:, 1:], d.t)}, ValueError, r"\(N, 12\)",
    ),
    "validation NaN": (
        lambda d: {"validation": (d.x * np.nan, d.t)}, ValueError, r"validation x\[0, 0\] is nan",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_fit_refuses(backend: Backend, data: Batch, name: str) -> None:
    options, error, words = REFUSED[name]
    network = small()
    before = parameters(network)
    with pytest.raises(error, match=words):
        fit(network, data.x, data.t, **{"batch_size": 10, "progress": False, **options(data)})
    for key, array in parameters(network).items():
        np.testing.assert_array_equal(array, before[key])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_input_that_is_not_finite_is_named(backend: Backend, data: Batch, bad: float) -> None:
    data.x[17, 5] = bad
    with pytest.raises(ValueError, match=rf"x\[17, 5\] is {bad}"):
        fit(small(), data.x, data.t, batch_size=10, progress=False)


class Frozen(SGD):
    """An optimizer of the user's own: biases stay as they are."""

    def update(self, params: Any, grads: Any) -> None:
        super().update({name: params[name] for name in params if name[0] != "b"}, grads)


class Momentum(Optimizer):
    """The book's, chapter 6.1.4, on arrays of any backend."""

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: Any = None

    def update(self, params: Any, grads: Any) -> None:
        if self.v is None:
            self.v = {}
            for key, val in params.items():
                self.v[key] = 0 * val
        for key in params:
            self.v[key] = self.momentum * self.v[key] - self.lr * grads[key]
            params[key] += self.v[key]


class Replacing(Momentum):
    """It puts new arrays in the place of the parameters."""

    def update(self, params: Any, grads: Any) -> None:
        for key in params:
            params[key] = params[key] - self.lr * grads[key]


class Nothing(Optimizer):
    """It says nothing of how to update."""


class Decaying(TwoLayerNet):
    """The book's weight decay, chapter 6.4.2."""

    def gradient(self, x: object, t: object) -> dict[str, Any]:
        gradients = super().gradient(x, t)
        return {name: gradients[name] + 0.1 * self.params[name] for name in gradients}


def test_an_update_of_ones_own_trains(backend: Backend, data: Batch) -> None:
    network = small()
    fit(network, data.x, data.t, batch_size=10, optimizer=Frozen(0.5), progress=False)
    assert not np.any(parameters(network)["b1"])
    assert not np.any(parameters(network)["b2"])
    assert np.any(parameters(network)["W1"] != parameters(small())["W1"])


@pytest.mark.parametrize("optimizer", [Momentum, Replacing, SGD])
def test_fit_does_what_the_books_loop_does(
    backend: Backend, data: Batch, optimizer: type[Any]
) -> None:
    """With an optimizer of any kind, whose rate a callback lowers."""
    ours, books = optimizer(0.1), optimizer(0.1)

    def lower(network: Any, history: Any) -> None:
        ours.lr *= 0.5

    network, twin = small(dtype="float64"), small(dtype="float64")
    history = fit(
        network, data.x, data.t, epochs=3, batch_size=16, optimizer=ours, seed=7,
        callbacks=[lower], progress=False,
    )  # fmt: skip
    order, losses = np.random.default_rng(7), []
    for _ in range(3):
        rows = order.permutation(len(data.x))
        for start in range(0, len(rows), 16):
            x, t = data.x[rows[start : start + 16]], data.t[rows[start : start + 16]]
            losses.append(twin.loss(x, t))
            params = dict(twin.params)
            books.update(params, twin.gradient(x, t))
            for name, array in params.items():
                twin.params[name] = array
        books.lr *= 0.5
    np.testing.assert_allclose(history.losses, losses, rtol=1e-10)
    for name, array in parameters(twin).items():
        np.testing.assert_allclose(parameters(network)[name], array, rtol=1e-9, atol=1e-12)


def test_an_error_in_an_update_of_ones_own_comes_out(backend: Backend, data: Batch) -> None:
    class Failing(Optimizer):
        def update(self, params: Any, grads: Any) -> None:
            raise ZeroDivisionError("of the user's own")

    with pytest.raises(ZeroDivisionError, match="of the user's own"):
        fit(small(), data.x, data.t, batch_size=10, optimizer=Failing(), progress=False)


def test_what_fit_would_not_call_is_refused(backend: Backend, data: Batch) -> None:
    network = Decaying(12, 6, 4, 0.5)
    before = parameters(network)
    with pytest.raises(TypeError, match="Decaying has a gradient of its own"):
        fit(network, data.x, data.t, progress=False, batch_size=10)
    with pytest.raises(TypeError, match="Nothing has no update: write one"):
        fit(small(), data.x, data.t, progress=False, batch_size=10, optimizer=Nothing())
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, before[name])


def test_tied_weights_are_refused(backend: Backend, data: Batch) -> None:
    W, b = (backend.asarray(some.astype("float32")) for some in (np.eye(12), np.zeros(12)))
    layers = [Affine(W, b), Relu(), Affine(W, backend.copy(b))]
    with pytest.raises(ValueError, match="'W1' and 'W2' are one array"):
        fit(Sequential(layers), data.x, data.t, batch_size=10, progress=False)


def test_a_method_that_was_replaced_is_called(backend: Backend, data: Batch) -> None:
    network = small()
    relu, calls = network.layers["Relu1"], []
    forward = relu.forward

    def counting(x: Any) -> Any:
        calls.append(1)
        return forward(x)

    relu.forward = counting
    history = fit(network, data.x, data.t, batch_size=10, seed=1, progress=False)
    expected = fit(small(), data.x, data.t, batch_size=10, seed=1, progress=False)
    assert len(calls) >= 6
    np.testing.assert_allclose(history.losses, expected.losses, rtol=1e-5)


def test_bits_stay_a_byte_each(backend: Backend, dtype: str) -> None:
    """Data of bool is trained from as it is: on the host by a view, on a device in a byte."""
    batch = Batch(60, 12, 4)
    bits = batch.x > 0.5
    networks = [TwoLayerNet(12, 5, 4, 0.5, dtype=dtype, seed=1) for _ in range(3)]
    for given in (bits, bits[:, ::-1][:, ::-1], backend.asarray(bits)):
        data, _ = data_set(networks[0], given, batch.t)
        assert dtype_name(data) == "uint8"
        if backend.on_host:
            assert np.shares_memory(data, given)
    kinds = bits, bits.astype("uint8"), bits.astype(dtype)
    histories = [
        fit(network, x, batch.t, batch_size=7, epochs=2, seed=0, progress=False,
            validation=(x, batch.t))
        for network, x in zip(networks, kinds, strict=True)
    ]  # fmt: skip
    for history, network in zip(histories[1:], networks[1:], strict=True):
        assert history.losses == histories[0].losses
        assert history.validation_accuracies == histories[0].validation_accuracies
        for name, array in network.params.items():
            np.testing.assert_array_equal(
                backend.to_numpy(array), backend.to_numpy(networks[0].params[name])
            )
    assert bits.dtype == bool


def test_a_parameter_that_is_a_number(backend: Backend, data: Batch) -> None:
    """With a gradient that is a number, too."""

    class Times:
        parameters = ("a",)

        def __init__(self) -> None:
            self.a: Any = 0.5

        def forward(self, x: Any) -> Any:
            self.x = x
            return x * self.a

        def backward(self, dout: Any) -> Any:
            self.da = float(backend.xp.sum(dout * self.x))
            return dout * self.a

    layers = small().layers
    network = Sequential([*layers.values(), Times()])
    fit(network, data.x, data.t, batch_size=10, optimizer=SGD(0.5), progress=False)
    assert float(network.params["a1"]) != 0.5
