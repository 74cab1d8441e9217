"""Numbers of layers that callbacks change while a plan goes by what they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, BatchNormalization, Dropout, LeakyRelu, MultiLayerNet, Sequential, fit
from fastnn.backends import Backend
from tests.helpers.layers import SquaredError

X = np.random.default_rng(0).standard_normal((20, 6)).astype("float32")
T = np.arange(20) % 4


def network() -> Sequential:
    return MultiLayerNet(
        6, [5], 4, "leaky_relu", use_batchnorm=True, use_dropout=True, weight_decay_lambda=0.125,
        seed=0,
    )  # fmt: skip


def layer(kind: type) -> Callable[[Sequential], Any]:
    return lambda network: next(x for x in network.layers.values() if isinstance(x, kind))


CHANGES: tuple[tuple[Callable[[Sequential], Any], str, Any], ...] = (
    (layer(LeakyRelu), "slope", 0.5),
    (layer(Dropout), "ratio", 0.25),
    (layer(Dropout), "held", True),
    (layer(Dropout), "key", 5),
    (layer(BatchNormalization), "momentum", 0.5),
    (lambda network: network, "weight_decay_lambda", 0.5),
    (lambda network: network, "last_layer", fastnn.SigmoidWithLoss()),
    (lambda network: network, "last_layer", None),
    (layer(Dropout), "ratio", np.ones(3)),
)


def trained(callbacks: list[Any], x: Any = X, net: Sequential | None = None) -> Sequential:
    net = net or network()
    fit(
        net, x, T, epochs=2, batch_size=10, optimizer=SGD(0.1), callbacks=callbacks, seed=0,
        progress=False,
    )  # fmt: skip
    return net


def test_a_number_that_the_plan_took_over_is_refused_and_set_back(backend: Backend) -> None:
    for owner_of, name, value in CHANGES:
        net = network()
        before: list[Any] = []

        def change(
            network: Any, history: Any, owner_of: Any = owner_of, name: str = name,
            before: list[Any] = before, new: Any = value,
        ) -> None:  # fmt: skip
            before.append(getattr(owner_of(network), name))  # `fit` itself has drawn a key
            setattr(owner_of(network), name, new)

        with pytest.raises(RuntimeError, match=rf"changed .*{name} from .*so set it before"):
            trained([change], net=net)
        assert before == [getattr(owner_of(net), name)]
        trained([], net=net)  # it is whole


def test_what_stays_the_same_is_no_change() -> None:
    def set_again(network: Any, history: Any) -> None:
        for owner_of, name, _ in CHANGES:
            owner = owner_of(network)
            setattr(owner, name, getattr(owner, name))
        layer(Dropout)(network).ratio = float("0.5")
        network.last_layer = fastnn.SoftmaxWithLoss()

    with fastnn.use_backend("numpy"):
        found, right = trained([set_again]), trained([lambda network, history: None])
    for name, array in right.params.items():
        np.testing.assert_array_equal(found.params[name], array)


def test_layers_that_take_part_by_their_methods_follow_their_numbers() -> None:
    """A leaky ReLU that no Affine layer follows."""

    def change(network: Any, history: Any) -> None:
        layer(LeakyRelu)(network).slope = 0.5

    with fastnn.use_backend("numpy"):
        nets = []
        for callbacks in ([change], [lambda network, history: None]):
            net = MultiLayerNet(6, [], 4, seed=0)
            last = LeakyRelu()
            nets.append(trained(callbacks, net=Sequential([*net.layers.values(), last])))
    changed, unchanged = (net.params for net in nets)
    assert any(not np.array_equal(changed[name], unchanged[name]) for name in changed)


def test_another_loss_of_ones_own_is_refused() -> None:
    def change(network: Any, history: Any) -> None:
        network.last_layer = SquaredError()

    with fastnn.use_backend("numpy"):
        net = MultiLayerNet(6, [5], 4, seed=0)
        net.last_layer = first = SquaredError()
        t = np.eye(4, dtype="float32")[T]
        with pytest.raises(RuntimeError, match=r"network.last_layer from"):
            fit(net, X, t, epochs=2, batch_size=10, callbacks=[change], progress=False)
        assert net.last_layer is first
