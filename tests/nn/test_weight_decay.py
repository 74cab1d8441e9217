"""Weight decay, gradient clipping and learning-rate schedules as arguments of the optimizers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Adam, AdamW, History, Momentum, RMSprop, Sequential, fit
from fastnn.backends import Backend
from fastnn.nn.weight_decay import is_weight
from fastnn.wording import shown
from tests.helpers.book_optimizers import BOOK
from tests.helpers.networks import parameters, small
from tests.helpers.problems import Batch

NAMES = {
    "W1": True, "W": True, "x": True, "basis": True, "Wb": True, "weight": True, "B1": True,
    "block1": True, "1": True, "": True, "alpha": True,
    "b1": False, "b": False, "b12": False, "bias": False, "gamma1": False, "beta2": False,
    "b_out": False, "out.bias": False, "layers.0.bias": False, "hidden_b": False,
    "2.gamma": False,
}  # fmt: skip


def test_which_names_are_weights() -> None:
    assert {name: is_weight(name) for name in NAMES} == NAMES
    assert is_weight(3)
    assert is_weight(("W", 1))


def test_decay_of_a_dictionary(backend: Backend, dtype: str) -> None:
    arrays = {name: backend.asarray(np.full(3, 2.0, dtype)) for name in ("W1", "b1", "gamma2")}
    zeros = {name: backend.asarray(np.zeros(3, dtype)) for name in arrays}
    SGD(0.5, weight_decay=0.5).update(arrays, zeros)
    expected = {"W1": 1.5, "b1": 2.0, "gamma2": 2.0}
    for name, array in arrays.items():
        np.testing.assert_array_equal(backend.to_numpy(array), expected[name])
    SGD(0.5, weight_decay=0.5, decay_all=True).update(arrays, zeros)
    for name, array in arrays.items():
        np.testing.assert_array_equal(backend.to_numpy(array), 0.75 * expected[name])
        np.testing.assert_array_equal(backend.to_numpy(zeros[name]), 0)


def test_decoupled_decay_is_not_scaled_by_the_rule() -> None:
    params, gradients = {"W": 2.0, "b": 2.0}, {"W": 0.0, "b": 0.0}
    AdamW(0.5, weight_decay=0.25).update(params, gradients)
    assert params == {"W": 1.75, "b": 2.0}
    params = {"W": 2.0, "b": 2.0}
    Adam(0.5, weight_decay=0.25).update(params, gradients)
    assert params["W"] == pytest.approx(1.5, rel=1e-5)
    assert params["b"] == 2
    params = {"W": 2.0, "b": 2.0}
    AdamW(lambda step: 0.5, weight_decay=0).update(params, gradients)
    assert params == {"W": 2.0, "b": 2.0}


def test_clipping_of_a_dictionary(backend: Backend) -> None:
    array = backend.asarray(np.zeros(2))
    gradient = backend.asarray(np.array([3.0, 0.0]))
    params = {"W": array, "n": 0.0, "m": np.float32(0)}
    grads = {"W": gradient, "n": 4.0, "m": np.float32(12.0)}
    SGD(1, clip_norm=6.5).update(params, grads)
    np.testing.assert_allclose(backend.to_numpy(array), [-1.5, 0], rtol=1e-6)
    assert params["n"] == pytest.approx(-2, rel=1e-6)
    assert type(params["n"]) is float
    assert float(params["m"]) == pytest.approx(-6, rel=1e-6)
    np.testing.assert_array_equal(backend.to_numpy(gradient), [3, 0])
    assert grads["n"] == 4
    SGD(1, clip_norm=100).update(params, grads)
    np.testing.assert_allclose(backend.to_numpy(array), [-4.5, 0], rtol=1e-6)
    SGD(1, clip_norm=1).update({}, {})


def test_clipping_comes_before_decay() -> None:
    params = {"W": 2.0}
    SGD(1, clip_norm=1, weight_decay=0.25).update(params, {"W": 100.0})
    assert params["W"] == pytest.approx(2 - (1 + 0.5), rel=1e-6)


@pytest.mark.gpu
def test_gradients_of_several_backends_have_no_norm_together() -> None:
    cupy = pytest.importorskip("cupy")
    params = {"W": np.ones(2), "V": cupy.ones(2)}
    with pytest.raises(ValueError, match="several backends: cupy, n"):
        SGD(1, clip_norm=1).update(params, {"W": np.ones(2), "V": cupy.ones(2)})
    assert params["W"].tolist() == params["V"].tolist() == [1, 1]


def test_a_norm_that_is_not_reached_changes_no_bit(backend: Backend, dtype: str) -> None:
    """Nor does one that was taken back, or weight decay."""
    data, taken_back = Batch(30, 12, 4), Momentum(0.1, clip_norm=1.0, weight_decay=0.1)
    taken_back.clip_norm, taken_back.weight_decay = None, 0
    found = []
    for optimizer in (Momentum(0.1), Momentum(0.1, clip_norm=1e9), taken_back):
        network = small(dtype=dtype)
        optimizer.update(network.params, network.gradient(data.x, data.t))
        found.append(parameters(network))
    for other in found[1:]:
        for name, array in found[0].items():
            np.testing.assert_array_equal(other[name], array)


def test_a_callback_turns_them_off(backend: Backend) -> None:
    data = Batch(30, 12, 4)

    def losses(optimizer: Any, callback: Any) -> list[float]:
        how: Any = {"epochs": 3, "batch_size": 10, "seed": 1, "progress": False}
        return fit(small(), data.x, data.t, optimizer=optimizer, callbacks=[callback], **how).losses

    def off(network: Sequential, history: History) -> None:
        regularized.weight_decay, regularized.clip_norm = 0, None

    regularized = SGD(0.1, weight_decay=0.5, clip_norm=0.1)
    found = losses(regularized, off)
    network, order = small(), np.random.default_rng(1)
    for epochs, optimizer in ((1, SGD(0.1, weight_decay=0.5, clip_norm=0.1)), (2, SGD(0.1))):
        history = fit(
            network, data.x, data.t, optimizer=optimizer, epochs=epochs, batch_size=10,
            seed=order, progress=False,
        )  # fmt: skip
        np.testing.assert_allclose(history.losses, found[: 3 * epochs], rtol=1e-5)
        del found[: 3 * epochs]


@pytest.mark.parametrize(
    "change",
    [
        {"weight_decay": 0.1},
        {"clip_norm": 1.0},
        pytest.param({"weight_decay": 0.2, "decay_all": True}, marks=pytest.mark.exhaustive),
    ],
    ids=str,
)
def test_a_callback_cannot_turn_them_on(backend: Backend, change: dict[str, Any]) -> None:
    """The steps were made without: that must not pass in silence."""
    optimizer = SGD(0.1, weight_decay=0.1 if "decay_all" in change else 0)
    after: list[Any] = []

    def on(network: Sequential, history: History) -> None:
        after.append(parameters(network))
        for name, value in change.items():
            setattr(optimizer, name, value)

    network, data = small(), Batch(30, 12, 4)
    with pytest.raises(RuntimeError, match=r"changed the optimizer to SGD\(.*call fit again"):
        fit(network, data.x, data.t, optimizer=optimizer, epochs=2, callbacks=[on], progress=False)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, after[0][name])
    assert len(after) == 1
    fit(network, data.x, data.t, optimizer=optimizer, epochs=1, progress=False)


def test_a_schedule_is_asked_for_each_step_once(backend: Backend) -> None:
    asked: list[int] = []

    def schedule(step: int) -> float:
        asked.append(step)
        return 0.1

    network, data = small(), Batch(35, 12, 4)
    optimizer = Momentum(schedule)
    for _ in range(2):
        fit(network, data.x, data.t, optimizer=optimizer, epochs=2, batch_size=10, progress=False)
    assert asked == list(range(16)) == list(range(optimizer.iter))
    optimizer.update(network.params, network.gradient(data.x, data.t))
    assert asked[-1] == 16
    constant = small()
    fit(
        constant, data.x, data.t, optimizer=Momentum(0.1), epochs=1, batch_size=10, seed=1,
        progress=False,
    )  # fmt: skip
    again = small()
    fit(
        again, data.x, data.t, optimizer=Momentum(lambda step: 0.1), epochs=1, batch_size=10,
        seed=1, progress=False,
    )  # fmt: skip
    for name, array in parameters(constant).items():
        np.testing.assert_array_equal(parameters(again)[name], array)


@pytest.mark.parametrize("rate", [math.nan, -1.0, None], ids=shown)
def test_a_schedule_that_fails_in_training(backend: Backend, rate: Any) -> None:
    """What was trained before stays."""
    network, data = small(), Batch(30, 12, 4)
    before = parameters(network)
    with pytest.raises((TypeError, ValueError), match=r"lr at step 0 must be .*, got "):
        fit(network, data.x, data.t, optimizer=Adam(lambda step: rate), progress=False)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, before[name])

    def fails_later(step: int) -> Any:
        return 0.1 if step < 3 else rate

    optimizer = SGD(fails_later)
    with pytest.raises((TypeError, ValueError), match="lr at step 3 must be"):
        fit(
            network, data.x, data.t, optimizer=optimizer, epochs=2, batch_size=10, seed=1,
            progress=False,
        )  # fmt: skip
    assert optimizer.iter == 3
    expected = small()
    fit(
        expected, data.x, data.t, optimizer=SGD(0.1), epochs=1, batch_size=10, seed=1,
        progress=False,
    )  # fmt: skip
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, parameters(expected)[name])


def test_a_schedule_that_a_callback_sets(backend: Backend) -> None:
    network, data = small(), Batch(30, 12, 4)
    optimizer = SGD(0.1)

    def stand_still(network: Sequential, history: History) -> None:
        optimizer.lr = lambda step: 0.0 if step >= 3 else 1.0
        seen.append(parameters(network))

    seen: list[Any] = []
    fit(
        network, data.x, data.t, optimizer=optimizer, epochs=3, batch_size=10,
        callbacks=[stand_still], progress=False,
    )  # fmt: skip
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, seen[0][name])


FRACTIONS = {"Momentum": ["momentum"], "Nesterov": ["momentum"], "RMSprop": ["decay_rate"],
             "Adam": ["beta1", "beta2"], "AdamW": ["beta1", "beta2"]}  # fmt: skip
WRONG: dict[str, list[tuple[Any, type[Exception]]]] = {
    "lr": [(-0.1, ValueError), (math.inf, ValueError), ("0.1", TypeError), (SGD, TypeError)],
    "fraction": [(1, ValueError), (1.5, ValueError), (-0.1, ValueError), (math.nan, ValueError),
                 (None, TypeError), ("0.9", TypeError), (True, TypeError)],
    "weight_decay": [(-1e-9, ValueError), (math.nan, ValueError), (None, TypeError),
                     (True, TypeError), (lambda step: 0.1, TypeError)],
    "clip_norm": [(0, ValueError), (-1, ValueError), (math.nan, ValueError), ("1", TypeError)],
    "decay_all": [(1, TypeError), (None, TypeError), ("b", TypeError)],
}  # fmt: skip


@pytest.mark.parametrize("rule", BOOK)
def test_numbers_that_are_refused(rule: str) -> None:
    make = BOOK[rule][0]
    names = {name: name for name in ("lr", "weight_decay", "clip_norm", "decay_all")}
    names.update(dict.fromkeys(FRACTIONS.get(rule, []), "fraction"))
    optimizer = make()
    for name, kind in names.items():
        for value, error in WRONG[kind]:
            with pytest.raises(error, match=f"{name} must be"):
                make(**{name: value})
            before = getattr(optimizer, name)
            with pytest.raises(error, match=f"{name} must be"):
                setattr(optimizer, name, value)
            assert getattr(optimizer, name) == before
    with pytest.raises(TypeError):
        make(0.1, weight_decy=1)


def test_how_they_are_shown() -> None:
    assert repr(SGD(0.5)) == "SGD(lr=0.5)"
    assert repr(SGD(0.5, weight_decay=0.1)) == "SGD(lr=0.5, weight_decay=0.1)"
    assert repr(Momentum(clip_norm=2)) == "Momentum(lr=0.01, momentum=0.9, clip_norm=2.0)"
    assert repr(RMSprop(0.1, 0.5)) == "RMSprop(lr=0.1, decay_rate=0.5)"
    assert repr(AdamW(fastnn.Constant(1), decay_all=True)) == (
        "AdamW(lr=Constant(lr=1.0), beta1=0.9, beta2=0.999, decay_all=True)"
    )

    class Own(SGD):
        def __init__(self, network: Any) -> None:
            super().__init__(0.25)

    assert repr(Own(None)) == "Own()"
