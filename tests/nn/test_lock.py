"""Networks that threads share: nobody's gradient, nobody's training is disturbed."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, History, Relu, Sequential, TwoLayerNet, fit
from fastnn.backends import Backend
from tests.helpers.layers import Scale, Square
from tests.helpers.problems import Batch

# Small data that are trained on for ever: the loss stands still in the end.
pytestmark = pytest.mark.filterwarnings("ignore:the loss has not moved:fastnn.TrainingWarning")


@pytest.fixture
def hasty() -> Iterator[None]:
    """Python changes threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def two_layers() -> Sequential:
    return TwoLayerNet(12, 6, 4, 0.5, seed=3)


def own_layers() -> Sequential:
    """A network with layers of the user's own, which keep what they are given."""
    rng = np.random.default_rng(4)
    W1, W2 = rng.standard_normal((12, 6)) / 3, rng.standard_normal((6, 4))
    return Sequential(
        [
            Affine(W1, np.zeros(6)),
            Scale(np.linspace(0.5, 1.5, 6)),
            Square(),
            Affine(W2, np.zeros(4)),
        ]
    )


def in_threads(jobs: list[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(job) for job in jobs]]


def on_host(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: fastnn.to_numpy(array) for name, array in arrays.items()}


@pytest.mark.usefixtures("hasty")
def test_gradients_in_threads(backend: Backend) -> None:
    batches = [Batch(9 + i, 12, 4, seed=i) for i in range(4)]
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    check_in_threads(network, batches)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_gradients_of_own_layers_in_threads(name: str) -> None:
    with fastnn.use_backend(name):
        check_in_threads(own_layers(), [Batch(9 + i, 12, 4, seed=i) for i in range(4)])


def check_in_threads(network: Sequential, batches: list[Batch]) -> None:
    def everything(batch: Batch) -> dict[str, Any]:
        gradients = network.gradient(batch.x, batch.t)
        network.predict(batch.x)
        loss = network.loss(batch.x, batch.t)
        accuracy = network.accuracy(batch.x, batch.t)
        scores = network.predict(batch.x)
        return on_host({**gradients, "loss": loss, "accuracy": accuracy, "scores": scores})

    expected = [everything(batch) for batch in batches]

    def work(index: int) -> int:
        wrong = 0
        for i in range(60):
            place = (index + i) % len(batches)
            found = everything(batches[place])
            wrong += any(
                not np.array_equal(found[name], right) for name, right in expected[place].items()
            )
        return wrong

    assert in_threads([functools.partial(work, index) for index in range(4)]) == [0] * 4


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("make", [two_layers, own_layers])
@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_nobody_disturbs_training(name: str, make: Callable[[], Sequential]) -> None:
    batch = Batch(64, 12, 4)
    epochs = 400 if (name, make) == ("numba", two_layers) else 40
    options: dict[str, Any] = {"epochs": epochs, "batch_size": 4, "seed": 1, "progress": False}
    with fastnn.use_backend(name):
        network, twin = make(), make()
    expected = fit(twin, batch.x, batch.t, **options)
    over, ready = threading.Event(), threading.Barrier(3, timeout=60)

    def disturb() -> int:
        calls = 0
        ready.wait()
        while not over.is_set():
            network.gradient(batch.x[:5], batch.t[:5])
            network.accuracy(batch.x[:6], batch.t[:6])
            assert np.isfinite(network.predict(batch.x[:7])).all()
            assert np.isfinite(network.copy().loss(batch.x[:7], batch.t[:7]))
            calls += 1
        return calls

    def train() -> History:
        ready.wait()
        try:
            return fit(network, batch.x, batch.t, **options)
        finally:
            over.set()

    history, *calls = in_threads([train, disturb, disturb])
    assert all(calls)
    assert history.losses == expected.losses
    for key, right in twin.params.items():
        np.testing.assert_array_equal(network.params[key], right)


def start_training(
    network: Sequential, batch: Batch
) -> tuple[threading.Thread, Callable[[], None]]:
    """Train in another thread, until the second value is called."""
    started, enough = threading.Event(), threading.Event()

    def record(network: Sequential, history: History) -> bool:
        started.set()
        return enough.is_set()

    def run() -> None:
        fit(
            network,
            batch.x,
            batch.t,
            epochs=10**6,
            batch_size=7,
            callbacks=[record],
            progress=False,
        )

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(60)

    def end() -> None:
        enough.set()
        thread.join(60)
        assert not thread.is_alive()

    return thread, end


def test_what_is_refused_while_another_thread_trains(backend: Backend, batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    snapshot = network.params.copy()
    _, end = start_training(network, batch)
    try:
        with pytest.raises(RuntimeError, match=r"another fit, in a thread, .* network\.copy\(\)"):
            fit(network, batch.x, batch.t, batch_size=7, progress=False)
        with pytest.raises(RuntimeError, match="parameters cannot be changed now: fit trains"):
            network.params["b1"] = np.zeros(6)
        with pytest.raises(RuntimeError, match="parameters cannot be changed now"):
            network.params.update(snapshot)
        with pytest.raises(RuntimeError, match="parameters cannot be changed now"):
            network.params = snapshot
        with pytest.raises(RuntimeError, match="backend and dtype cannot be changed now"):
            network.astype("float64")
        with pytest.raises(RuntimeError, match="backend and dtype cannot be changed now"):
            network.to("numpy")
        fit(network.copy(), batch.x, batch.t, batch_size=7, progress=False)
    finally:
        end()
    network.params = snapshot
    fit(network, batch.x, batch.t, batch_size=7, progress=False)
    network.astype("float64")


def test_a_callback_cannot_train_what_is_trained(batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)

    def again(network: Sequential, _: History) -> None:
        fit(network, batch.x, batch.t, batch_size=7, progress=False)

    with pytest.raises(RuntimeError, match="another fit, further up, whose callback this is"):
        fit(network, batch.x, batch.t, batch_size=7, callbacks=[again], progress=False)
    fit(network, batch.x, batch.t, batch_size=7, progress=False)


@pytest.mark.parametrize("make", [two_layers, own_layers])
def test_callbacks_and_threads_that_they_wait_for(make: Any, batch: Batch) -> None:
    network = make()
    seen = []

    def record(network: Sequential, _: History) -> None:
        here = network.gradient(batch.x, batch.t)
        there = in_threads([lambda: network.gradient(batch.x, batch.t)])[0]
        assert all(np.array_equal(here[name], there[name]) for name in here)
        seen.append(in_threads([lambda: network.accuracy(batch.x, batch.t)])[0])
        network.params["W1"] *= 0.5
        network.params["b1"] = 0 * network.params["b1"]

    history = fit(
        network, batch.x, batch.t, epochs=3, batch_size=7, callbacks=[record], progress=False,
        validation=(batch.x, batch.t),
    )  # fmt: skip
    assert seen == history.train_accuracies


@pytest.mark.parametrize("make", [two_layers, own_layers])
def test_who_waits_gets_a_turn(make: Any) -> None:
    """Training in one long epoch leaves the lock to others now and then."""
    batch = Batch(100_000, 12, 4)
    with fastnn.use_backend("numpy"):
        network = make()
    inside, served = threading.Event(), threading.Event()

    class Watching(SGD):
        def hyperparameters(self) -> Any:
            inside.set()
            if served.is_set():
                raise StopIteration("that is enough")
            return super().hyperparameters()

    def train() -> None:
        with pytest.raises(StopIteration):
            fit(network, batch.x, batch.t, batch_size=1, optimizer=Watching(1e-3), progress=False)

    def ask() -> None:
        assert inside.wait(60)
        time.sleep(0.2)  # by then many steps are taken in a call
        network.gradient(batch.x[:5], batch.t[:5])
        served.set()

    in_threads([train, ask])


def holding(network: Sequential) -> tuple[Callable[[], None], threading.Thread]:
    """Hold a network's lock in another thread, until the first value is called."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with network._network_lock.alone:
            held.set()
            release.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    return release.set, thread


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))]
)
def test_copies_have_a_lock_of_their_own(duplicate: Any, batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    release, thread = holding(network)
    try:
        twin = duplicate(network)
        in_threads([lambda: twin.gradient(batch.x, batch.t)])
        network.predict(batch.x)  # waits for nobody
    finally:
        release()
        thread.join()
    with fastnn.use_backend("numpy"):
        fit(network.copy(), batch.x, batch.t, batch_size=7, progress=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_child_is_not_held_up_by_threads_it_does_not_have(batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        network, other = (TwoLayerNet(12, 6, 4, 0.5, seed=3) for _ in range(2))
    release, thread = holding(network)
    _, end = start_training(other, batch)
    try:
        with other._network_lock.alone:  # the thread that forks holds this one, in the child too
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    network.gradient(batch.x, batch.t)
                    other.gradient(batch.x, batch.t)
                    status = 0
                finally:
                    if status:
                        os._exit(status)
        if child == 0:
            try:
                fit(other, batch.x, batch.t, batch_size=7, progress=False)
            except BaseException:
                os._exit(2)
            os._exit(0)
        deadline = time.monotonic() + 30
        while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.01)
        if done == (0, 0):
            os.kill(child, 9)
            os.waitpid(child, 0)
        assert done == (child, 0)
    finally:
        release()
        thread.join()
        end()


def test_threads_share_layers_of_fastnn_without_waiting(batch: Batch) -> None:
    network = Sequential([Affine(np.ones((12, 4)), np.zeros(4)), Relu()])
    release, thread = holding(network)
    try:
        assert in_threads([lambda: network.predict(batch.x)])[0].shape == (7, 4)
        assert 0 <= in_threads([lambda: network.accuracy(batch.x, batch.t)])[0] <= 1
    finally:
        release()
        thread.join()
