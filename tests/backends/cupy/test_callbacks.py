"""Callbacks between replays: graphs stay, and what a callback changed is in the next step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, BatchNormalization, Dropout, LeakyRelu, Relu, Sequential, fit
from fastnn.backends.cupy import graph
from tests.helpers.gpu import Problem, runner_of

pytestmark = pytest.mark.gpu


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one with each capture."""
    made: list[object] = []
    capture = graph.capture

    def counted(*arguments: Any) -> Any:
        made.append(None)
        return capture(*arguments)

    monkeypatch.setattr("fastnn.backends.cupy.runner.capture", counted)
    return made


def fused(network: Sequential) -> Sequential:
    return network


def kept_for_itself(network: Sequential) -> Sequential:
    """With layers that change in training, and one that takes part by its methods."""
    first, relu, last = network.layers.values()
    backend = network.backend
    gamma, beta = (backend.asarray(a.astype(network.dtype)) for a in (np.ones(9), np.zeros(9)))
    layers = [first, BatchNormalization(gamma, beta), relu, Dropout(0.25, seed=1), last]
    return Sequential([*layers, LeakyRelu(0.1)])


def nothing(network: Any, optimizer: Any) -> None:
    pass


def parameters(network: Any, optimizer: Any) -> None:
    """In place, and by another array."""
    first, *_, last = [layer for layer in network.layers.values() if hasattr(layer, "W")]
    first.W *= 0.5
    last.W = 2 * last.W


def settings_and_state(network: Any, optimizer: Any) -> None:
    optimizer.lr *= 0.5
    for layer in network.layers.values():
        if isinstance(layer, BatchNormalization):
            layer.running_mean = 0 * layer.running_mean + 1
        if isinstance(layer, Dropout):
            layer.draws = layer.draws + 100


def slope(network: Any, optimizer: Any) -> None:
    network.layers["LeakyRelu1"].slope = 0.5


@pytest.mark.parametrize(
    ("kind", "change", "anew"),
    [
        (fused, nothing, False), (fused, parameters, False), (fused, settings_and_state, False),
        (kept_for_itself, nothing, False), (kept_for_itself, parameters, False),
        (kept_for_itself, settings_and_state, False), (kept_for_itself, slope, True),
    ],
)  # fmt: skip
def test_graphs_stay_unless_what_they_hold_has_changed(
    cuda: Any, captures: list[object], kind: Any, change: Callable[[Any, Any], None], anew: bool
) -> None:
    problem = Problem([12, 9, 4], 40)
    trained, counts = [], []
    for backend in (cuda, fastnn.backends.selection.load_backend("numpy")):
        with fastnn.use_backend(backend):
            network, optimizer = kind(problem.network(backend, "float64")), SGD(0.2)

        def call(network: Any, history: Any, optimizer: Any = optimizer) -> None:
            counts.append(len(captures))
            if len(history.epoch_steps) == 3:
                change(network, optimizer)

        history = fit(
            network, problem.x, problem.t, epochs=6, batch_size=5, seed=1, optimizer=optimizer,
            callbacks=[call], progress=False,
        )  # fmt: skip
        arrays = [fastnn.to_numpy(array) for array in network.params.values()]
        trained.append([np.asarray(history.losses), *arrays])
    found, right = trained
    for ours, others in zip(found, right, strict=True):
        np.testing.assert_allclose(ours, others, rtol=1e-8, atol=1e-10)
    first, *_, last = counts[:6]
    assert last == first + anew * first
    assert 0 < first <= 2  # the steps of an epoch, and its last batch


def test_arrays_that_are_others_are_the_next_steps_arrays(cuda: Any) -> None:
    problem = Problem([12, 9, 4], 20)
    rows = cuda.asarray(np.concatenate([problem.rows] * 4)[:7])
    for more in ([], [Relu()]):
        runner, twin = (runner_of(cuda, problem, *more) for _ in range(2))
        for one in (runner, twin):
            one.run(rows, {"lr": 0.1})
        old = runner.plan.arrays["W1"]
        runner.plan.arrays["W1"] = old.copy()
        old.fill(np.nan)
        runner.reload()
        losses = [cuda.to_numpy(one.run(rows, {"lr": 0.1})) for one in (runner, twin)]
        np.testing.assert_array_equal(*losses)
        W = [cuda.to_numpy(one.plan.arrays["W1"]) for one in (runner, twin)]
        np.testing.assert_array_equal(*W)
        assert runner.graphs
