"""A training goes on from its checkpoint to the bits of one that was not stopped."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    SGD,
    Adam,
    Affine,
    BatchNormalization,
    Callback,
    Checkpoint,
    CorruptFileError,
    Cosine,
    Dropout,
    History,
    Momentum,
    Relu,
    Sequential,
    fit,
)
from fastnn.backends import Backend
from fastnn.training.generator_state import for_json
from fastnn.training.state import Training
from tests.helpers.networks import parameters, small
from tests.helpers.problems import Batch, affine_of

SAMPLES, BATCH = 53, 10
STEPS = 6
"""Of an epoch, the last one of 3 samples."""


@pytest.fixture
def data() -> Batch:
    return Batch(SAMPLES, 12, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "training.safetensors"


def normalised() -> Sequential:
    """A network whose layers have a state: running means, and a count of draws."""
    draw = np.random.default_rng(3).standard_normal
    return Sequential(
        [
            affine_of(0.5 * draw((12, 6), "float32"), np.zeros(6, "float32")),
            BatchNormalization(np.ones(6, "float32"), np.zeros(6, "float32")),
            Relu(),
            Dropout(0.25),
            affine_of(0.5 * draw((6, 4), "float32"), np.zeros(4, "float32")),
        ]
    )


class Stop(Callback):
    """Ends a process, as far as `fit` can see, after so many steps."""

    class KilledError(Exception):
        pass

    def __init__(self, step: int) -> None:
        self.every_steps = step

    def on_step_end(self, training: Training) -> None:
        raise self.KilledError


def run(
    data: Batch, make: Callable[[], Any], optimizer: fastnn.Optimizer, **options: Any
) -> tuple[Any, History]:
    network = make()
    how: dict[str, Any] = {
        "epochs": 4, "batch_size": BATCH, "optimizer": optimizer, "seed": 5, "progress": False,
        "validation": (data.x[:20], data.t[:20]), **options,
    }  # fmt: skip
    return network, fit(network, data.x, data.t, **how)


def state(network: Sequential) -> dict[str, np.ndarray[Any, Any]]:
    """Everything that a network computes from."""
    found = parameters(network)
    for name, layer in network.layers.items():
        for attribute in getattr(type(layer), "state", ()):
            found[f"{name}.{attribute}"] = fastnn.to_numpy(getattr(layer, attribute)).copy()
    return found


def assert_same(one: tuple[Any, History], other: tuple[Any, History]) -> None:
    np.testing.assert_array_equal(one[1].losses, other[1].losses)
    assert one[1].validation_accuracies == other[1].validation_accuracies
    assert one[1].train_accuracies == other[1].train_accuracies
    assert (one[1].epochs, one[1].samples) == (other[1].epochs, other[1].samples)
    assert one[1].epoch_steps == other[1].epoch_steps
    first, second = state(one[0]), state(other[0])
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("step", [1, STEPS - 1, STEPS, STEPS + 1, 3 * STEPS - 2])
def test_the_same_bits_after_any_step(backend: Backend, data: Batch, path: Path, step: int) -> None:
    whole = run(data, small, Momentum(0.1))
    with pytest.raises(Stop.KilledError):
        run(data, small, Momentum(0.1), callbacks=[Checkpoint(path, steps=step), Stop(step + 1)])
    resumed = run(data, small, Momentum(0.1), seed=0, resume=path)
    assert_same(resumed, whole)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(0.5), lambda: Adam(), lambda: Adam(Cosine(0.01, 20), weight_decay=0.1),
        lambda: Momentum(lambda step: 0.1 / (1 + step), clip_norm=0.5),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("on_numpy")
def test_optimizers_and_schedules(data: Batch, path: Path, make: Callable[[], Any]) -> None:
    whole = run(data, small, make())
    run(data, small, make(), epochs=2, callbacks=[Checkpoint(path, every=2)])
    assert_same(run(data, small, make(), resume=path), whole)


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
@pytest.mark.usefixtures("on_numpy")
def test_generators(data: Batch, path: Path, kind: str) -> None:
    def generator(seed: int = 1) -> np.random.Generator:
        return np.random.Generator(getattr(np.random, kind)(seed))

    seed = generator()
    whole = run(data, normalised, SGD(0.5), seed=seed)
    for last in (3, 14):  # inside an epoch and at its end
        with pytest.raises(Stop.KilledError):
            run(data, normalised, SGD(0.5), seed=generator(),
                callbacks=[Checkpoint(path, steps=last), Stop(last + 2)])  # fmt: skip
        again = generator(seed=7)
        assert_same(run(data, normalised, SGD(0.5), seed=again, resume=path), whole)
        assert again.random() == copy.deepcopy(seed).random()


@pytest.mark.usefixtures("on_numpy")
def test_what_callbacks_changed_is_kept(data: Batch, path: Path) -> None:
    def run_with(optimizer: fastnn.Optimizer, epochs: int, **options: Any) -> Any:
        def slower(network: Any, history: History) -> None:
            optimizer.lr *= 0.5  # type: ignore[attr-defined]
            network.params["b2"] = 0.5 * network.params["b2"]

        return run(data, small, optimizer, epochs=epochs,
                   callbacks=[Checkpoint(path), slower], **options)  # fmt: skip

    whole = run_with(Momentum(0.1), 4)
    run_with(Momentum(0.1), 2)
    optimizer = Momentum(0.1)
    resumed = run_with(optimizer, 4, resume=path)
    assert_same(resumed, whole)
    assert optimizer.lr == 0.1 / 16


@pytest.mark.usefixtures("on_numpy")
def test_a_checkpoint_at_the_end(data: Batch, path: Path) -> None:
    """It is written after the last epoch, however many there are between two."""
    whole = run(data, small, Momentum(0.1), epochs=3, callbacks=[Checkpoint(path, every=100)])
    assert_same(run(data, small, Momentum(0.1), epochs=3, resume=path), whole)
    assert_same(
        run(data, small, Momentum(0.1), epochs=4, resume=path), run(data, small, Momentum(0.1))
    )


@pytest.mark.usefixtures("on_numpy")
def test_a_training_that_was_ended_stays_ended(data: Batch, path: Path) -> None:
    def enough(network: Any, history: History) -> bool:
        return history.epochs == 2

    whole = run(data, small, SGD(0.5), callbacks=[Checkpoint(path), enough])
    assert whole[1].epochs == 2
    assert_same(run(data, small, SGD(0.5), callbacks=[Checkpoint(path)], resume=path), whole)


@pytest.mark.usefixtures("on_numpy")
def test_callbacks_with_a_state(data: Batch, path: Path) -> None:
    class Count(Callback):
        def __init__(self) -> None:
            self.steps, self.sums = 0, np.zeros(2)

        def on_step_end(self, training: Training) -> None:
            self.steps += 1
            self.sums += training.step

        def state_dict(self) -> dict[str, Any]:
            return {"steps": self.steps, "sums": self.sums}

        def load_state_dict(self, state: Any) -> None:
            self.steps, self.sums = state["steps"], state["sums"]

    counts = [Count(), Count()]
    with pytest.raises(Stop.KilledError):
        run(data, small, SGD(0.5), callbacks=[*counts, Checkpoint(path, steps=8), Stop(9)])
    again = [Count(), Count(), Count()]
    run(data, small, SGD(0.5), callbacks=again, resume=path)
    assert [one.steps for one in again] == [24, 24, 16]
    np.testing.assert_array_equal(again[0].sums, [300, 300])


def refused(data: Batch, path: Path, **options: Any) -> str:
    """Give the message of a refusal, which has changed nothing."""
    how: dict[str, Any] = {
        "make": small, "optimizer": Momentum(0.1), "seed": np.random.default_rng(3), **options,
    }  # fmt: skip
    make, optimizer, seed = how.pop("make"), how["optimizer"], how["seed"]
    network = make()
    before, numbers = state(network), dict(vars(optimizer))
    generator = for_json(seed.bit_generator.state)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        run(data, lambda: network, resume=path, **how)
    after = state(network)
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])
    assert vars(optimizer) == {**numbers, **{name: {} for name in optimizer.state}}
    assert for_json(seed.bit_generator.state) == generator
    return str(caught.value)


@pytest.mark.usefixtures("on_numpy")
def test_other_trainings_are_refused(data: Batch, path: Path) -> None:
    run(data, small, Momentum(0.1), epochs=1, callbacks=[Checkpoint(path)])
    wider = lambda: fastnn.TwoLayerNet(12, 7, 4)  # noqa: E731
    assert "(12, 6)" in refused(data, path, make=wider)
    assert "'gamma" in refused(data, path, make=normalised)
    assert "Momentum(lr=0.1" in refused(data, path, optimizer=Momentum(0.2))
    assert "Adam" in refused(data, path, optimizer=Adam())
    assert "batch_size 10, and this one has batch_size 9" in refused(data, path, batch_size=9)
    assert "validation True" in refused(data, path, validation=None)
    assert "scale 1.0" in refused(data, path, scale=0.5)
    penalised = lambda: fastnn.MultiLayerNet(12, [6], 4, weight_decay_lambda=0.1)  # noqa: E731
    assert "weight_decay_lambda 0.1" in refused(data, path, make=penalised)
    in_bytes = Batch(53, 12, 4)
    in_bytes.x = in_bytes.x.astype("uint8")
    assert "dtype of x float32, and this one has dtype of x uint8" in refused(in_bytes, path)
    fewer = Batch(50, 12, 4)
    assert "samples 53" in refused(fewer, path)
    philox = np.random.Generator(np.random.Philox(0))
    assert "PCG64" in refused(data, path, seed=philox)
    in_float64 = lambda: small(dtype="float64")  # noqa: E731
    assert "float32" in refused(data, path, make=in_float64)


@pytest.mark.usefixtures("on_numpy")
def test_damaged_files_are_refused(data: Batch, path: Path) -> None:
    run(data, small, Momentum(0.1), epochs=1, callbacks=[Checkpoint(path)])
    content = path.read_bytes()
    places = np.linspace(0, len(content) - 1, 40).astype(int)
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CorruptFileError):
            run(data, small, Momentum(0.1), resume=path)
    for length in places:
        path.write_bytes(content[:length])
        with pytest.raises(CorruptFileError):
            run(data, small, Momentum(0.1), resume=path)
    small().save(path)
    with pytest.raises(CorruptFileError, match="holds a network, and not a checkpoint"):
        run(data, small, Momentum(0.1), resume=path)
    with pytest.raises(FileNotFoundError):
        run(data, small, Momentum(0.1), resume=path.with_name("none"))


@pytest.mark.usefixtures("on_numpy")
def test_what_cannot_be_saved_is_said_before_training(data: Batch, path: Path) -> None:
    class Own(fastnn.Optimizer):
        def update(self, params: Any, grads: Any) -> None:
            raise AssertionError("a step was taken")

    with pytest.raises(TypeError, match="Own has no rule"):
        run(data, small, Own(), callbacks=[Checkpoint(path)])

    class Derived(SGD):
        """Has a rule, which its update does not follow."""

        def update(self, params: Any, grads: Any) -> None:
            raise AssertionError("a step was taken")

    with pytest.raises(TypeError, match="Derived has no rule"):
        run(data, small, Derived(0.1), callbacks=[Checkpoint(path)])

    class Remembers(Callback):
        def __init__(self, what: Any) -> None:
            self.what = what

        def state_dict(self) -> dict[str, Any]:
            return {"it": self.what}

    for what in (np.arange(3), {1, 2}, object()):
        with pytest.raises(TypeError, match=r"Remembers\.state_dict"):
            run(data, small, SGD(0.1), callbacks=[Remembers(what), Checkpoint(path)])
    assert not path.exists()
    with pytest.raises(ValueError, match="every"):
        Checkpoint(path, every=0)
    network = small()
    with pytest.raises(OSError, match="the checkpoint was not saved"):
        run(data, lambda: network, SGD(0.5), callbacks=[Checkpoint(path.parent / "no" / "no")])
    network.gradient(data.x, data.t)


def test_a_checkpoint_moves_between_engines(backend: Backend, data: Batch, path: Path) -> None:
    """It is of no engine; on another one the bits are that one's."""
    run(data, small, Momentum(0.1), epochs=2, callbacks=[Checkpoint(path)])
    with fastnn.use_backend("numpy"):
        network, history = run(data, small, Momentum(0.1), resume=path)
    _, whole = run(data, small, Momentum(0.1))
    np.testing.assert_allclose(history.losses, whole.losses, rtol=1e-4)
    assert Affine is type(next(iter(network.layers.values())))


def test_a_directory_that_is_not_there_is_an_error_before_the_first_step(
    data: Batch, tmp_path: Path
) -> None:
    network, path = small(), tmp_path / "nowhere" / "training.safetensors"
    before = network.state_dict()
    with pytest.raises(FileNotFoundError, match=r"there is no directory .*nowhere"):
        fit(network, data.x, data.t, progress=False, callbacks=[Checkpoint(path, every=5)])
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
