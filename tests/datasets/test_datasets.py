"""MNIST as it ships, data sets of one's own, and every way in which an IDX file can be wrong."""

from __future__ import annotations

import ast
import gzip
import hashlib
import math
import pickle
import re
import socket
import sys
import tracemalloc
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import fastnn.datasets
from fastnn.datasets import load_idx, load_mnist, read_idx
from fastnn.wording import shown
from tests.helpers.damaged_idx import CODES, assert_usual_layout, header, idx_bytes, read_damaged

PACKAGE = Path(fastnn.datasets.__file__).parent
SHIPPED = PACKAGE / "mnist"

MNIST_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
ORIGINAL_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def write(path: Path, array: NDArray[Any]) -> Path:
    data = idx_bytes(array)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def small_data_set() -> tuple[NDArray[Any], ...]:
    """Three training and two test images of 2 x 3 pixels, with labels up to 4 and 6."""
    x_train = np.arange(18, dtype=np.uint8).reshape(3, 2, 3) * 15
    x_test = 255 - np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    return x_train, np.array([4, 0, 1], np.uint8), x_test, np.array([6, 2], np.uint8)


def write_data_set(
    directory: Path, names: tuple[str, ...] = MNIST_NAMES, *, add: int = 0, suffix: str = ""
) -> Path:
    for name, array in zip(names, small_data_set(), strict=True):
        moved = array + np.uint8(add) if "labels" in name else array
        write(directory / (name + suffix), moved)
    return directory


def names_with(prefix: str = "", test: str = "t10k") -> tuple[str, ...]:
    return tuple(
        f"{prefix}{half}-{kind}-idx{dimensions}-ubyte"
        for half in ("train", test)
        for kind, dimensions in (("images", 3), ("labels", 1))
    )


class TestMnist:
    @pytest.mark.parametrize("name", MNIST_NAMES)
    def test_shipped_files_are_the_original_ones(self, name: str) -> None:
        data = (SHIPPED / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == ORIGINAL_SHA256[name]

    def test_readme_credits_the_authors_and_states_the_checksums(self) -> None:
        readme = (SHIPPED / "README.md").read_text(encoding="utf-8")
        for word in ("LeCun", "Cortes", "Burges", "CC BY-SA 3.0"):
            assert word in readme
        for checksum in ORIGINAL_SHA256.values():
            assert checksum in readme

    def test_defaults(self) -> None:
        (x_train, t_train), (x_test, t_test) = load_mnist()
        assert x_train.shape == (60_000, 784)
        assert x_test.shape == (10_000, 784)
        assert t_train.shape == (60_000,)
        assert t_test.shape == (10_000,)
        assert x_train.dtype == x_test.dtype == np.float32
        assert t_train.dtype == t_test.dtype == np.int64
        for array in (x_train, t_train, x_test, t_test):
            assert_usual_layout(array)
        assert x_train.min() == x_test.min() == 0
        assert x_train.max() == x_test.max() == 1
        # The mean and the standard deviation of MNIST that everybody quotes.
        assert x_train.mean(dtype=np.float64) == pytest.approx(0.1306604762738429, abs=1e-8)
        assert x_train.std(dtype=np.float64) == pytest.approx(0.3081078, abs=1e-6)

    def test_labels(self) -> None:
        (_, t_train), (_, t_test) = load_mnist(normalize=False)
        assert t_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        assert t_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
        assert np.bincount(t_train).tolist() == [
            *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
        ]
        assert np.bincount(t_test).tolist() == [
            *(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
        ]

    def test_bytes_as_images(self) -> None:
        (x_train, _), (x_test, _) = load_mnist(normalize=False, flatten=False)
        assert x_train.shape == (60_000, 1, 28, 28)
        assert x_test.shape == (10_000, 1, 28, 28)
        for name, x in (("train", x_train), ("t10k", x_test)):
            assert x.dtype == np.uint8
            assert_usual_layout(x)
            content = (SHIPPED / f"{name}-images-idx3-ubyte").read_bytes()
            assert x.tobytes() == content[16:]

    def test_normalized_is_the_byte_divided_by_255_in_float32(self) -> None:
        (x_train, _), (x_test, _) = load_mnist()
        (raw_train, _), (raw_test, _) = load_mnist(normalize=False)
        for x, raw in ((x_train, raw_train), (x_test, raw_test)):
            np.testing.assert_array_equal(x, raw.astype(np.float32) / np.float32(255))

    def test_flatten_keeps_the_order_of_the_pixels(self) -> None:
        (flat, _), _ = load_mnist(normalize=False)
        (images, _), _ = load_mnist(normalize=False, flatten=False)
        np.testing.assert_array_equal(flat.reshape(-1, 1, 28, 28), images)

    def test_one_hot_labels(self) -> None:
        (_, t_train), (_, t_test) = load_mnist(normalize=False)
        (_, hot_train), (_, hot_test) = load_mnist(normalize=False, one_hot_label=True)
        for t, hot in ((t_train, hot_train), (t_test, hot_test)):
            assert hot.shape == (len(t), 10)
            assert hot.dtype == np.float32
            assert_usual_layout(hot)
            np.testing.assert_array_equal(hot, np.eye(10)[t])

    def test_arguments_by_position_as_in_the_book(self) -> None:
        (x_train, t_train), _ = load_mnist(False, False, True)
        assert x_train.shape == (60_000, 1, 28, 28)
        assert x_train.dtype == np.uint8
        assert t_train.shape == (60_000, 10)

    @pytest.mark.parametrize("normalize", [True, False])
    def test_calls_are_independent(self, normalize: bool) -> None:
        first = [array for half in load_mnist(normalize) for array in half]
        second = [array for half in load_mnist(normalize) for array in half]
        for i, one in enumerate(first):
            for other in first[:i] + second:
                assert not np.shares_memory(one, other)
        for array in first:
            array[:] = 1
        third = [array for half in load_mnist(normalize) for array in half]
        for untouched, fresh in zip(second, third, strict=True):
            np.testing.assert_array_equal(untouched, fresh)

    def test_neither_pickle_nor_the_network_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def forbidden(*_: object, **__: object) -> None:
            raise AssertionError("called")

        for function in ("load", "loads", "Unpickler"):
            monkeypatch.setattr(pickle, function, forbidden)
        monkeypatch.setattr(socket, "socket", forbidden)
        assert load_mnist()[1][1][0] == 7

    def test_imports_are_numpy_and_a_light_standard_library(self) -> None:
        allowed = (sys.stdlib_module_names | {"numpy"}) - {
            *("pickle", "shelve", "urllib", "http", "socket", "subprocess", "multiprocessing")
        }
        sources = set(PACKAGE.glob("*.py")) - {PACKAGE / "digit_picture.py"}  # which needs Pillow
        for source in sources:
            for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
                modules = []
                if isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    modules = [node.module or ""]
                for module in modules:
                    own = module.startswith(
                        (
                            "fastnn.checks",
                            "fastnn.datasets",
                            "fastnn.system.regular_file",
                            "fastnn.wording",
                        )
                    )
                    assert own or module.split(".")[0] in allowed, f"{source.name}: {module}"


class TestReadIdx:
    @pytest.mark.parametrize("suffix", ["", ".gz"])
    @pytest.mark.parametrize(
        "array",
        [
            np.array([[0, 1], [254, 255]], np.uint8),
            np.array([-128, -1, 0, 127], np.int8),
            np.array([[-32768], [-2], [258], [32767]], np.int16),
            np.array([[[-(2**31), -3, 16909060, 2**31 - 1]]], np.int32),
            np.array([0.1, -np.inf, np.nan, 3e38, 1e-45], np.float32),
            np.array([[0.1, np.pi, -1e308, 5e-324]], np.float64),
        ],
        ids=lambda array: str(array.dtype),
    )
    def test_element_types(self, tmp_path: Path, array: NDArray[Any], suffix: str) -> None:
        read = read_idx(write(tmp_path / f"some{suffix}", array))
        assert read.dtype == array.dtype
        assert_usual_layout(read)
        np.testing.assert_array_equal(read, array)

    def test_bytes_on_disk_are_big_endian(self, tmp_path: Path) -> None:
        path = tmp_path / "some"
        path.write_bytes(bytes.fromhex("00000b02 00000001 00000003 0001 0100 fffe"))
        np.testing.assert_array_equal(read_idx(path), np.array([[1, 256, -2]], np.int16))

    def test_the_content_decides_whether_it_is_compressed(self, tmp_path: Path) -> None:
        array = np.arange(5, dtype=np.uint8)
        (tmp_path / "uncompressed.gz").write_bytes(idx_bytes(array))
        (tmp_path / "compressed").write_bytes(gzip.compress(idx_bytes(array)))
        np.testing.assert_array_equal(read_idx(tmp_path / "uncompressed.gz"), array)
        np.testing.assert_array_equal(read_idx(str(tmp_path / "compressed")), array)

    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_larger_than_one_piece(self, tmp_path: Path, suffix: str) -> None:
        array = np.random.default_rng(0).integers(0, 2**31, (3, 300_001), np.int32)
        np.testing.assert_array_equal(read_idx(write(tmp_path / f"some{suffix}", array)), array)

    @pytest.mark.parametrize("shape", [(0,), (0, 28, 28), (3, 0), (1,) * 64])
    def test_unusual_shapes(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        read = read_idx(write(tmp_path / "some.gz", np.zeros(shape, np.int16)))
        assert read.shape == shape
        assert_usual_layout(read)

    def test_several_gzip_members(self, tmp_path: Path) -> None:
        data = idx_bytes(np.arange(100, dtype=np.uint8))
        path = tmp_path / "some.gz"
        path.write_bytes(gzip.compress(data[:50]) + gzip.compress(data[50:]))
        np.testing.assert_array_equal(read_idx(path), np.arange(100, dtype=np.uint8))

    def test_missing_file_and_directory(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="nowhere"):
            read_idx(tmp_path / "nowhere")
        # Windows calls this a lack of permission.
        with pytest.raises((IsADirectoryError, PermissionError), match=tmp_path.name):
            read_idx(tmp_path)


WRONG_CONTENT = {
    "empty": (b"", r"IDX header of 4 bytes or more, found 0"),
    "part of the magic number": (b"\0\0\x08", r"IDX header of 4 bytes or more, found 3"),
    "text": (b"<html>not found</html>", r"starts with the bytes 00 00, found 3c 68 74 6d"),
    "little-endian": (b"\x01\x08\0\0\x02\0\0\0ab", r"00 00, found 01 08 00 00"),
    "element type 0x0A": (header(0x0A, 1) + b"a", r"0x08 \(uint8\), .*, found 0x0A"),
    "element type 0": (header(0, 1) + b"a", r"0x0E \(float64\), found 0x00"),
    "zero dimensions": (header(0x08) + b"a", r"one dimension or more, found 0"),
    "no lengths": (b"\0\0\x08\x02", r"8 bytes of lengths for 2 dimensions, found 0"),
    "part of the lengths": (header(0x08, 2, 2)[:-1], r"8 bytes of lengths for 2 .*, found 7"),
    "no data": (header(0x08, 3), r"3 bytes of data, 3 elements of uint8, found only 0"),
    "truncated data": (
        header(0x0C, 2, 3) + bytes(23),
        r"24 bytes of data, 2 x 3 elements of int32, found only 23; the file is cut short",
    ),
    "trailing byte": (header(0x0D, 2) + bytes(9), r"8 bytes of data, .*, found bytes after them"),
    "data of an empty array": (header(0x08, 0) + b"a", r"0 bytes of data, .* found bytes after"),
    "absurd size": (
        header(0x0E, 2**20, 2**20, 2**20) + bytes(64),
        rf"{2**63} bytes of data, 1048576 x 1048576 x 1048576 .* found only 64",
    ),
    "size beyond 64 bits": (
        header(0x0E, *(2**32 - 1,) * 255) + bytes(64),
        r"elements of float64, found only 64",
    ),
    "more dimensions than NumPy has": (header(0x08, *(1,) * 65) + b"a", r"found 65 dimensions"),
    "an empty array that overflows": (
        header(0x08, 0, *(2**32 - 1,) * 4),
        r"a shape that NumPy can hold, found 5 dimensions \(0, 4294967295",
    ),
}

SOUND = gzip.compress(idx_bytes(np.arange(200, dtype=np.int16)), mtime=0)
WRONG_GZIP = {
    "only the magic number": (SOUND[:2], EOFError),
    "cut in the header": (SOUND[:7], EOFError),
    "cut in the data": (SOUND[: len(SOUND) // 2], EOFError),
    "cut in the checksum": (SOUND[:-5], EOFError),
    "unknown method": (SOUND[:2] + b"\x07" + SOUND[3:], gzip.BadGzipFile),
    "wrong checksum": (SOUND[:-8] + bytes(4) + SOUND[-4:], gzip.BadGzipFile),
    "wrong length": (SOUND[:-4] + bytes(4), gzip.BadGzipFile),
    "garbage after the end": (SOUND + b"garbage", gzip.BadGzipFile),
    "invalid block": (SOUND[:10] + b"\xff" * 20 + SOUND[30:], zlib.error),
}


class TestCorruptFiles:
    @pytest.mark.parametrize("compressed", [False, True], ids=["uncompressed", "gzip"])
    @pytest.mark.parametrize(("content", "message"), WRONG_CONTENT.values(), ids=WRONG_CONTENT)
    def test_wrong_content(
        self, tmp_path: Path, content: bytes, message: str, compressed: bool
    ) -> None:
        path = tmp_path / "some-file"
        path.write_bytes(gzip.compress(content) if compressed else content)
        with pytest.raises(ValueError, match=f"some-file: expected .*{message}"):
            read_idx(path)

    @pytest.mark.parametrize(("content", "cause"), WRONG_GZIP.values(), ids=WRONG_GZIP)
    def test_wrong_gzip(self, tmp_path: Path, content: bytes, cause: type[Exception]) -> None:
        path = tmp_path / "some-file"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="some-file: expected sound gzip data") as caught:
            read_idx(path)
        assert type(caught.value.__cause__) is cause

    @pytest.mark.parametrize(
        ("shape", "held", "compressed"),
        [
            ((0,), 2**26, False),
            ((0,), 2**26, True),
            ((2**30, 2**30), 2**26, False),
            ((2**30, 2**30), 64, True),
        ],
    )
    def test_a_wrong_size_costs_no_memory(
        self, tmp_path: Path, shape: tuple[int, ...], held: int, compressed: bool
    ) -> None:
        content = header(0x08, *shape) + bytes(held)
        path = tmp_path / "some-file"
        path.write_bytes(gzip.compress(content, 1) if compressed else content)
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=f"expected {math.prod(shape)} bytes of data"):
                read_idx(path)
            assert tracemalloc.get_traced_memory()[1] < 2**22
        finally:
            tracemalloc.stop()


class TestArguments:
    @pytest.mark.parametrize("directory", [None, 5, 10**5000, b"data", ["data"]], ids=shown)
    def test_directories_are_paths(self, directory: Any) -> None:
        with pytest.raises(TypeError, match=r"^directory must be a path, .* got "):
            load_idx(directory)
        with pytest.raises(TypeError, match=r"^path must be a path, .* got "):
            read_idx(directory)

    @pytest.mark.parametrize("name", [5, b"letters", 10**5000, ["letters"], Path("a")], ids=shown)
    def test_names_are_text(self, tmp_path: Path, name: Any) -> None:
        write_data_set(tmp_path)
        with pytest.raises(TypeError, match=r"^name must be the name of a data set, .* got "):
            load_idx(tmp_path, name=name)

    @pytest.mark.parametrize("flag", ["normalize", "flatten", "one_hot_label"])
    @pytest.mark.parametrize("value", ["False", None, 5, 0.0, [True], np.ones(2, bool)], ids=shown)
    def test_flags_are_true_or_false(self, tmp_path: Path, flag: str, value: Any) -> None:
        write_data_set(tmp_path)
        for load in (partial(load_idx, tmp_path), load_mnist):
            with pytest.raises(TypeError, match=f"^{flag} must be True or False, got "):
                load(**{flag: value})
        options: dict[str, Any] = {flag: np.True_}
        load_idx(tmp_path, **options)


class TestDirectories:
    @pytest.mark.parametrize("suffix", ["", ".gz"])
    @pytest.mark.parametrize(
        "names",
        [
            names_with(),
            names_with("emnist-letters-", "test"),
            names_with("emnist-byclass-", "test"),
        ],
        ids=lambda names: names[2],
    )
    def test_file_names(self, tmp_path: Path, names: tuple[str, ...], suffix: str) -> None:
        write_data_set(tmp_path, names, suffix=suffix)
        (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\n", "utf-8")
        raw_train, _, raw_test, _ = small_data_set()
        (x_train, t_train), (x_test, t_test) = load_idx(str(tmp_path))
        np.testing.assert_array_equal(x_train, raw_train.reshape(3, 6) / np.float32(255))
        np.testing.assert_array_equal(x_test, raw_test.reshape(2, 6) / np.float32(255))
        assert x_train.dtype == x_test.dtype == np.float32
        assert t_train.tolist() == [4, 0, 1]
        assert t_test.tolist() == [6, 2]
        assert t_train.dtype == t_test.dtype == np.int64

    def test_images_of_any_size_as_bytes(self, tmp_path: Path) -> None:
        raw_train, _, raw_test, _ = small_data_set()
        (x_train, _), (x_test, _) = load_idx(
            write_data_set(tmp_path), normalize=False, flatten=False
        )
        assert x_train.shape == (3, 1, 2, 3)
        assert x_train.dtype == np.uint8
        np.testing.assert_array_equal(x_train[:, 0], raw_train)
        np.testing.assert_array_equal(x_test[:, 0], raw_test)
        for array in (x_train, x_test):
            assert_usual_layout(array)

    def test_one_hot_is_as_wide_as_the_largest_label_of_both_halves(self, tmp_path: Path) -> None:
        (_, t_train), (_, t_test) = load_idx(write_data_set(tmp_path), one_hot_label=True)
        np.testing.assert_array_equal(t_train, np.eye(7, dtype=np.float32)[[4, 0, 1]])
        np.testing.assert_array_equal(t_test, np.eye(7, dtype=np.float32)[[6, 2]])
        assert t_train.dtype == t_test.dtype == np.float32

    def test_the_uncompressed_file_goes_before_the_compressed_one(self, tmp_path: Path) -> None:
        write_data_set(tmp_path, add=10, suffix=".gz")
        write_data_set(tmp_path)
        (_, t_train), (_, t_test) = load_idx(tmp_path)
        assert t_train.tolist() == [4, 0, 1]
        assert t_test.tolist() == [6, 2]

    def test_several_data_sets_need_a_name(self, tmp_path: Path) -> None:
        write_data_set(tmp_path)
        write_data_set(tmp_path, names_with("emnist-letters-", "test"), add=1, suffix=".gz")
        write_data_set(tmp_path, names_with("emnist-digits-", "test"), add=2)
        with pytest.raises(
            ValueError, match=r'found 3; choose one of name="", name="digits", name="letters"$'
        ):
            load_idx(tmp_path)
        for name, first in (
            ("", 4),
            ("letters", 5),
            ("emnist-letters", 5),
            ("digits", 6),
            ("emnist-digits", 6),
        ):
            assert load_idx(tmp_path, name=name)[0][1][0] == first
        with pytest.raises(ValueError, match='name="letter", found name="", name="digits"'):
            load_idx(tmp_path, name="letter")

    @pytest.mark.parametrize(
        "name", ["train-images.idx3-ubyte", "test-images-idx3-ubyte", "my-train-images-idx3-ubyte"]
    )
    def test_files_of_other_names_are_no_data_set(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        with pytest.raises(FileNotFoundError, match="expected train-images-idx3-ubyte and"):
            load_idx(tmp_path)
        write_data_set(tmp_path)
        assert load_idx(tmp_path)[0][0].shape == (3, 6)

    @pytest.mark.parametrize("missing", range(4))
    def test_missing_file(self, tmp_path: Path, missing: int) -> None:
        names = names_with("emnist-letters-", "test")
        (write_data_set(tmp_path, names) / names[missing]).unlink()
        half, kind = names[missing].split("-")[2:4]
        with pytest.raises(
            FileNotFoundError,
            match=rf"{re.escape(str(tmp_path))}: expected {names[missing]}, uncompressed or .gz, "
            rf"found no {kind} for the {half} half",
        ):
            load_idx(tmp_path)

    def test_a_directory_of_a_files_name_is_no_file(self, tmp_path: Path) -> None:
        (write_data_set(tmp_path, suffix=".gz") / "train-images-idx3-ubyte").mkdir()
        assert load_idx(tmp_path)[0][0].shape == (3, 6)

    def test_not_a_directory_of_a_data_set(self, tmp_path: Path) -> None:
        (tmp_path / "train-images-idx1-ubyte").touch()
        (tmp_path / "train-images-idx3-ubyte.bak").touch()
        with pytest.raises(FileNotFoundError, match=r"expected train-images-idx3-ubyte .*none"):
            load_idx(tmp_path)
        with pytest.raises(FileNotFoundError, match="nowhere: expected a directory"):
            load_idx(tmp_path / "nowhere")
        with pytest.raises(NotADirectoryError, match="idx1-ubyte: expected a directory"):
            load_idx(tmp_path / "train-images-idx1-ubyte")

    def test_pixels_that_are_no_bytes_are_not_normalized(self, tmp_path: Path) -> None:
        images = np.array([[[0.5, -1.5]]] * 3, np.float32)
        write(write_data_set(tmp_path) / MNIST_NAMES[0], images)
        write(tmp_path / MNIST_NAMES[2], images[:2])
        with pytest.raises(
            ValueError, match=r"train-images.*: expected uint8 .*float32; normalize=False loads"
        ):
            load_idx(tmp_path)
        (x_train, _), _ = load_idx(tmp_path, normalize=False)
        np.testing.assert_array_equal(x_train, images.reshape(3, 2))
        assert x_train.dtype == np.float32

    @pytest.mark.parametrize(
        ("name", "array", "message"),
        [
            (0, np.zeros((4, 2, 3), np.uint8), r"as many images as .*train-labels.*, 3, found 4"),
            (2, np.zeros((1, 2, 3), np.uint8), r"as many images as .*t10k-labels.*, 2, found 1"),
            (0, np.zeros((3, 6), np.uint8), r"three dimensions .*, found the shape \(3, 6\)"),
            (2, np.zeros((2, 1, 2, 3), np.uint8), r"found the shape \(2, 1, 2, 3\)"),
            (2, np.zeros((2, 3, 2), np.uint8), r"images of 2 x 3 pixels, as in .*, found 3 x 2"),
            (1, np.zeros((3, 1), np.uint8), r"integers in one dimension, .* shape \(3, 1\)"),
            (3, np.zeros(2, np.float32), r"integers in one dimension, found float32"),
            (1, np.array([0, -1, 2], np.int8), r"labels of 0 or more .*, found -1"),
        ],
    )
    def test_files_that_do_not_fit(
        self, tmp_path: Path, name: int, array: NDArray[Any], message: str
    ) -> None:
        path = write(write_data_set(tmp_path) / MNIST_NAMES[name], array)
        with pytest.raises(ValueError, match=rf"{re.escape(str(path))}: expected .*{message}"):
            load_idx(tmp_path, one_hot_label=True)

    @pytest.mark.parametrize("name", [1, 3])
    def test_one_hot_of_a_label_that_is_none_costs_no_memory(
        self, tmp_path: Path, name: int
    ) -> None:
        labels = np.full(2 if name == 3 else 3, 2**31 - 1, np.int32)
        path = write(write_data_set(tmp_path) / MNIST_NAMES[name], labels)
        with pytest.raises(
            ValueError, match=rf"{path.name}: expected .*found the label 2147483647"
        ):
            load_idx(tmp_path, one_hot_label=True)
        assert load_idx(tmp_path)[name // 2][1].max() == 2**31 - 1

    @pytest.mark.parametrize("kind", ["int8", "int16", "int32"])
    def test_signed_labels(self, tmp_path: Path, kind: str) -> None:
        write(write_data_set(tmp_path) / MNIST_NAMES[1], np.array([3, -1, 100], kind))
        (_, t_train), _ = load_idx(tmp_path)
        assert t_train.tolist() == [3, -1, 100]
        assert t_train.dtype == np.int64

    def test_no_samples(self, tmp_path: Path) -> None:
        for name, shape in zip(MNIST_NAMES, [(0, 2, 3), (0,)] * 2, strict=True):
            write(tmp_path / name, np.zeros(shape, np.uint8))
        (x_train, t_train), _ = load_idx(tmp_path, one_hot_label=True)
        assert x_train.shape == (0, 6)
        assert t_train.shape == (0, 0)

    def test_a_corrupt_file_is_named(self, tmp_path: Path) -> None:
        (write_data_set(tmp_path) / MNIST_NAMES[3]).write_bytes(b"\0\0\x08\x01\0")
        with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte: expected 4 bytes"):
            load_idx(tmp_path)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "some-file"


@settings(deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(CODES)), compressed=st.booleans())
def test_any_array_comes_back(
    scratch: Path, data: st.DataObject, kind: str, compressed: bool
) -> None:
    shapes = hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=6)
    array = data.draw(hnp.arrays(np.dtype(kind), shapes))
    content = idx_bytes(array)
    scratch.write_bytes(gzip.compress(content) if compressed else content)
    read = read_idx(scratch)
    assert read.dtype == array.dtype
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes()
    assert_usual_layout(read)


def test_damage_is_a_value_error_or_leaves_an_array(scratch: Path) -> None:
    outcomes = [read_damaged(scratch, seed) for seed in range(500)]
    assert 10 < sum(outcomes) < 490
