"""The numerical gradient of a network: the definition, with the work of a few forward passes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, MultiLayerNet, Relu, Sequential, TwoLayerNet
from fastnn.backends import Backend
from fastnn.datasets.directory import DataSet
from fastnn.nn.network_gradient import network_numerical_gradient
from fastnn.nn.numerical_gradient import numerical_gradient
from tests.helpers.layers import Scale, Square, SquaredError, zoo
from tests.helpers.problems import Batch, relative_error


class Counter:
    """Count what goes through a backend's matrix products and losses."""

    def __init__(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        self.products = self.multiplications = self.losses = self.largest = 0
        affine, loss = backend.affine, backend.softmax_cross_entropy

        def counted_affine(x: Any, W: Any, b: Any, **options: Any) -> Any:
            self.products += 1
            self.multiplications += x.shape[0] * W.shape[0] * W.shape[1]
            self.largest = max(self.largest, x.shape[0] * max(W.shape))
            return affine(x, W, b, **options)

        def counted_loss(x: Any, t: Any, **options: Any) -> Any:
            self.losses += x.shape[0]
            return loss(x, t, **options)

        monkeypatch.setattr(backend, "affine", counted_affine)
        monkeypatch.setattr(backend, "softmax_cross_entropy", counted_loss)


def test_the_check_script_takes_few_products(
    mnist: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (x, t), _ = mnist
    with fastnn.use_backend("numpy"):
        network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10, seed=0)
    counter = Counter(network.backend, monkeypatch)
    numerical = network.numerical_gradient(x[:3], t[:3])
    # The definition evaluates the loss of 3 samples twice for each parameter, and so does this, of
    # features that are zero in every sample for one; but it takes the products of 2 * 39,760
    # forward passes, and this of four.
    hidden = network.layers["Relu1"].forward(network.layers["Affine1"].forward(x[:3]))
    inputs, units = (int((given != 0).any(axis=0).sum()) for given in (x[:3], hidden))
    evaluated = 2 * 3 * ((inputs + 2) * 50 + (units + 2) * 10)  # with the bias and one of zeros
    assert 200 < inputs < 400
    assert evaluated <= counter.losses <= evaluated + 10
    assert counter.multiplications <= 4 * 3 * (784 * 50 + 50 * 10)
    monkeypatch.undo()
    for key, gradient in network.gradient(x[:3], t[:3]).items():
        assert np.average(np.abs(gradient - numerical[key])) < 1e-8, key


def test_no_kernel_that_is_checked_has_a_part_in_it(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    with fastnn.use_backend("numba"):
        network = MultiLayerNet(12, [7, 6], 4, seed=2)
    counter = Counter(network.backend, monkeypatch)
    numerical = network.numerical_gradient(batch.x, batch.t)
    assert counter.products == counter.losses == 0
    assert network.backend.name == "numba"
    for key, gradient in network.gradient(batch.x, batch.t).items():
        np.testing.assert_allclose(gradient, numerical[key], rtol=0, atol=1e-5)


def test_pieces_bound_the_memory(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    with fastnn.use_backend("numpy"):
        network = MultiLayerNet(12, [7, 6, 5], 4, dtype="float64", seed=2)
    whole = network.numerical_gradient(batch.x, batch.t)
    counter = Counter(network.backend, monkeypatch)
    monkeypatch.setattr("fastnn.nn.network_gradient.ENTRIES", 600)
    in_chunks = network.numerical_gradient(batch.x, batch.t)
    assert counter.largest <= 600
    assert counter.products > 20
    for key, array in in_chunks.items():
        np.testing.assert_allclose(array, whole[key], rtol=0, atol=1e-11)


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_deep_networks(backend: Backend, batch: Batch, depth: int) -> None:
    found = MultiLayerNet(12, [4] * depth, 4, seed=1, dtype="float64").numerical_gradient(
        batch.x, batch.t
    )
    with fastnn.use_backend("numpy"):
        network = MultiLayerNet(12, [4] * depth, 4, seed=1, dtype="float64")
    for key, array in network.params.items():
        literal = numerical_gradient(lambda _: network.loss(batch.x, batch.t), array)
        np.testing.assert_allclose(
            backend.to_numpy(found[key]), literal, rtol=0, atol=1e-11, err_msg=key
        )


@pytest.mark.parametrize("h", [1e-2, 1e-4])
@pytest.mark.parametrize("name", list(zoo()))
def test_it_is_the_definition_for_any_step(batch: Batch, name: str, h: float) -> None:
    with fastnn.use_backend("numpy"):
        network = zoo()[name]
    quick = network_numerical_gradient(network, batch.x, batch.one_hot, h=h)
    for key, array in network.params.items():
        literal = numerical_gradient(lambda _: network.loss(batch.x, batch.t), array, h=h)
        np.testing.assert_allclose(quick[key], literal, rtol=0, atol=1e-12 / h, err_msg=key)


def test_it_is_the_definition_at_a_kink_too() -> None:
    with fastnn.use_backend("numpy"):
        network = Sequential([Affine(np.ones((1, 2)), np.zeros(2)), Relu()])
    x, t = np.array([[0.0], [1e-5], [-1e-5]]), np.array([0, 1, 0])
    quick = network.numerical_gradient(x, t)
    for key, array in network.params.items():
        literal = numerical_gradient(lambda _: network.loss(x, t), array)
        np.testing.assert_allclose(quick[key], literal, rtol=0, atol=1e-11)


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_features_that_are_zero_in_every_sample(backend: Backend, value: float) -> None:
    x, t = np.array([[0.0, 0.5, 0.0, -0.0], [0.0, 0.0, 0.0, 0.0]]), np.array([0, 2])
    network = MultiLayerNet(4, [5], 3, seed=4, dtype="float64")
    with fastnn.use_backend("numpy"):
        twin = MultiLayerNet(4, [5], 3, seed=4, dtype="float64")
    for each in (network, twin):
        each.params["b2"] = np.array([value, 0.0, 0.0])
    found = network.numerical_gradient(x, t)
    for key, array in twin.params.items():
        literal = numerical_gradient(lambda _: twin.loss(x, t), array)
        np.testing.assert_allclose(
            backend.to_numpy(found[key]), literal, rtol=0, atol=1e-11, err_msg=key
        )
        if key == "W1":
            assert np.isnan(literal).all() if value != 1 else not literal[[0, 2, 3]].any()


def test_it_is_float64_whatever_the_network_trains_in(backend: Backend, batch: Batch) -> None:
    narrow = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    wide = narrow.copy().astype("float64")
    x = batch.x.astype("float64") + 1e-9  # which float32 would lose
    for key, array in narrow.numerical_gradient(x, batch.t).items():
        assert array.dtype == backend.xp.float64
        assert tuple(array.shape) == tuple(narrow.params[key].shape)
        right = wide.numerical_gradient(x, batch.t)[key]
        np.testing.assert_array_equal(backend.to_numpy(array), backend.to_numpy(right))


def test_the_network_is_left_as_it_is(backend: Backend, batch: Batch) -> None:
    network = MultiLayerNet(12, [6, 5], 4, seed=3)
    network.gradient(batch.x, batch.t)
    held = {name: dict(vars(layer)) for name, layer in network.layers.items()}
    before = {name: backend.to_numpy(array).tobytes() for name, array in network.params.items()}
    network.numerical_gradient(2 * batch.x, batch.t)
    for name, layer in network.layers.items():
        assert all(vars(layer)[attribute] is value for attribute, value in held[name].items())
    after = {name: backend.to_numpy(array).tobytes() for name, array in network.params.items()}
    assert after == before


def loss_of(network: Sequential, x: Any, t: Any, _: Any) -> float:
    return network.loss(x, t)


def test_a_layer_of_the_users_own_stays_on_its_backend(batch: Batch) -> None:
    pytest.importorskip("numba")

    class Own(Affine):
        def forward(self, x: Any) -> Any:  # type: ignore[override]  # as users write it
            assert self.backend.name == "numba"
            return super().forward(x)

    with fastnn.use_backend("numba"):
        network = Sequential([Own(np.eye(12)[:, :4], np.zeros(4))])
    numerical = network.numerical_gradient(batch.x, batch.t)
    for key, gradient in network.gradient(batch.x, batch.t).items():
        np.testing.assert_allclose(gradient, numerical[key], rtol=0, atol=1e-5)


def test_layers_and_losses_of_the_users_own_are_evaluated_literally(batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        own = Sequential([Affine(np.eye(12)[:, :4], np.ones(4)), Scale(np.ones(4)), Square()])
        loss = Sequential([Affine(np.ones((12, 4)), np.zeros(4))], SquaredError())
    for network, t in ((own, batch.t), (loss, batch.one_hot)):
        network.astype("float64")
        found = network.numerical_gradient(batch.x, t)
        for key, array in network.params.items():
            literal = numerical_gradient(partial(loss_of, network, batch.x, t), array)
            np.testing.assert_array_equal(found[key], literal)


def test_one_sample_and_several_axes(backend: Backend, batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    right = network.numerical_gradient(batch.x[:1], batch.t[:1])
    for x, t in ((batch.x[0], batch.t[0]), (batch.x[:1].reshape(1, 3, 2, 2), batch.one_hot[:1])):
        for key, array in network.numerical_gradient(x, t).items():
            np.testing.assert_array_equal(backend.to_numpy(array), backend.to_numpy(right[key]))


class Decaying(fastnn.TwoLayerNet):
    """The book's weight decay, chapter 6.4.2: a loss and a gradient of its own."""

    def loss(self, x: object, t: object) -> float:
        squares = sum(float((fastnn.to_numpy(W) ** 2).sum()) for W in self.params.values())
        return super().loss(x, t) + 0.05 * squares

    def gradient(self, x: object, t: object) -> dict[str, Any]:
        gradients = super().gradient(x, t)
        return {name: gradients[name] + 0.1 * self.params[name] for name in gradients}


def test_a_loss_of_a_subclass_is_the_one_that_is_differentiated(batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        network = Decaying(12, 6, 4, 0.5, dtype="float64", seed=3)
        numerical = network.numerical_gradient(batch.x, batch.t)
        for name, gradient in network.gradient(batch.x, batch.t).items():
            assert relative_error(gradient, numerical[name]) < 1e-6
        report = fastnn.check_gradients(network, batch.x, batch.t, backends=["numpy"])
    assert report.passed
    assert {c.part for c in report.comparisons} >= {"network", "Affine1"}
