"""Networks on disk: round trips, damaged files, and writing that never leaves half a file."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import Affine, CorruptFileError, MultiLayerNet, Relu, Sequential, TwoLayerNet
from fastnn.backends import Backend
from fastnn.datasets import read_idx
from fastnn.nn.storage import FORMAT
from fastnn.system import atomic_file
from tests.helpers.layers import Scale
from tests.helpers.problems import Batch, affine_of
from tests.helpers.saved_files import (
    KINDS,
    NETWORK,
    assert_same,
    crafted,
    killed_while_saving,
    load_crafted,
    load_damaged,
    names,
    parameters,
)

WINDOWS = sys.platform == "win32"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "network.safetensors"


# Round trips


def test_a_class_loads_what_a_network_saved(
    backend: Backend, dtype: str, batch: Batch, path: Path
) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, dtype=dtype, seed=1)
    network.params["b1"] = np.array([0.1, -0.0, 1e-30, np.inf, -np.inf, np.nan])
    network.save(path)
    loaded = TwoLayerNet.load(path)
    assert type(loaded) is TwoLayerNet
    assert loaded.backend is backend
    assert loaded.dtype == dtype
    assert list(loaded.layers) == ["Affine1", "Relu1", "Affine2"]
    assert_same(loaded, network)
    np.testing.assert_array_equal(
        backend.to_numpy(loaded.predict(batch.x)), backend.to_numpy(network.predict(batch.x))
    )
    loaded.params["W1"] -= 1  # and trains on
    assert np.any(parameters(loaded)["W1"] != parameters(network)["W1"])


def test_a_file_goes_from_any_backend_to_any(backend: Backend, batch: Batch, path: Path) -> None:
    network = MultiLayerNet(12, [6, 5], 4, seed=1)
    network.save(path)
    with fastnn.use_backend("numpy"):
        at_home = MultiLayerNet.load(path)
    assert at_home.backend.name == "numpy"
    assert_same(at_home, network)
    at_home.save(path)
    assert_same(Sequential.load(path), network)


def test_a_network_loads_into_itself(backend: Backend, path: Path) -> None:
    saved = TwoLayerNet(12, 6, 4, seed=1)
    saved.save(path)
    network = TwoLayerNet(12, 6, 4, seed=2)
    layer, handed_out = network.layers["Affine1"], network.params["W1"]
    before = backend.to_numpy(handed_out).copy()
    assert network.load(path) is network
    assert network.layers["Affine1"] is layer
    assert_same(network, saved)
    np.testing.assert_array_equal(backend.to_numpy(handed_out), before)
    wide = TwoLayerNet(12, 6, 4, seed=3, dtype="float64").load(path)
    assert wide.dtype == "float64"
    for name, array in parameters(wide).items():
        np.testing.assert_array_equal(array, parameters(saved)[name])


@pytest.mark.parametrize("cls", [Sequential, MultiLayerNet, TwoLayerNet])
def test_two_layers_load_as_any_kind_of_network(cls: Any, path: Path) -> None:
    rng = np.random.default_rng(0)
    layers = [Affine(rng.random((3, 2)), [1, 2]), Relu(), Affine(rng.random((2, 5)), range(5))]
    network = Sequential(layers)
    for saved in (network, TwoLayerNet(3, 2, 5)):
        saved.save(path)
        loaded = cls.load(path)
        assert type(loaded) is cls
        assert_same(loaded, saved)


def affine(inputs: int, outputs: int) -> Affine:
    return Affine(np.ones((inputs, outputs)), np.ones(outputs))


@pytest.mark.parametrize(
    ("layers", "refused"),
    [
        ([affine(3, 2), Relu(), affine(2, 4), Relu(), affine(4, 5)], [TwoLayerNet]),
        ([affine(3, 5)], [TwoLayerNet]),
        ([affine(3, 2), affine(2, 5)], [TwoLayerNet, MultiLayerNet]),
        ([affine(3, 2), Relu()], [TwoLayerNet, MultiLayerNet]),
        ([], [TwoLayerNet, MultiLayerNet]),
    ],
)
def test_a_network_of_another_kind_is_refused(
    layers: list[Any], refused: list[Any], path: Path
) -> None:
    network = Sequential(layers)
    network.save(path)
    assert_same(Sequential.load(path), network)
    for cls in refused:
        with pytest.raises(ValueError, match=r"load it with Sequential\.load"):
            cls.load(path)


@pytest.mark.parametrize(
    "other",
    [TwoLayerNet(12, 7, 4), TwoLayerNet(12, 6, 3), MultiLayerNet(12, [6, 6], 4), Sequential([])],
)
def test_other_shapes_are_refused_and_nothing_is_changed(other: Sequential, path: Path) -> None:
    TwoLayerNet(12, 6, 4).save(path)
    before = list(other.params.values())
    with pytest.raises(ValueError, match=r"'W1': \(12, 6\)"):
        other.load(path)
    assert all(a is b for a, b in zip(other.params.values(), before, strict=True))


def test_other_layers_with_the_same_parameters_are_refused(path: Path) -> None:
    with_relu = fastnn.TwoLayerNet(12, 6, 4, seed=1)
    with_relu.save(path)
    without = fastnn.Sequential([with_relu.layers["Affine1"], with_relu.layers["Affine2"]])
    with pytest.raises(ValueError, match="holds the layers Affine, Relu, Affine, SoftmaxWithLoss"):
        without.load(path)


def test_layers_of_the_users_own(backend: Backend, path: Path) -> None:
    def make(gamma: float) -> Sequential:
        return Sequential({"in": affine_of(np.eye(3), np.zeros(3)), "scale": Scale(gamma)})

    network = make(2.5)
    assert network.params["gamma1"].shape == ()
    network.save(path)
    with pytest.raises(ValueError, match=r"layers of your own \(Scale\).*network.load\(path\)"):
        Sequential.load(path)
    loaded = make(1).load(path)
    assert_same(loaded, network)
    assert float(loaded.params["gamma1"]) == 2.5


def test_names_of_layers_and_unusual_paths(path: Path, tmp_path: Path) -> None:
    network = Sequential({"été": Affine(np.ones((2, 2)), np.ones(2)), 'a "b"': Relu()})
    for place in (path, str(path), os.fspath(tmp_path / ("n" * 255)), tmp_path / "bücher 1"):
        network.save(place)
        assert list(Sequential.load(place).layers) == ["été", 'a "b"']
    assert names(tmp_path) == sorted([path.name, "n" * 255, "bücher 1"])


def test_a_file_is_the_same_each_time(path: Path) -> None:
    network = TwoLayerNet(12, 6, 4, seed=1)
    network.save(path)
    first = path.read_bytes()
    network.copy().save(path)
    assert path.read_bytes() == first
    assert set(safetensors.numpy.load(first)) == {"W1", "b1", "W2", "b2"}  # as others read it


# Damaged files


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the many files of hypothesis are written, one over the other."""
    return tmp_path_factory.mktemp("damaged") / "network"


@pytest.fixture(scope="module")
def content(place: Path) -> bytes:
    NETWORK.save(place)
    return place.read_bytes()


def refuses(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    network = NETWORK.copy()
    for load in (Sequential.load, network.load):
        with pytest.raises(CorruptFileError, match=path.name):
            load(path)
    assert_same(network, NETWORK)


def test_a_file_cut_short_anywhere(content: bytes, path: Path) -> None:
    header = 8 + int.from_bytes(content[:8], "little")
    lengths = {*range(20), *range(header - 3, header + 3), *range(0, len(content), 37)}
    for length in lengths | {len(content) - n for n in range(1, 10)}:
        refuses(path, content[:length])
    refuses(path, content + b"\0")
    refuses(path, content * 2)
    path.write_bytes(content)
    assert_same(Sequential.load(path), NETWORK)


def test_a_flipped_bit_anywhere(content: bytes, place: Path) -> None:
    for bit in range(0, 8 * len(content), 13):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        refuses(place, bytes(changed))


def test_a_damaged_file_gives_what_was_saved_or_an_error(content: bytes, place: Path) -> None:
    outcomes = [load_damaged(place, content, seed) for seed in range(600)]
    assert sum(outcomes) < 60


@given(noise=st.binary(max_size=300), start=st.booleans())
@settings(max_examples=50, deadline=None)
def test_any_other_file(content: bytes, place: Path, noise: bytes, start: bool) -> None:
    refuses(place, content[:8] + noise if start else noise)


SOFTMAX = {"last_layer": "SoftmaxWithLoss"}
ONE = {"W1": np.ones((2, 2)), "b1": np.ones(2)}


@pytest.mark.parametrize(
    "made",
    [
        safetensors.numpy.save(ONE),
        safetensors.numpy.save(ONE, {"format": "pt"}),
        safetensors.numpy.save(ONE, {FORMAT: "{"}),
        safetensors.numpy.save(ONE, {FORMAT: "[]"}),
        safetensors.numpy.save(ONE, {FORMAT: '{"layers": []}'}),
        safetensors.numpy.save(ONE, {FORMAT: '{"layers": [], "last_layer": "", "sha256": 5}'}),
        crafted({}, {**SOFTMAX, "layers": 5}),
        crafted({}, {**SOFTMAX, "layers": None}),
        crafted({}, {**SOFTMAX, "layers": [["a"]]}),
        crafted({}, {**SOFTMAX, "layers": ["a", 3]}),
    ],
)
def test_other_safetensors_files(made: bytes, path: Path) -> None:
    refuses(path, made)


@pytest.mark.parametrize(
    ("arrays", "layers"),
    [
        ({}, [["a", "Affine"]]),
        ({"W1": np.ones((2, 2))}, [["a", "Affine"]]),
        ({**ONE, "W2": np.ones((2, 2))}, [["a", "Affine"]]),
        (ONE, [["a", "Affine"], ["a", "Relu"]]),
        (ONE, [["a", "Relu"]]),
    ],
)
def test_arrays_that_are_not_those_of_the_layers(
    arrays: dict[str, Any], layers: list[list[str]], path: Path
) -> None:
    path.write_bytes(crafted(arrays, {**SOFTMAX, "layers": layers}))
    with pytest.raises(CorruptFileError, match="for the layers"):
        Sequential.load(path)


def with_header(header: object, data: bytes = bytes(4)) -> bytes:
    """Make a file with any header: text as it stands, or what JSON makes of something else."""
    text = header if isinstance(header, str) else json.dumps(header)
    return len(text).to_bytes(8, "little") + text.encode() + data


def with_metadata(text: str) -> bytes:
    return with_header({"__metadata__": {FORMAT: text}}, b"")


def with_tensor(**changed: Any) -> bytes:
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    return with_header({"W1": {**tensor, **changed}})


HOSTILE = {
    "lists without end": with_metadata("[" * 100_000),
    "lists and names without end": with_metadata('{"a":[' * 50_000),
    "a header of lists": with_header("[" * 100_000),
    "a digit string": with_metadata("9" * 100_000),
    "a digit string as a size": with_header('{"W1": {"shape": [' + "9" * 100_000 + "]}}"),
    "no UTF-8": (4).to_bytes(8, "little") + b'{"\xff"',
    "UTF-16": (4).to_bytes(8, "little") + "{}".encode("utf-16-le"),
    "half a surrogate pair": with_metadata('"\\ud800"'),
    "a name that is no text": with_header(
        json.dumps({"__metadata__": {FORMAT: "5"}})[:-1]
        + r', "\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
    ),
    "a name twice": with_header('{"W1": {}, "W1": {}}'),
    "a name twice in the metadata": with_metadata('{"layers": [], "layers": []}'),
    "no name of a dtype": with_tensor(dtype=None),
    "a list as a dtype": with_tensor(dtype=["F32"]),
    "a number as a shape": with_tensor(shape=1),
    "a negative size": with_tensor(shape=[-1], data_offsets=[4, 0]),
    "a size that is not a number": with_tensor(shape=[float("nan")]),
    "a size that is not finite": with_tensor(shape=[float("inf")]),
    "a size that is true": with_tensor(shape=[True]),
    "a size beyond 64 bits": with_tensor(shape=[10**4000]),
    "many sizes": with_tensor(shape=[1] * 100_000),
    "terabytes": with_tensor(shape=[1 << 40], data_offsets=[0, 1 << 42]),
    "an overflow": with_tensor(shape=[1 << 32, 1 << 32], data_offsets=[0, 0]),
    "an empty array that overflows": with_tensor(shape=[0, 1 << 62, 1 << 62], data_offsets=[0, 0]),
    "three offsets": with_tensor(data_offsets=[0, 4, 4]),
    "offsets that are texts": with_tensor(data_offsets=["0", "4"]),
    "a gap": with_tensor(shape=[0], data_offsets=[2, 2]),
    "more bytes than arrays": with_tensor(shape=[0], data_offsets=[0, 0]),
    "something else": with_tensor(other=1),
    "no tensor": with_header({"W1": None}),
    "no texts": with_header({"__metadata__": {FORMAT: 5}}),
    "no metadata": with_header({"__metadata__": [FORMAT]}),
    "a header beyond the file": (1 << 62).to_bytes(8, "little") + b"{}",
    "a header that is all the file": (2**64 - 1).to_bytes(8, "little") + b"{}",
    **{kind: with_tensor(dtype=kind) for kind in ("F8_E4M3", "X9", "I32", "U32")},
    **{kind: with_tensor(dtype=kind, shape=[2]) for kind in ("BF16", "F16", "I16", "U16")},
    **{kind: with_tensor(dtype=kind, shape=[4]) for kind in ("BOOL", "U8", "I8")},
}


@pytest.mark.parametrize("made", HOSTILE.values(), ids=HOSTILE)
def test_files_that_are_made_to_hurt(made: bytes, path: Path) -> None:
    tracemalloc.start()
    refuses(path, made)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.parametrize("start", [b"", (100).to_bytes(8, "little"), b"\xff" * 8, with_tensor()])
def test_a_file_of_a_terabyte_costs_no_memory(start: bytes, path: Path) -> None:
    path.write_bytes(start)
    os.truncate(path, 1 << 40)  # nothing of it is on the disk
    tracemalloc.start()
    for load in (Sequential.load, NETWORK.copy().load):
        with pytest.raises(CorruptFileError, match=path.name):
            load(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


LAYERS = [["a", "Affine"], ["b", "Relu"], ["c", "Affine"]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
def test_parameters_that_no_network_has(kind: str, name: str, path: Path) -> None:
    """With a digest that is right; none of the network's parameters is changed."""
    arrays = {key: array + 1 for key, array in parameters(NETWORK).items()}
    made = {**arrays, name: arrays[name].astype(kind)}
    refuses(path, crafted(made, {**SOFTMAX, "layers": LAYERS}))


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("W2", (3, 2), r"W2 of shape \(3, 2\), which does not follow W1: that gives 2 numbers"),
        ("W2", (1, 2), "does not follow W1"),
        ("W2", (2, 3), r"W2 of shape \(2, 3\) and b2 of shape \(2,\): expected \(D, M\)"),
        ("W1", (3, 2, 1), r"W1 of shape \(3, 2, 1\)"),
        ("W1", (2,), r"W1 of shape \(2,\)"),
        ("W1", (0, 2), "at least 1 each"),
        ("b1", (2, 1), r"b1 of shape \(2, 1\)"),
        ("b1", (), r"b1 of shape \(\)"),
    ],
)
def test_shapes_that_do_not_follow(
    name: str, shape: tuple[int, ...], message: str, path: Path
) -> None:
    made = {**parameters(NETWORK), name: np.ones(shape)}
    path.write_bytes(crafted(made, {**SOFTMAX, "layers": LAYERS}))
    for load in (Sequential.load, TwoLayerNet.load):
        with pytest.raises(CorruptFileError, match=message):
            load(path)
    network = NETWORK.copy()
    with pytest.raises(ValueError, match="holds parameters"):
        network.load(path)
    assert_same(network, NETWORK)


def test_any_layers_with_any_arrays_load_or_are_an_error(place: Path) -> None:
    outcomes = [load_crafted(place, seed) for seed in range(1000)]
    assert 100 < sum(outcomes) < 900


def test_all_parameters_are_set_or_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error on the way, such as a device whose memory is full, leaves the network as it was."""
    network = NETWORK.copy()
    network.params["W1"] += 1
    network.save(path)
    other = NETWORK.copy()
    left = iter(range(2))
    whole = type(other.backend).copy

    def fail(self: Backend, array: Any) -> Any:
        if next(left, None) is None:
            raise MemoryError
        return whole(self, array)

    monkeypatch.setattr(type(other.backend), "copy", fail)
    with pytest.raises(MemoryError):
        other.load(path)
    assert_same(other, NETWORK)


@pytest.mark.parametrize("kind", ["int64", "uint8", "float16", ">f4", "longdouble", "bool"])
def test_parameters_of_other_dtypes_are_saved_in_the_network_s(kind: str, path: Path) -> None:
    network = NETWORK.copy()
    network.layers["Affine1"].W = np.eye(3, 2).astype(kind)
    network.save(path)
    loaded = parameters(Sequential.load(path))
    assert loaded["W1"].dtype == np.float32
    np.testing.assert_array_equal(loaded["W1"], np.eye(3, 2))
    network.layers["Affine1"].W = np.eye(3, 2).astype("complex64")
    before = path.read_bytes()
    with pytest.raises(TypeError, match="W1 has dtype complex64"):
        network.save(path)
    assert path.read_bytes() == before


def test_what_diverged_and_the_largest_numbers_come_back(path: Path, dtype: str) -> None:
    network = NETWORK.copy().astype(dtype)
    network.params["b1"] = np.array([np.nan, -np.inf])
    network.params["b2"] = np.array([np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal])
    network.save(path)
    assert_same(Sequential.load(path), network)


@pytest.mark.parametrize("load", [Sequential.load, NETWORK.load])
def test_no_such_file(load: Callable[[Any], Any], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^there is no file .*nowhere: network\.save\("):
        load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no file .*, and no directory .*nowhere: network"):
        load(tmp_path / "nowhere" / "network")
    with pytest.raises(
        IsADirectoryError, match=r"is a directory: .*network\.save\(path\) has writ"
    ):
        load(tmp_path)
    NETWORK.save(tmp_path / "network.safetensors")
    with pytest.raises(IsADirectoryError, match=r"; in it are network\.safetensors$"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"did you mean .*/network\.safetensors\?\): netw"):
        load(tmp_path / "netwrk.safetensors")
    with pytest.raises(TypeError, match=r"path must be a path, such as 'network\.safe.*got None"):
        load(None)
    refuses(tmp_path / "empty", b"")


def test_no_path_to_write_to() -> None:
    for call in (NETWORK.save, fastnn.SGD().save):
        with pytest.raises(TypeError, match=r"path must be a path, such as '.*safe.*got 3"):
            call(cast(Any, 3))
        with pytest.raises(ValueError, match="path is an empty text"):
            call("")


def test_a_file_of_another_kind(path: Path) -> None:
    fastnn.SGD().save(path)
    words = r"holds the state of an optimizer, and not a network: optimizer\.load\(path\) reads it"
    with pytest.raises(CorruptFileError, match=words):
        Sequential.load(path)
    NETWORK.save(path)
    with pytest.raises(CorruptFileError, match=r"holds a network, and not the state of an optimiz"):
        fastnn.SGD().load(path)


# Writing


def assert_old_file_is_whole(path: Path) -> None:
    assert_same(Sequential.load(path), NETWORK)
    assert names(path.parent) == [path.name]


def full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("function", ["open", "fsync", "replace", "rename"])
def test_a_full_disk_leaves_the_old_file_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    NETWORK.save(path)
    name = re.escape(repr(str(path)))
    with monkeypatch.context() as patch:
        patch.setattr(os, function, full)
        if function == "rename":
            patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match=f"not saved: No space left on device: {name}") as told:
            TwoLayerNet(3, 2, 2).save(path)
    assert told.value.errno == errno.ENOSPC
    assert_old_file_is_whole(path)


def test_an_interruption_leaves_the_old_file_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    NETWORK.save(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            TwoLayerNet(3, 2, 2).save(path)
    assert_old_file_is_whole(path)


@pytest.mark.skipif(WINDOWS, reason="there is no such limit")
def test_a_limit_on_the_size_of_files_leaves_the_old_file_whole(path: Path) -> None:
    NETWORK.save(path)
    script = """
        import resource, signal, sys
        import fastnn
        fastnn.set_backend("numpy")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        network = fastnn.TwoLayerNet(300, 50, 10)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        try:
            network.save(sys.argv[1])
        except OSError as error:
            print(error)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert f"the network was not saved: File too large: '{path}'" in done.stdout
    assert_old_file_is_whole(path)


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """Be a user who is not root, in a directory where nobody may write."""
    directory, user = Path(tempfile.mkdtemp()), os.geteuid()
    NETWORK.save(directory / "network")
    directory.chmod(0o555)
    (directory / "network").chmod(0o644)
    if user == 0:
        os.seteuid(65534)
    yield directory
    os.seteuid(user)
    directory.chmod(0o700)
    shutil.rmtree(directory)


@pytest.mark.skipif(WINDOWS, reason="access lists, and not modes, forbid there")
def test_a_forbidden_directory(ordinary_user: Path) -> None:
    path = ordinary_user / "network"
    with pytest.raises(PermissionError, match=f"not saved: Permission denied: '{path}'"):
        TwoLayerNet(3, 2, 2).save(path)
    assert_old_file_is_whole(path)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("nowhere/network", FileNotFoundError),
        ("file/network", NotADirectoryError),
        (".", IsADirectoryError),
        ("n" * 300, OSError),
    ],
)
def test_a_place_that_is_none(tmp_path: Path, place: str, error: type[OSError]) -> None:
    (tmp_path / "file").touch()
    expected = OSError if WINDOWS else error  # where other kinds say the same
    with pytest.raises(expected, match="the network was not saved") as told:
        NETWORK.save(tmp_path / place)
    assert told.value.filename == str(tmp_path / place)
    assert names(tmp_path) == ["file"]


@pytest.fixture
def others(path: Path) -> list[str]:
    """What is in the directory, is no leftover of `save`, and looks much like one."""
    directory, name = path.parent, ".fastnn-0123456789abcde"
    (directory / f"{name}").touch()
    (directory / f"{name}ff").touch()
    (directory / f"{name}X").touch()
    (directory / f"x{name}0").touch()
    (directory / f"{name}0").mkdir()
    if not WINDOWS:
        (directory / f"{name}1").symlink_to("elsewhere")
    (directory / "elsewhere").touch()
    if hasattr(os, "mkfifo"):
        os.mkfifo(directory / f"{name}2")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        (directory / f"{name}3").touch()
        os.chown(directory / f"{name}3", 65534, 65534)
    return names(directory)


def test_what_a_dead_process_has_left_is_removed(path: Path, others: list[str]) -> None:
    for mode, number in ((0o600, 4), (0o444, 5)):
        left = path.parent / f".fastnn-0123456789abcde{number}"
        left.write_bytes(b"a part")
        if not WINDOWS:  # where a read-only file is not removed, and ours are not
            left.chmod(mode)
    NETWORK.save(path)
    assert names(path.parent) == sorted([*others, path.name])
    assert_same(Sequential.load(path), NETWORK)


def test_a_save_under_way_in_another_thread_is_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    whole = os.fsync

    def wait(descriptor: int) -> None:
        whole(descriptor)
        if threading.current_thread() is not threading.main_thread():
            reached.set()
            assert go_on.wait(timeout=60)

    monkeypatch.setattr(os, "fsync", wait)
    thread = threading.Thread(target=NETWORK.save, args=(path,))
    thread.start()
    assert reached.wait(timeout=60)
    others = names(path.parent)
    assert len(others) == 1
    NETWORK.save(path.parent / "second")
    assert names(path.parent) == sorted([*others, "second"])
    go_on.set()
    thread.join(timeout=60)
    assert names(path.parent) == sorted([path.name, "second"])
    assert_same(Sequential.load(path), NETWORK)


@pytest.mark.skipif(WINDOWS, reason="no open file is removed there")
def test_a_temporary_file_that_was_taken_for_a_dead_one_is_written_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locks need not hold between machines that share a file system."""
    taken: list[Path] = []
    whole = os.fsync

    def take(descriptor: int) -> None:
        whole(descriptor)
        if len(taken) < 2:
            taken.extend(path.parent.glob(".fastnn-*"))
            taken[-1].unlink()

    NETWORK.save(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", take)
        other = TwoLayerNet(3, 2, 2)
        other.save(path)
    assert len(taken) == 2
    assert_same(Sequential.load(path), other)
    assert names(path.parent) == [path.name]


@pytest.mark.skipif(WINDOWS, reason="no open file is removed there")
def test_a_cleaner_that_is_quicker_than_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, left = atomic_file._lock, iter(range(2))

    def remove_first(descriptor: int) -> bool:
        if next(left, None) is not None:
            next(path.parent.glob(".fastnn-*")).unlink()
        return whole(descriptor)

    monkeypatch.setattr(atomic_file, "_lock", remove_first)
    NETWORK.save(path)
    assert_old_file_is_whole(path)


@pytest.mark.skipif(WINDOWS, reason="no locks are needed there")
def test_without_locks_nothing_is_taken_for_dead(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic_file, "_lock", lambda descriptor: False)
    left = path.parent / ".fastnn-0123456789abcdef"
    left.touch()
    NETWORK.save(path)
    assert names(path.parent) == [left.name, path.name]


def test_a_process_that_is_killed_while_it_saves(path: Path) -> None:
    killed_while_saving(path, kills=4)


@pytest.mark.skipif(WINDOWS, reason="directories are not opened there")
def test_the_new_name_is_brought_to_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, whole = [], os.fsync

    def remember(descriptor: int) -> None:
        whole(descriptor)
        directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append(names(path.parent) if directory else "the file")

    monkeypatch.setattr(os, "fsync", remember)
    NETWORK.save(path)
    assert synced == ["the file", [path.name]]


@pytest.mark.skipif(WINDOWS, reason="not everybody may make links there")
def test_a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)
    with pytest.raises(OSError, match="was not saved") as told:
        NETWORK.save(path)
    assert told.value.errno == errno.ELOOP
    assert path.is_symlink()
    assert names(path.parent) == [path.name]


def test_a_hard_link_keeps_the_old_network(path: Path) -> None:
    NETWORK.save(path)
    other = path.parent / "other"
    other.hardlink_to(path)
    network = TwoLayerNet(3, 2, 2)
    network.save(path)
    assert_same(Sequential.load(path), network)
    assert_same(Sequential.load(other), NETWORK)


@pytest.mark.skipif(WINDOWS, reason="not everybody may make links there")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "there" / "network", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to("there/network")
    for network in (NETWORK, TwoLayerNet(3, 2, 2, seed=2)):  # the first makes the file
        network.save(link)
        assert link.is_symlink()
        assert_same(Sequential.load(target), network)
    assert names(target.parent) == ["network"]


@pytest.mark.skipif(WINDOWS, reason="there are no such permissions")
def test_permissions_are_kept_and_new_files_follow_the_umask(path: Path) -> None:
    before = os.umask(0o027)
    try:
        NETWORK.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        for mode in (0o600, 0o666, 0o444):
            path.chmod(mode)
            NETWORK.save(path)
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(before)


def test_a_device_is_written_to_and_stays(path: Path) -> None:
    NETWORK.save(os.devnull)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    if Path("/dev/full").exists():
        with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
            NETWORK.save("/dev/full")


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes and sockets in directories")
class TestWhatIsNoFile:
    @pytest.fixture
    def pipe(self, tmp_path: Path) -> Path:
        os.mkfifo(tmp_path / "pipe")
        return tmp_path / "pipe"

    @pytest.fixture
    def listener(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        monkeypatch.chdir(tmp_path)  # since a socket's name is short: 103 characters on macOS
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("socket")
            yield tmp_path / "socket"

    def test_a_pipe_is_not_waited_for(self, pipe: Path) -> None:
        for load in (Sequential.load, NETWORK.load, read_idx):
            with pytest.raises(OSError, match=r"this is a pipe \(FIFO\), not a regular file.*pipe"):
                load(pipe)
        with pytest.raises(OSError, match=r"not saved: this is a pipe .* nobody reads from it"):
            NETWORK.save(pipe)
        assert stat.S_ISFIFO(pipe.stat().st_mode)
        assert names(pipe.parent) == [pipe.name]

    def test_a_writer_who_waits_is_not_woken_up(self, pipe: Path) -> None:
        link = pipe.parent / "link"
        link.symlink_to(pipe.name)
        command = [
            sys.executable,
            "-c",
            "import sys; open(sys.argv[1], 'wb').write(b'x')",
            str(pipe),
        ]
        with subprocess.Popen([*command, pipe]) as writer:
            with pytest.raises(OSError, match="not a regular file"):
                Sequential.load(link)
            assert pipe.read_bytes() == b"x"
            assert writer.wait(timeout=60) == 0

    def test_a_pipe_that_somebody_reads_from(self, pipe: Path, path: Path) -> None:
        NETWORK.save(path)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        NETWORK.save(pipe)
        assert os.read(reader, 1 << 16) == path.read_bytes()
        os.close(reader)

    def test_a_socket(self, listener: Path) -> None:
        with pytest.raises(OSError, match="this is a socket, not a regular file"):
            Sequential.load(listener)
        with pytest.raises(OSError, match="not saved: this is a socket, not a regular file"):
            NETWORK.save(listener)
        assert names(listener.parent) == [listener.name]

    def test_a_device_is_not_read(self) -> None:
        for load in (Sequential.load, read_idx):
            with pytest.raises(OSError, match="this is a device, not a regular file: '/dev/zero'"):
                load(Path("/dev/zero"))


def test_a_file_of_two_dtypes_warns_of_nothing(path: Path) -> None:
    """Nobody has handed over an array that would have to be copied."""
    W, b = np.ones((3, 2), "float32"), np.ones(2)
    with pytest.warns(fastnn.ParameterCopyWarning):
        network = Sequential([Affine(W, b)])
    network.layers["Affine1"].W = W
    network.save(path)
    loaded = Sequential.load(path)
    assert loaded.dtype == "float64"
    np.testing.assert_array_equal(fastnn.to_numpy(loaded.params["W1"]), W)
