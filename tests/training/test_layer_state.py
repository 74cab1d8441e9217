"""Layers with state of their own in `fit`: batch normalisation and dropout."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    SGD,
    Affine,
    BatchNormalization,
    Callback,
    Checkpoint,
    Dropout,
    Relu,
    Sequential,
    fit,
)
from fastnn.backends import Backend
from fastnn.training.state import Training
from tests.helpers.problems import Batch, affine_of, relative_error

Array = np.ndarray[Any, Any]
PROBLEM = Batch(60, 12, 4)
X, T = PROBLEM.x, PROBLEM.t


def network(dtype: str = "float64", *, seed: int | None = None) -> Sequential:
    """A network with each of the layers, also first and last."""
    rng = np.random.default_rng(3)

    def affine(inputs: int, outputs: int) -> Affine:
        W = rng.standard_normal((inputs, outputs)) / math.sqrt(inputs)
        return affine_of(W.astype(dtype), (0.1 * rng.standard_normal(outputs)).astype(dtype))

    def normalised(units: int) -> BatchNormalization:
        backend = fastnn.get_backend()
        gamma, beta = rng.uniform(0.5, 1.5, units), 0.1 * rng.standard_normal(units)
        return BatchNormalization(*(backend.asarray(a.astype(dtype)) for a in (gamma, beta)))

    return Sequential(
        [
            Dropout(0.1, seed=seed), affine(12, 9), normalised(9), Relu(), Dropout(0.5, seed=seed),
            affine(9, 7), Dropout(0.2, seed=seed), normalised(7), Relu(), affine(7, 4),
            normalised(4),
        ]
    )  # fmt: skip


@pytest.fixture
def engine(backend: Backend) -> Backend:
    """Each backend but the strict one, which takes seconds where there is nothing new for it."""
    if backend.name == "strict":
        pytest.skip("as it goes there is seen by test_fit_is_the_loop")
    return backend


def state(network: Sequential) -> dict[str, Array]:
    """All that a network has learned or counted, on the host."""
    found = {name: fastnn.to_numpy(array) for name, array in network.params.items()}
    for name, layer in network.layers.items():
        for attribute in getattr(type(layer), "state", ()):
            found[f"{name}.{attribute}"] = np.array(fastnn.to_numpy(getattr(layer, attribute)))
    return found


def same_bits(one: Sequential, other: Sequential) -> bool:
    left, right = state(one), state(other)
    assert left.keys() == right.keys()
    return all(left[name].tobytes() == right[name].tobytes() for name in left)


def train(network: Sequential, seed: Any = 0, **options: Any) -> list[float]:
    given: dict[str, Any] = {"epochs": 4, "batch_size": 16, "optimizer": SGD(0.1)}
    return fit(network, X, T, seed=seed, progress=False, **{**given, **options}).losses


def by_hand(trained: Sequential, seed: int, epochs: int, batch: int) -> list[float]:
    """What `fit` does, in a loop: the losses, in training mode."""
    order, losses = np.random.default_rng(seed), []
    for _ in range(epochs):
        rows = order.permutation(len(X))
        for some in np.split(rows, range(batch, len(X), batch)):
            losses.append(trained.copy().loss(X[some], T[some], train_flg=True))
            SGD(0.1).update(trained.params, trained.gradient(X[some], T[some]))
    return losses


def test_fit_is_the_loop(backend: Backend, dtype: str) -> None:
    trained = network(dtype)
    losses = train(trained)
    looped = network(dtype)
    for name, layer in looped.layers.items():
        if isinstance(layer, Dropout):
            layer.key = trained.layers[name].key
    right = by_hand(looped, 0, epochs=4, batch=16)
    bound = {"float32": 1e-4, "float64": 1e-9}[dtype]
    np.testing.assert_allclose(losses, right, rtol=bound)
    expected = state(looped)
    for name, array in state(trained).items():
        assert relative_error(array, expected[name]) <= bound, name
    assert fastnn.to_numpy(trained.layers["Dropout1"].draws) == 16


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_200_steps_are_the_same_everywhere(engine: Backend, kind: str) -> None:
    options = {"epochs": 50, "batch_size": 15}
    trained, right = network(kind), []
    losses = train(trained, **options)
    with fastnn.use_backend("numpy"):
        other = network("float64")
        right = train(other, **options)
    assert len(losses) == 200
    bound = {"float32": 1e-4, "float64": 1e-9}[kind]
    np.testing.assert_allclose(losses, right, rtol=bound, atol=bound)
    expected = state(other)
    for name, array in state(trained).items():
        if name not in ("b1", "b2", "b3"):  # in front of a normalisation: nothing but rounding
            assert relative_error(array, expected[name]) <= 10 * bound, name


def test_one_seed_gives_the_same_bits(engine: Backend) -> None:
    one, other, third = network(seed=1), network(seed=2), network()
    assert train(one) == train(other)
    assert same_bits(one, other)
    assert train(third, seed=1) != train(other, seed=1)  # which was trained before
    again = network()
    assert train(again, seed=1) == train(network(), seed=1)
    assert not same_bits(one, again)
    keys = {layer.key for layer in one.layers.values() if isinstance(layer, Dropout)}
    assert len(keys) == 3


@pytest.mark.parametrize("threads", [2, 3])
def test_for_any_number_of_threads(threads: int) -> None:
    with fastnn.use_backend("numba"):
        one, other, before = network(), network(), fastnn.get_num_threads()
        fastnn.set_num_threads(1)
        losses = train(one)
        try:
            fastnn.set_num_threads(threads)
            assert train(other) == losses
        finally:
            fastnn.set_num_threads(before)
    assert same_bits(one, other)


@pytest.mark.parametrize(
    "generator",
    [np.random.default_rng, lambda seed: np.random.Generator(np.random.MT19937(seed))],
)
def test_with_a_generator_the_masks_go_on_as_the_batches_do(
    engine: Backend, generator: Callable[[int], np.random.Generator]
) -> None:
    whole, parted = network(), network()
    losses = train(whole, seed=generator(5))
    order = generator(5)
    found = train(parted, seed=order, epochs=1)
    found += train(parted, seed=order, epochs=3)
    assert found == losses
    assert same_bits(whole, parted)


def test_a_generator_without_a_seed(engine: Backend) -> None:
    def order() -> np.random.Generator:
        return np.random.Generator(np.random.RandomState(3)._bit_generator)

    one, other = network(), network()
    assert order().bit_generator.seed_seq is None
    assert train(one, seed=order()) == train(other, seed=order())
    assert same_bits(one, other)


def test_dropout_changes_no_batch() -> None:
    """With it or without, and with a batch normalisation or none, one seed has one order."""
    seen: list[Array] = []

    class Seeing:
        parameters = ()

        def forward(self, x: Any) -> Any:
            seen.append(np.array(x))
            return x

        def backward(self, dout: Any) -> Any:
            return dout

    with fastnn.use_backend("numpy"):
        for more in ([], [Dropout(0.5)]):
            weights = affine_of(np.ones((12, 4)), np.zeros(4))
            train(Sequential([Seeing(), *more, weights]), epochs=2)
    half = len(seen) // 2
    for one, other in zip(seen[:half], seen[half:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_saved_network_goes_on_bit_for_bit(engine: Backend, tmp_path: Path) -> None:
    whole, parted = network(), network()
    train(whole, seed=np.random.default_rng(5))
    order = np.random.default_rng(5)
    train(parted, seed=order, epochs=1)
    parted.save(tmp_path / "network")
    loaded = Sequential.load(tmp_path / "network")
    train(loaded, seed=order, epochs=3)
    assert same_bits(whole, loaded)


def test_layers_before_the_first_affine_take_samples_of_any_shape(engine: Backend) -> None:
    def image(dtype: str = "float64") -> Sequential:
        rng = np.random.default_rng(1)
        backend = fastnn.get_backend()
        gamma = backend.asarray(rng.uniform(0.5, 1.5, 12).astype(dtype))
        normalised = BatchNormalization(gamma, backend.asarray(np.zeros(12, dtype)))
        weights = affine_of(rng.standard_normal((12, 4)).astype(dtype), np.zeros(4, dtype))
        return Sequential([Relu(), Dropout(0.3), normalised, weights])

    flat, deep = image(), image()
    right = train(flat)
    found = fit(
        deep, X.reshape(-1, 3, 2, 2), T, epochs=4, batch_size=16, optimizer=SGD(0.1), seed=0,
        progress=False,
    )  # fmt: skip
    assert found.losses == right
    assert same_bits(flat, deep)


class Doubling:
    """A layer of the user's own, of which nobody knows what it gives."""

    parameters = ()

    def forward(self, x: Any) -> Any:
        return x * 2

    def backward(self, dout: Any) -> Any:
        return dout * 2


@pytest.mark.parametrize("step", [2, 7])
def test_a_checkpoint_goes_on_bit_for_bit(engine: Backend, tmp_path: Path, step: int) -> None:
    """From inside an epoch: running means and draws are those after that step."""

    class Fail(Callback):
        every_steps = step + 1

        def on_step_end(self, training: Training) -> None:
            raise ZeroDivisionError

    whole, path = network(), tmp_path / "training"
    losses = train(whole)
    with pytest.raises(ZeroDivisionError):
        train(network(), callbacks=[Fail(), Checkpoint(path, steps=step)])
    resumed = network(seed=9)
    assert train(resumed, seed=9, resume=path) == losses
    assert same_bits(resumed, whole)


def test_beside_layers_of_the_users_own(engine: Backend) -> None:
    def own() -> Sequential:
        layers = list(network().layers.values())
        return Sequential(
            [layers[0], Doubling(), *layers[1:4], Doubling(), *layers[4:], Doubling()]
        )

    trained, looped = own(), own()
    losses = train(trained)
    for name, layer in looped.layers.items():
        if isinstance(layer, Dropout):
            layer.key = trained.layers[name].key
    np.testing.assert_allclose(losses, by_hand(looped, 0, epochs=4, batch=16), rtol=1e-9)


class Own(BatchNormalization):
    """Takes part by its own methods."""


def test_a_layer_that_derives_from_one(engine: Backend) -> None:
    def own() -> Sequential:
        gamma, beta = (fastnn.get_backend().asarray(a) for a in (np.ones(6), np.zeros(6)))
        first, last = affine_of(np.eye(12, 6), np.ones(6)), affine_of(np.eye(6, 4), np.zeros(4))
        return Sequential([first, Own(gamma, beta), last])

    trained, looped = own(), own()
    losses = train(trained, epochs=12)  # more steps than a graph has
    np.testing.assert_allclose(losses, by_hand(looped, 0, epochs=12, batch=16), rtol=1e-9)
    expected = state(looped)
    for name, array in state(trained).items():
        assert relative_error(array, expected[name]) < 1e-9, name


def test_callbacks_are_shown_copies_and_may_change_them(engine: Backend) -> None:
    shown: list[tuple[Any, Array]] = []

    def look(trained: Sequential, _: Any) -> None:
        layer = trained.layers["BatchNormalization1"]
        shown.append((layer.running_mean, np.array(fastnn.to_numpy(layer.running_mean))))
        trained.gradient(X, T)  # which the averages follow

    def reset(trained: Sequential, _: Any) -> None:
        layer = trained.layers["BatchNormalization1"]
        layer.running_mean, layer.running_var = np.zeros(9), np.ones(9)
        trained.layers["Dropout1"].draws = 0

    trained = network()
    train(trained, callbacks=[look])
    for array, content in shown:
        np.testing.assert_array_equal(fastnn.to_numpy(array), content)
    assert fastnn.to_numpy(trained.layers["Dropout1"].draws) == 16 + 4
    train(trained, callbacks=[reset])
    assert not np.any(fastnn.to_numpy(trained.layers["BatchNormalization1"].running_mean))
    assert fastnn.to_numpy(trained.layers["Dropout1"].draws) == 0


@pytest.mark.parametrize("wrong", [np.zeros(3), "zeros", np.zeros(9, complex), None])
def test_what_a_callback_must_not_make_of_state(engine: Backend, wrong: Any) -> None:
    def spoil(trained: Sequential, _: Any) -> None:
        trained.layers["BatchNormalization1"].running_mean = wrong

    trained, right = network(), network()
    with pytest.raises((TypeError, ValueError), match=r"BatchNormalization1\.running_mean"):
        train(trained, callbacks=[spoil])
    train(right, epochs=1)
    assert same_bits(trained, right)


def test_what_was_handed_out_stays(engine: Backend) -> None:
    trained = network()
    train(trained, epochs=1)
    before = {name: layer.running_var for name, layer in trained.layers.items() if "Batch" in name}
    contents = {name: np.array(fastnn.to_numpy(array)) for name, array in before.items()}
    train(trained)
    trained.gradient(X, T)
    for name, array in before.items():
        np.testing.assert_array_equal(fastnn.to_numpy(array), contents[name])


def test_evaluations_of_fit_are_those_of_the_network(engine: Backend) -> None:
    trained, seen = network(), []

    def look(trained: Sequential, _: Any) -> None:
        seen.append((trained.accuracy(X, T), trained.accuracy(X[:30], T[:30])))

    history = fit(
        trained, X, T, epochs=3, batch_size=16, seed=0, progress=False, callbacks=[look],
        validation=(X[:30], T[:30]),
    )  # fmt: skip
    assert history.train_accuracies == [one for one, _ in seen]
    assert history.validation_accuracies == [other for _, other in seen]


def test_another_threads_gradient_does_not_change_the_training() -> None:
    """It goes on from averages and draws that are not those of the training."""
    with fastnn.use_backend("numpy"):
        alone, disturbed = network(), network()
        losses = train(alone, epochs=30)
        done = threading.Event()

        def disturb() -> None:
            while not done.is_set():
                disturbed.gradient(X[:9], T[:9])

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            assert train(disturbed, epochs=30) == losses
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    ("batch_size", "words"),
    [
        (1, r"batch_size is 1 for 61 samples, and layer 'BatchNormalization1'"),
        (20, r"batch_size is 20 for 61 samples, which leaves a last batch of 1.*batches of 2"),
    ],
)
def test_batches_of_one_are_refused_before_the_training(
    engine: Backend, batch_size: int, words: str
) -> None:
    trained = network(seed=1)
    before = state(trained)
    x, t = np.concatenate([X, X[:1]]), np.concatenate([T, T[:1]])
    with pytest.raises(ValueError, match=words):
        fit(trained, x, t, batch_size=batch_size, seed=0, progress=False)
    for name, array in state(trained).items():
        np.testing.assert_array_equal(array, before[name])


def test_dead_units_are_counted_behind_these_layers_too() -> None:
    with fastnn.use_backend("numpy"):
        first = affine_of(np.ones((12, 5)), np.zeros(5))
        normalised = BatchNormalization(np.ones(5), np.full(5, -100.0))
        last = affine_of(np.ones((5, 4)), np.zeros(4))
        dead = Sequential([first, Dropout(0.1), normalised, Relu(), Dropout(0.5), last])
        with pytest.warns(fastnn.TrainingWarning, match="5 of the 5 units of Affine1.* are dead"):
            train(dead, epochs=4)
