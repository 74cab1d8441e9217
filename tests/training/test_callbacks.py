"""Callbacks of `fit`: what they may change, what ends training, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, History, Relu, Sequential, fit
from fastnn.backends import Backend
from tests.helpers.networks import parameters, small
from tests.helpers.problems import Batch


def test_callbacks_change_parameters_and_rate(backend: Backend, data: Batch) -> None:
    optimizer = SGD(0.5)
    after: list[dict[str, Any]] = []

    def freeze(network: Sequential, history: History) -> None:
        optimizer.lr = 0.0
        network.params["b2"] = [1, 2, 3, 4]
        network.params["W1"] *= 2
        after.append(parameters(network))

    network = small()
    fit(
        network, data.x, data.t, epochs=2, batch_size=10, optimizer=optimizer, callbacks=[freeze],
        progress=False,
    )  # fmt: skip
    np.testing.assert_array_equal(after[0]["b2"], [1, 2, 3, 4])
    np.testing.assert_array_equal(after[1]["W1"], 2 * after[0]["W1"])
    np.testing.assert_array_equal(after[1]["W2"], after[0]["W2"])
    np.testing.assert_array_equal(parameters(network)["W1"], after[1]["W1"])


def test_a_callback_ends_training(backend: Backend, data: Batch) -> None:
    history = fit(
        small(), data.x, data.t, epochs=9, batch_size=10,
        callbacks=[lambda network, history: history.epochs == 2], progress=False,
    )  # fmt: skip
    assert history.epochs == 2
    assert len(history.losses) == 12
    assert not history.interrupted


@pytest.mark.parametrize("ends", [True, False])
def test_a_callback_that_resets_the_optimizer_may_end_training(data: Batch, ends: bool) -> None:
    optimizer = fastnn.Momentum(0.1)

    def reset(network: Sequential, history: History) -> bool:
        optimizer.v["W1"] *= 0
        del optimizer.v["W2"]
        return ends

    with fastnn.use_backend("numpy"):
        fit(
            small(), data.x, data.t, epochs=1, batch_size=10, optimizer=optimizer,
            callbacks=[reset], progress=False,
        )  # fmt: skip
    assert not optimizer.v["W1"].any()
    assert not optimizer.v["W2"].any()
    assert optimizer.v["b1"].any()


def test_a_callback_that_moves_the_network_is_refused(data: Batch) -> None:
    with fastnn.use_backend("numpy"):
        network = small()
    with pytest.raises(RuntimeError, match="backend, dtype or layers"):
        fit(
            network, data.x, data.t, epochs=2, batch_size=10,
            callbacks=[lambda network, history: network.astype("float64") and None],
            progress=False,
        )  # fmt: skip
    assert network.dtype == "float64"
    network.gradient(data.x, data.t)


def test_a_failing_callback_leaves_the_network_whole(backend: Backend, data: Batch) -> None:
    seen = {}

    def fail(network: Sequential, history: History) -> None:
        seen.update(parameters(network))
        raise ZeroDivisionError

    network = small()
    with pytest.raises(ZeroDivisionError):
        fit(network, data.x, data.t, batch_size=10, callbacks=[fail], progress=False)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, seen[name])
    network.gradient(data.x, data.t)


@pytest.mark.parametrize(
    "make",
    [lambda xp: True, lambda xp: np.True_, lambda xp: 1, lambda xp: xp.asarray(True),
     lambda xp: np.array([True]), lambda xp: "enough"],
)  # fmt: skip
def test_what_is_true_ends_training(
    backend: Backend, data: Batch, make: Callable[[Any], Any]
) -> None:
    history = fit(
        small(), data.x, data.t, epochs=9, batch_size=10, progress=False,
        callbacks=[lambda network, history: make(backend.xp) if history.epochs == 2 else None],
    )  # fmt: skip
    assert history.epochs == 2


@pytest.mark.parametrize("value", [False, None, 0, np.False_, np.array(False), "", ()])
def test_what_is_not_true_does_not(data: Batch, value: Any) -> None:
    history = fit(small(), data.x, data.t, epochs=3, batch_size=10, progress=False,
                  callbacks=[lambda network, history: value])  # fmt: skip
    assert history.epochs == 3


def test_an_array_is_neither(data: Batch) -> None:
    def compare(network: Sequential, history: History) -> Any:
        return np.array([True, False])

    network = small()
    with pytest.raises(TypeError, match="callback compare returned a ndarray that is neither"):
        fit(network, data.x, data.t, epochs=3, batch_size=10, progress=False, callbacks=[compare])
    network.gradient(data.x, data.t)


def set_W1(make: Callable[[Any, Backend], Any]) -> Callable[[Sequential, Backend], None]:
    def set_it(network: Sequential, backend: Backend) -> None:
        network.layers["Affine1"].W = make(network.layers["Affine1"].W, backend)

    return set_it


def read_only(network: Sequential, backend: Backend) -> None:
    if not backend.on_host:
        pytest.skip("arrays of a device are never read-only")
    network.params["W1"].setflags(write=False)


def share(network: Sequential, backend: Backend) -> None:
    if backend.name == "strict":
        pytest.skip("this backend does not tell what is a view")
    network.layers["Affine2"].b = network.layers["Affine1"].b[:4]


SPOILT: dict[str, tuple[Callable[[Sequential, Backend], None], type[Exception], str]] = {
    "another shape": (set_W1(lambda W, b: W[:5, :]), ValueError, r"\(5, 6\), not \(12, 6\)"),
    "an axis more": (set_W1(lambda W, b: W[None, ...]), ValueError, r"\(1, 12, 6\), not"),
    "complex": (
        set_W1(lambda W, b: b.asarray(np.ones((12, 6), "complex64"))), TypeError, "complex64",
    ),
    "a list": (set_W1(lambda W, b: [[1.0] * 6] * 12), TypeError, "a builtins.list, no array"),
    "None": (set_W1(lambda W, b: None), TypeError, "a builtins.NoneType, no array"),
    "masked": (set_W1(lambda W, b: np.ma.ones((12, 6))), TypeError, "no array of the"),
    "read-only": (read_only, ValueError, "'W1' an array that is read-only"),
    "shared": (share, ValueError, "parameter 'b2' share memory with 'b1'"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
@pytest.mark.parametrize("raises", [False, True])
def test_what_cannot_be_trained_is_undone(
    backend: Backend, data: Batch, case: str, raises: bool
) -> None:
    spoil, error, words = SPOILT[case]
    before: dict[str, Any] = {}

    def callback(network: Sequential, history: History) -> None:
        if history.epochs == 2:
            before.update(parameters(network))
            spoil(network, backend)
            if raises:
                raise ZeroDivisionError

    network = small()
    with pytest.raises(ZeroDivisionError if raises else error, match=None if raises else words):
        fit(network, data.x, data.t, epochs=4, batch_size=10, progress=False, callbacks=[callback])
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, before[name])
    assert all(backend.owns(array) for array in network.params.values())
    network.gradient(data.x, data.t)


def test_views_of_one_array_are_refused_from_the_start(backend: Backend, data: Batch) -> None:
    if backend.name == "strict":
        pytest.skip("this backend does not tell what is a view")
    W = backend.asarray(np.eye(12, dtype="float32"))
    zeros = [backend.asarray(np.zeros(12, "float32")) for _ in range(2)]
    network = Sequential([Affine(W, zeros[0]), Relu(), Affine(W + 0, zeros[1])])
    network.layers["Affine2"].W = W.T
    with pytest.raises(ValueError, match="'W1' and 'W2' are one array, or share memory"):
        fit(network, data.x, data.t, batch_size=10, progress=False)


def test_arrays_beside_each_other_share_nothing(backend: Backend, data: Batch) -> None:
    both = backend.asarray(np.random.default_rng(0).standard_normal((12, 8)), "float32")
    b = [backend.asarray(np.zeros(4, "float32")) for _ in range(2)]
    network = Sequential([Affine(both[:, :4], b[0]), Relu(), Affine(both[:4, 4:], b[1])])
    assert len(fit(network, data.x, data.t, batch_size=10, progress=False).losses) == 6


def test_parameters_of_another_dtype_are_cast(backend: Backend, data: Batch) -> None:
    def double(network: Sequential, history: History) -> None:
        network.layers["Affine1"].W = backend.asarray(np.ones((12, 6)), "float64")
        network.layers["Affine1"].b = backend.asarray(np.ones(6), "int64")

    network = small()
    fit(network, data.x, data.t, epochs=2, batch_size=10, progress=False, callbacks=[double],
        optimizer=SGD(0))  # fmt: skip
    history = fit(network, data.x, data.t, batch_size=10, progress=False)
    assert np.isfinite(history.losses).all()
    assert fastnn.to_numpy(network.params["W1"]).shape == (12, 6)


def reshape(W: Any) -> None:
    W.shape = (6, 12)


def resize(W: Any) -> None:
    W.resize((3, 24), refcheck=False)


def retype(W: Any) -> None:
    W.dtype = "i4"


@pytest.mark.parametrize("change", [reshape, resize, retype])
@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of NumPy 2.5, for setting them
def test_arrays_that_are_made_others_in_place_are_undone(
    data: Batch, engine: str, change: Callable[[Any], None]
) -> None:
    if engine == "numba":
        pytest.importorskip("numba")
    with fastnn.use_backend(engine):
        network = small()
    seen: dict[str, Any] = {}

    def callback(network: Sequential, history: History) -> None:
        seen.update(parameters(network))
        change(network.params["W1"])

    with pytest.raises(ValueError, match="a callback made parameter 'W1' an array of"):
        fit(network, data.x, data.t, batch_size=10, callbacks=[callback], progress=False)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, seen[name])
    network.gradient(data.x, data.t)
