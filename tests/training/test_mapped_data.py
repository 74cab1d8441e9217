"""Data sets in mapped files: trained on without a copy of all of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import MultiLayerNet
from fastnn.backends import Backend, mapped
from fastnn.training.session import Session
from tests.helpers.networks import parameters
from tests.helpers.problems import Batch, relative_error

OPTIONS: dict[str, Any] = {"epochs": 2, "batch_size": 16, "seed": 0, "progress": False}


def on_disk(array: Any, path: Path) -> Any:
    np.save(path, array)
    return np.load(path, mmap_mode="r")


@pytest.fixture
def large_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every mapped file is large, and a chunk of inputs has three batches."""
    monkeypatch.setattr(mapped, "LARGE", 1)
    monkeypatch.setattr(mapped, "CHUNK_BYTES", 3 * 16 * 30 * 8)
    monkeypatch.setattr(mapped, "GATHER_BYTES", 999)


@pytest.mark.usefixtures("large_from_here")
@pytest.mark.parametrize("kind", ["float64", "float32", "uint8"])
@pytest.mark.parametrize("dense", [False, True])
def test_it_trains_as_an_array_does(
    backend: Backend, kind: str, dense: bool, tmp_path: Path
) -> None:
    """On NumPy to the bit; what Numba decides by the data it decides by some of them."""
    data = Batch(90, 30, 3)
    x = (50 * data.x + 20 * dense).astype(kind)
    options = {**OPTIONS, "scale": 1 / 70, "sample_weight": np.arange(90) % 4}
    networks = [MultiLayerNet(30, [9], 3, dtype="float64", seed=1) for _ in range(2)]
    given = [on_disk(x, tmp_path / "x.npy"), x]
    first, second = (
        fastnn.fit(network, inputs, data.t, validation=(inputs, data.t), **options)
        for network, inputs in zip(networks, given, strict=True)
    )
    bound = 1e-12 if backend.name == "numba" else 0
    np.testing.assert_allclose(first.losses, second.losses, rtol=bound)
    for name, array in parameters(networks[1]).items():
        assert relative_error(parameters(networks[0])[name], array) <= bound
    assert first.train_accuracies == second.train_accuracies
    np.testing.assert_allclose(first.validation_losses, second.validation_losses, rtol=1e-9)


@pytest.mark.usefixtures("large_from_here")
def test_it_is_not_brought_into_memory(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not backend.on_host:
        pytest.skip("it is moved to the device, where it has room")
    data, sessions = Batch(90, 30, 3), []
    made = Session.__init__

    def remember(self: Session, *arguments: Any) -> None:
        made(self, *arguments)
        sessions.append(self)

    monkeypatch.setattr(Session, "__init__", remember)
    x = on_disk(data.x.astype("float64"), tmp_path / "x.npy")
    fastnn.fit(MultiLayerNet(30, [9], 3), x, data.t, validation_split=0.2, **OPTIONS)
    (session,) = sessions
    assert np.shares_memory(session.data, x)
    assert session.feed is not None
    assert session.feed.x.shape == (72, 30)  # all of 6 batches of 16 have room, but there are 72
    assert session.feed.x.dtype == "float32"


def test_small_files_are_arrays(tmp_path: Path) -> None:
    x = on_disk(np.ones((9, 3)), tmp_path / "x.npy")
    assert not mapped.stays_in_its_file(x)
    assert not mapped.stays_in_its_file([1])


@pytest.mark.usefixtures("large_from_here")
def test_what_is_a_mapped_file(tmp_path: Path) -> None:
    x = on_disk(np.ones((9, 3)), tmp_path / "x.npy")
    assert mapped.stays_in_its_file(x)
    assert mapped.stays_in_its_file(np.asarray(x)[2:].reshape(-1)[1:])
    assert not mapped.stays_in_its_file(np.array(x))


@pytest.mark.usefixtures("large_from_here")
@pytest.mark.parametrize(("wrong", "shown"), [(np.nan, "nan"), (1e300, r"1e\+300, beyond")])
def test_wrong_numbers_are_found_in_the_file(
    backend: Backend, wrong: float, shown: str, tmp_path: Path
) -> None:
    """Also those that a network in float32 does not have."""
    data = Batch(90, 30, 3)
    x = data.x.astype("float64")
    x[77, 5] = wrong
    with pytest.raises(ValueError, match=rf"x\[77, 5\] is {shown}"):
        fastnn.fit(MultiLayerNet(30, [9], 3), on_disk(x, tmp_path / "x.npy"), data.t)


SCRIPT = """
import resource, sys
import numpy as np
import fastnn
fastnn.set_backend(sys.argv[2])
x = np.load(sys.argv[1], mmap_mode="r")
t = np.arange(len(x)) % 3
network = fastnn.MultiLayerNet(x.shape[1], [20], 3, seed=1)
options = {"batch_size": 100, "epochs": 1, "seed": 0, "progress": False}
fastnn.fit(network, x[:1000], t[:1000], **options)  # what is loaded and compiled
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1])
limit = used * 1024 + x.nbytes // 2
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print(fastnn.fit(network, x, t, validation_split=0.1, **options).epochs)
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts mapped files elsewhere")
@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_file_larger_than_the_memory_there_is(engine: str, kind: str, tmp_path: Path) -> None:
    """Of 400 MB, a fifth of it not zero, by a process that may take half of that."""
    pytest.importorskip(engine)
    rows = 100_000_000 // (200 * np.dtype(kind).itemsize)
    path = tmp_path / "x.npy"
    x = np.lib.format.open_memmap(path, "w+", kind, (4 * rows, 200))
    rng = np.random.default_rng(0)
    some = rng.random((rows, 200), "float32")
    for part in range(4):
        x[part * rows : (part + 1) * rows] = np.where(some < 0.2, some, 0)
    del x, some
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), engine], capture_output=True, text=True
    )
    assert found.stdout == "1\n", found.stderr
