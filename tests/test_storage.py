"""Networks on disk: round trips, damaged files, and writing that never leaves half a file."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from conftest import Batch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_networks import Scale

import fastnn
from fastnn import Affine, CorruptFileError, MultiLayerNet, Relu, Sequential, TwoLayerNet
from fastnn.backends import Backend
from fastnn.storage import FORMAT, _digest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "network.safetensors"


def parameters(network: Sequential) -> dict[str, Any]:
    return {name: fastnn.to_numpy(array) for name, array in network.params.items()}


def assert_same(one: Sequential, other: Sequential) -> None:
    left, right = parameters(one), parameters(other)
    assert list(left) == list(right)
    for name, array in left.items():
        assert array.dtype == right[name].dtype
        assert array.tobytes() == right[name].tobytes()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


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
        return Sequential({"in": Affine(np.eye(3), np.zeros(3)), "scale": Scale(gamma)})

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

with fastnn.use_backend("numpy"):
    NETWORK = TwoLayerNet(3, 2, 2, 0.5, seed=1)


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


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_anywhere(content: bytes, place: Path, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    refuses(place, bytes(changed))


@given(noise=st.binary(max_size=300), start=st.booleans())
@settings(max_examples=50, deadline=None)
def test_any_other_file(content: bytes, place: Path, noise: bytes, start: bool) -> None:
    refuses(place, content[:8] + noise if start else noise)


def crafted(arrays: dict[str, Any], described: dict[str, Any]) -> bytes:
    """Make a file whose digest is right and whose content is not."""
    text = json.dumps({**described, "sha256": _digest(arrays, described)})
    return safetensors.numpy.save(arrays, {FORMAT: text})


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


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "X9"])
def test_dtypes_that_numpy_does_not_have(dtype: str, path: Path) -> None:
    described = {"a": {"dtype": dtype, "shape": [2], "data_offsets": [0, 4]}}
    header = json.dumps(described).encode()
    refuses(path, len(header).to_bytes(8, "little") + header + bytes(4))


@pytest.mark.parametrize("load", [Sequential.load, NETWORK.load])
def test_no_such_file(load: Callable[[Any], Any], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)
    refuses(tmp_path / "empty", b"")


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
    with monkeypatch.context() as patch:
        patch.setattr(os, function, full)
        if function == "rename":
            patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match=f"not saved: No space left on device: '{path}'") as told:
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
    with pytest.raises(error, match="the network was not saved") as told:
        NETWORK.save(tmp_path / place)
    assert told.value.filename == str(tmp_path / place)
    assert names(tmp_path) == ["file"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "there" / "network", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to("there/network")
    for network in (NETWORK, TwoLayerNet(3, 2, 2, seed=2)):  # the first makes the file
        network.save(link)
        assert link.is_symlink()
        assert_same(Sequential.load(target), network)
    assert names(target.parent) == ["network"]


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
    NETWORK.save(path)
    pipe = path.parent / "pipe"
    os.mkfifo(pipe)
    code = "import pathlib, sys; sys.stdout.buffer.write(pathlib.Path(sys.argv[1]).read_bytes())"
    command = [sys.executable, "-c", code, str(pipe)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
        NETWORK.save(pipe)
        assert reader.communicate(timeout=60)[0] == path.read_bytes()
