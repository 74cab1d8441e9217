"""What an optimizer remembers: on disk, in pickles and copies, on another engine."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, AdaGrad, Adam, AdamW, CorruptFileError, Momentum, Nesterov, RMSprop, fit
from fastnn.backends import Backend
from tests.helpers.networks import parameters, small
from tests.helpers.problems import Batch

RULES: list[Any] = [SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam, AdamW]
DATA = Batch(35, 12, 4)


def train(network: Any, optimizer: Any, epochs: int, order: np.random.Generator) -> list[float]:
    how: Any = {"epochs": epochs, "batch_size": 10, "seed": order, "progress": False}
    return fit(network, DATA.x, DATA.t, optimizer=optimizer, **how).losses


def on_disk(optimizer: Any, path: Path) -> Any:
    optimizer.save(path)
    fresh = type(optimizer)(optimizer.lr, clip_norm=optimizer.clip_norm)
    assert fresh.load(path) is fresh
    return fresh


WAYS: dict[str, Callable[[Any, Path], Any]] = {
    "the same": lambda optimizer, path: optimizer,
    "a file": on_disk,
    "a pickle": lambda optimizer, path: pickle.loads(pickle.dumps(optimizer)),
    "a copy": lambda optimizer, path: copy.copy(optimizer),
    "a deep copy": lambda optimizer, path: copy.deepcopy(optimizer),
}


def assert_same_state(one: Any, other: Any) -> None:
    assert one.iter == other.iter
    for by_name, others in zip(one.state.values(), other.state.values(), strict=True):
        assert by_name.keys() == others.keys()
        for name, array in by_name.items():
            np.testing.assert_array_equal(
                fastnn.to_numpy(array), fastnn.to_numpy(others[name]), name
            )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("optimizer_of", [Momentum, AdamW])
@pytest.mark.parametrize("clip_norm", [None, 0.5], ids=["compiled", "in the loop"])
def test_training_goes_on_to_the_bit(
    backend: Backend, optimizer_of: Any, clip_norm: float | None, way: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if clip_norm is not None and backend.name == "numba":
        monkeypatch.setattr(type(backend), "compile", lambda self, plan: None)
    lr = fastnn.Warmup(5, then=fastnn.Cosine(0.1, steps=20))
    whole, whole_optimizer = small(), optimizer_of(lr, clip_norm=clip_norm)
    losses = train(whole, whole_optimizer, 5, np.random.default_rng(1))
    parted, order, optimizer = small(), np.random.default_rng(1), optimizer_of(
        lr, clip_norm=clip_norm
    )  # fmt: skip
    found = train(parted, optimizer, 2, order)
    parted.save(tmp_path / "network")
    network = small().load(tmp_path / "network")
    optimizer = WAYS[way](optimizer, tmp_path / "optimizer")
    found += train(network, optimizer, 3, order)
    assert found == losses
    for name, array in parameters(whole).items():
        np.testing.assert_array_equal(parameters(network)[name], array)
    assert_same_state(optimizer, whole_optimizer)


@pytest.mark.parametrize("optimizer_of", RULES)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "the same"])
def test_state_of_every_optimizer(
    backend: Backend, optimizer_of: Any, way: str, tmp_path: Path
) -> None:
    network, optimizer = small(), optimizer_of(0.1)
    for _ in range(2):
        optimizer.update(network.params, network.gradient(DATA.x, DATA.t))
    other = WAYS[way](optimizer, tmp_path / "file")
    assert_same_state(other, optimizer)
    assert repr(other) == repr(optimizer)
    before = copy.deepcopy(optimizer)
    other.update(network.params, network.gradient(DATA.x, DATA.t))
    assert_same_state(optimizer, before)
    assert other.iter == 3


@pytest.mark.parametrize("optimizer_of", [Momentum, Adam])
def test_state_follows_the_network(backend: Backend, optimizer_of: Any) -> None:
    network, optimizer = small(dtype="float32"), optimizer_of(0.1, clip_norm=1e3)
    optimizer.update(network.params, network.gradient(DATA.x, DATA.t))
    with fastnn.use_backend("numpy"):
        network.to("numpy").astype("float64")
        optimizer.update(network.params, network.gradient(DATA.x, DATA.t))
        for by_name in optimizer.state.values():
            assert all(type(array) is np.ndarray for array in by_name.values())
            assert all(array.dtype == "float64" for array in by_name.values())
        expected, twin = small(dtype="float32"), optimizer_of(0.1, clip_norm=1e3)
        twin.update(expected.params, expected.gradient(DATA.x, DATA.t))
        expected.astype("float64")
        twin.update(expected.params, expected.gradient(DATA.x, DATA.t))
    for name, array in parameters(expected).items():
        np.testing.assert_allclose(parameters(network)[name], array, rtol=1e-4, atol=1e-5)
    network.to(backend)
    fit(network, DATA.x, DATA.t, optimizer=optimizer, progress=False)
    assert all(backend.owns(array) for array in optimizer.state["v"].values())


def test_state_of_another_network_is_an_error(backend: Backend) -> None:
    other, network, optimizer = fastnn.TwoLayerNet(12, 5, 4), small(), Momentum(0.1)
    optimizer.update(other.params, other.gradient(DATA.x, DATA.t))
    before, state = parameters(network), copy.deepcopy(optimizer)
    with pytest.raises(ValueError, match=r"v\['W1'\] of shape \(12, 5\).*\(12, 6\)"):
        optimizer.update(network.params, network.gradient(DATA.x, DATA.t))
    with pytest.raises(ValueError, match=r"v\['W1'\] of shape \(12, 5\).*\(12, 6\)"):
        fit(network, DATA.x, DATA.t, optimizer=optimizer, progress=False)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, before[name])
    assert_same_state(optimizer, state)


def test_state_of_numbers(tmp_path: Path) -> None:
    optimizer, params = Adam(0.1), {"x": 1.0, "y:z": 2.0}
    optimizer.update(params, {"x": 1.0, "y:z": 3.0})
    other = Adam(0.1).load(save(optimizer, tmp_path / "file"))
    assert_same_state(other, optimizer)
    twin = dict(params)
    for each, some in ((optimizer, params), (other, twin)):
        each.update(some, {"x": 1.0, "y:z": 3.0})
    assert twin == params


def save(optimizer: Any, path: Path) -> Path:
    optimizer.save(path)
    return path


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    optimizer = Momentum(0.1)
    optimizer.update({"x": 1.0}, {"x": 1.0})
    path = save(optimizer, tmp_path / "file")
    for other in (Adam(), Nesterov(), SGD()):
        before = copy.deepcopy(other)
        with pytest.raises(
            ValueError, match=rf"of Momentum.*this optimizer is {type(other).__name__}"
        ):
            other.load(path)
        assert_same_state(other, before)
    with pytest.raises(CorruptFileError, match="the state of an optimizer, and not a network"):
        fastnn.TwoLayerNet.load(path)
    small().save(tmp_path / "network")
    with pytest.raises(CorruptFileError, match="a network, and not the state of an optimizer"):
        optimizer.load(tmp_path / "network")
    with pytest.raises(FileNotFoundError):
        optimizer.load(tmp_path / "none")


def test_damaged_files(tmp_path: Path) -> None:
    optimizer = Adam(0.1)
    optimizer.update({"x": 1.0}, {"x": 1.0})
    path = save(optimizer, tmp_path / "file")
    content, fresh = path.read_bytes(), Adam(0.1)
    for i in range(0, len(content), 3):
        changed = bytearray(content)
        changed[i] ^= 1 << (i % 8)
        path.write_bytes(changed)
        try:
            fresh.load(path)
        except CorruptFileError:
            assert fresh.iter == 0
            assert fresh.state == {"m": {}, "v": {}}
        else:
            assert_same_state(fresh, optimizer)
            fresh = Adam(0.1)
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(CorruptFileError):
            fresh.load(path)


def test_what_is_not_saved(tmp_path: Path) -> None:
    class Own(fastnn.Optimizer):
        def update(self, params: Any, grads: Any) -> None:
            """Do nothing."""

    half = Momentum()
    half.update({"x": np.ones(2, "float16")}, {"x": np.ones(2, "float16")})
    numbered = Momentum()
    numbered.update({1: 1.0}, {1: 1.0})  # type: ignore[dict-item]
    for optimizer, words in (
        (Own(), "Own has no rule"), (half, r"v\['x'\] is of float16"), (numbered, r"v\[1\]"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=words):
            optimizer.save(tmp_path / "file")
        assert not (tmp_path / "file").exists()
    with pytest.raises(TypeError, match="Own has no rule"):
        Own().load(tmp_path / "file")
    with pytest.raises(OSError, match="the optimizer was not saved"):
        Momentum().save(tmp_path / "no" / "file")
