"""What a network has learned as a dictionary of NumPy arrays, all of it or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, MultiLayerNet, Sequential, TwoLayerNet
from fastnn.backends import Backend
from tests.helpers.layers import Book, Scale
from tests.helpers.problems import Batch, affine_of

NAMES = {
    "W1", "b1", "gamma1", "beta1", "W2", "b2", "BatchNorm1.running_mean", "BatchNorm1.running_var",
}  # fmt: skip


def normalised(seed: int, dtype: str = "float32") -> MultiLayerNet:
    return MultiLayerNet(12, [6], 4, use_batchnorm=True, use_dropout=True, seed=seed, dtype=dtype)


def test_parameters_and_running_state_go_out_and_come_in(backend: Backend, batch: Batch) -> None:
    network, other = normalised(1), normalised(2)
    network.predict(batch.x, train_flg=True)  # moves the running averages
    state = network.state_dict()
    assert state.keys() == NAMES
    assert {type(array) for array in state.values()} == {np.ndarray}
    assert {array.dtype.name for array in state.values()} == {"float32"}
    assert other.load_state_dict(state) is other
    np.testing.assert_array_equal(
        fastnn.to_numpy(other.predict(batch.x)), fastnn.to_numpy(network.predict(batch.x))
    )
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
        assert array is not state[name]


def test_copies_are_taken_both_ways(backend: Backend) -> None:
    network = TwoLayerNet(12, 6, 4, seed=0)
    state = network.state_dict()
    before = {name: array.copy() for name, array in state.items()}
    for array in state.values():
        array += 1
    np.testing.assert_array_equal(network.state_dict()["W1"], before["W1"])
    network.load_state_dict(state)
    state["W1"] += 1
    np.testing.assert_array_equal(network.state_dict()["W1"], before["W1"] + 1)


def test_values_of_any_dtype_take_the_network_s(backend: Backend) -> None:
    network = TwoLayerNet(3, 2, 2, dtype="float64")
    state: dict[str, Any] = {**network.state_dict(), "W1": np.eye(3, 2, dtype="int8"), "b1": [1, 2]}
    network.load_state_dict(state)
    assert {array.dtype.name for array in network.state_dict().values()} == {"float64"}
    np.testing.assert_array_equal(network.state_dict()["W1"], np.eye(3, 2))
    np.testing.assert_array_equal(network.state_dict()["b1"], [1, 2])


def test_what_does_not_fit_is_named_and_nothing_is_changed(backend: Backend) -> None:
    network = normalised(1)
    before = network.state_dict()
    state = {name: array + 1 for name, array in before.items()}

    def refused(error: type[Exception], message: str, **changes: Any) -> None:
        given = {**state, **changes}
        with pytest.raises(error, match=message):
            network.load_state_dict({k: v for k, v in given.items() if v is not None})
        for name, array in network.state_dict().items():
            np.testing.assert_array_equal(array, before[name])

    refused(KeyError, r"without W1, beta1 and with unexpected W9", W1=None, beta1=None, W9=1)
    refused(KeyError, r"is without BatchNorm1.running_var: the", **{"BatchNorm1.running_var": None})
    refused(
        ValueError,
        r"W1 \(6, 12\), expected \(12, 6\); b2 \(\), expected \(4,\).*W\.T",
        W1=state["W1"].T,
        b2=1.0,
    )
    refused(TypeError, "b2", b2=["a"] * 4)
    refused(TypeError, "beta1 has dtype complex", beta1=np.zeros(6, "complex64"))
    with pytest.raises(TypeError, match=r"dictionary of arrays by name.* got a list"):
        network.load_state_dict([1])  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="with unexpected 3"):
        network.load_state_dict({**state, 3: 1})  # type: ignore[dict-item]


def test_all_or_none_where_the_memory_is_full(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TwoLayerNet(3, 2, 2, seed=0)
    before = network.state_dict()
    left, whole = iter(range(2)), type(backend).copy

    def fail(self: Backend, array: Any) -> Any:
        if next(left, None) is None:
            raise MemoryError
        return whole(self, array)

    with monkeypatch.context() as patch:
        patch.setattr(type(backend), "copy", fail)
        with pytest.raises(MemoryError):
            network.load_state_dict({name: array + 1 for name, array in before.items()})
    np.testing.assert_array_equal(network.state_dict()["W1"], before["W1"])


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("BatchNorm1.running_var", -1.0, r"running_var\[2\] is -1\.0: a variance is not negative"),
        ("W1", 1e39, r"W1\[2, 0\] is 1e\+39, beyond float32.*astype\(.float64.\)"),
        ("BatchNorm1.running_mean", -1e39, r"running_mean\[2\] is -1e\+39, beyond float32"),
    ],
)
def test_what_is_only_damage_is_refused(
    backend: Backend, name: str, wrong: float, words: str
) -> None:
    network = MultiLayerNet(12, [6], 4, use_batchnorm=True, seed=0)
    before = network.state_dict()
    state = {each: array.astype("float64") + 1 for each, array in before.items()}
    state[name][2] = wrong
    for given in (state, {each: backend.asarray(array) for each, array in state.items()}):
        with pytest.raises(ValueError, match=words):
            network.load_state_dict(given)
        for each, array in network.state_dict().items():
            np.testing.assert_array_equal(array, before[each])


def test_what_has_diverged_is_taken(backend: Backend) -> None:
    network = MultiLayerNet(12, [6], 4, use_batchnorm=True, seed=0)
    state = {name: np.full_like(array, np.nan) for name, array in network.state_dict().items()}
    state["W1"][...] = np.inf
    network.load_state_dict(state)
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_layers_of_your_own(batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        network = Sequential([affine_of(np.ones((12, 4)), np.zeros(4)), Scale(np.full(4, 2.0))])
    state = network.state_dict()
    assert state.keys() == {"W1", "b1", "gamma1"}
    network.load_state_dict({**state, "gamma1": np.arange(4)})
    np.testing.assert_array_equal(network.layers["Scale1"].gamma, np.arange(4))


def test_parameters_that_nobody_has_named_yet() -> None:
    with fastnn.use_backend("numpy"):
        network = Sequential([Book(3), Affine(np.ones((2, 2)), np.zeros(2))])
    with pytest.raises(ValueError, match=r"the state was not read.*Book"):
        network.state_dict()
    names = {"W1": np.zeros((3, 2)), "W2": np.zeros((2, 2)), "b1": np.zeros(2)}
    network.load_state_dict(names)
    np.testing.assert_array_equal(network.layers["Book1"].W, 0)
    assert network.state_dict().keys() == names.keys()


def test_a_callback_sets_all_of_it(backend: Backend, batch: Batch) -> None:
    """What the layers keep for themselves in training is set, too, and trained on from there."""
    network = MultiLayerNet(12, [6], 4, use_batchnorm=True, seed=0)
    states: list[dict[str, Any]] = []

    def go_back(network: Sequential, history: fastnn.History) -> None:
        states.append(network.state_dict())
        if history.epochs == 2:
            network.load_state_dict(states[0])

    fastnn.fit(
        network, batch.x, batch.t, epochs=2, batch_size=7, seed=0, progress=False,
        callbacks=[go_back],
    )  # fmt: skip
    assert np.any(states[1]["BatchNorm1.running_mean"] != states[0]["BatchNorm1.running_mean"])
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(array, states[0][name])
