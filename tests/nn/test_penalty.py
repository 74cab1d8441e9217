"""Weight decay as the book has it: a penalty in the loss, in the gradient and in `fit`."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import MultiLayerNet, Sequential, TwoLayerNet
from fastnn.backends import Backend
from fastnn.training.planner import make_plan
from tests.helpers.layers import AnySquaredError, Scale
from tests.helpers.problems import Batch, affine_of, relative_error

DECAY = 0.05


def network_of(dtype: str = "float64", decay: float = DECAY) -> MultiLayerNet:
    network = MultiLayerNet(12, [6, 5], 4, weight_decay_lambda=decay, dtype=dtype, seed=1)
    network.params["b1"] = np.linspace(-1, 1, 6)
    return network


def weights(network: Sequential) -> list[Any]:
    return [
        fastnn.to_numpy(array).astype("float64")
        for name, array in network.params.items()
        if name[0] == "W"
    ]


def test_the_loss_has_the_penalty(backend: Backend, dtype: str, batch: Batch) -> None:
    network, plain = network_of(dtype), network_of(dtype, 0)
    penalty = 0.5 * DECAY * sum((W**2).sum() for W in weights(network))
    for train_flg in (False, True):
        loss = network.loss(batch.x, batch.t, train_flg)
        assert type(loss) is float
        assert loss == pytest.approx(plain.loss(batch.x, batch.t, train_flg) + penalty, rel=1e-12)
    assert network.accuracy(batch.x, batch.t) == plain.accuracy(batch.x, batch.t)


def test_the_gradient_has_that_of_the_penalty(backend: Backend, dtype: str, batch: Batch) -> None:
    network, plain = network_of(dtype), network_of(dtype, 0)
    found, without = network.gradient(batch.x, batch.t), plain.gradient(batch.x, batch.t)
    for name, gradient in found.items():
        assert backend.owns(gradient)
        assert gradient.dtype == network.params[name].dtype
        expected = fastnn.to_numpy(without[name]).astype("float64")
        if name[0] == "W":
            expected += DECAY * fastnn.to_numpy(network.params[name]).astype("float64")
        assert relative_error(gradient, expected) <= (1e-12 if dtype == "float64" else 2e-6)


def test_it_is_the_numerical_gradient(backend: Backend, batch: Batch) -> None:
    network = network_of()
    right = network.numerical_gradient(batch.x, batch.t)
    for name, gradient in network.gradient(batch.x, batch.t).items():
        found = fastnn.to_numpy(gradient)
        np.testing.assert_allclose(found, fastnn.to_numpy(right[name]), atol=1e-7, err_msg=name)
    by_definition = fastnn.numerical_gradient(
        lambda _: network.loss(batch.x, batch.t), network.params["W2"]
    )
    np.testing.assert_allclose(
        fastnn.to_numpy(by_definition), fastnn.to_numpy(right["W2"]), atol=1e-9
    )


@pytest.mark.exhaustive  # the test before says it of one network by itself
def test_check_gradients(backend: Backend) -> None:
    batch = Batch(3, 12, 4, seed=3)
    report = fastnn.check_gradients(network_of(), batch.x, batch.t, backends=[backend.name])
    assert report.passed, str(report)


@pytest.mark.parametrize("optimizer", [fastnn.SGD(0.1), "of ones own"])
def test_fit_trains_by_it_and_reports_it(
    backend: Backend, dtype: str, optimizer: Any, rng: np.random.Generator
) -> None:
    class Own(fastnn.Optimizer):
        def update(self, params: Any, grads: Any) -> None:
            for name in params:
                params[name] -= 0.1 * grads[name]

    if optimizer == "of ones own":
        optimizer = Own()
    x, t = rng.standard_normal((60, 12)).astype("float32"), rng.integers(0, 4, 60)
    network = network_of(dtype)
    reference = network_of().to("numpy")
    history = fastnn.fit(network, x, t, epochs=17, batch_size=10, optimizer=optimizer, seed=3,
                         progress=False)  # fmt: skip
    order, expected = np.random.default_rng(3), []
    for _ in range(17):
        for rows in order.permutation(60).reshape(-1, 10):
            expected.append(reference.loss(x[rows], t[rows], train_flg=True))
            for name, gradient in reference.gradient(x[rows], t[rows]).items():
                reference.params[name] -= 0.1 * gradient
    rel = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(history.losses, expected, rtol=rel)
    for name, array in network.params.items():
        found = fastnn.to_numpy(array)
        np.testing.assert_allclose(found, reference.params[name], rtol=rel, atol=rel)
    if dtype == "float64":
        plain = network_of(dtype, 0)
        fastnn.fit(plain, x, t, epochs=17, batch_size=10, seed=3, progress=False)
        assert weights(network)[0].std() < weights(plain)[0].std()


def test_with_layers_and_a_loss_of_ones_own(backend: Backend, rng: np.random.Generator) -> None:
    """The penalty is of the weights of Affine layers, whatever else there is."""
    if backend.name == "strict":
        pytest.skip("these layers call methods of NumPy's arrays")
    x, t = rng.standard_normal((6, 12)), rng.standard_normal((6, 4))
    affine, scale = affine_of(np.ones((12, 4)), np.ones(4)), Scale(backend.asarray(np.ones(4)))
    network = Sequential([affine, scale], AnySquaredError())
    plain = network.copy()
    network.weight_decay_lambda = 0.5
    assert network.loss(x, t) == pytest.approx(plain.loss(x, t) + 0.25 * 48)
    assert set(network.decayed()) == {"W1"}
    options: dict[str, Any] = {"optimizer": fastnn.SGD(0.1), "progress": False}
    expected = network.loss(x, t, train_flg=True)
    before, gradients = network.params.copy(), network.gradient(x, t)
    assert fastnn.fit(network, x, t, **options).losses == pytest.approx([expected])
    for name, array in network.params.items():
        assert relative_error(array, before[name] - 0.1 * gradients[name]) <= 1e-12


def test_copies_have_it_and_without_it_nothing_is_added(backend: Backend, batch: Batch) -> None:
    network = network_of()
    for other in (network.copy(), copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert other.weight_decay_lambda == DECAY
        assert other.loss(batch.x, batch.t) == network.loss(batch.x, batch.t)
    plain = network_of(decay=0)
    assert TwoLayerNet(3, 2, 2).weight_decay_lambda == plain.weight_decay_lambda == 0
    x, t = backend.asarray(batch.x), backend.asarray(batch.t)
    assert make_plan(plain, x, t, fastnn.SGD(0.1), 5).chain.penalty is None
    plan = make_plan(network, x, t, fastnn.SGD(0.1), 5)
    steps = [(step.primitive, step.reads, step.writes) for step in plan.steps]
    assert ("penalised", ("mean", "W1", "W2", "W3"), ("loss",)) in steps
    assert ("decayed_gradient", ("dW2", "W2"), ("penalised:W2",)) in steps
    assert ("sgd_update", ("W2", "penalised:W2"), ("W2",)) in steps
    assert ("sgd_update", ("b2", "db2"), ("b2",)) in steps


@pytest.mark.parametrize("decay", [-0.1, np.nan, np.inf])
def test_a_decay_that_is_none(decay: float) -> None:
    with pytest.raises(ValueError, match="weight_decay_lambda must be finite and not negative"):
        MultiLayerNet(4, [3], 2, weight_decay_lambda=decay)
    with pytest.raises(TypeError, match="weight_decay_lambda must be a real number"):
        MultiLayerNet(4, [3], 2, weight_decay_lambda="much")  # type: ignore[arg-type]
