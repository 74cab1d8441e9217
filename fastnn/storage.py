"""Networks on disk: safetensors files, written atomically and checked when read."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import secrets
from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.errors import CorruptFileError
from fastnn.layers import Affine, Relu, SoftmaxWithLoss

if TYPE_CHECKING:
    from fastnn.sequential import Sequential

FORMAT = "fastnn network 1"
HostArrays = dict[str, np.ndarray[Any, Any]]


def save_network(network: Sequential, path: str | PathLike[str]) -> None:
    """Write a network: its parameters as tensors; layers and a digest of all of it as metadata."""
    import safetensors.numpy

    arrays = {
        name: np.asarray(network.backend.to_numpy(array), order="C")
        for name, array in network.params.items()
    }
    layers, last_layer = _described(network)
    described = {"layers": layers, "last_layer": last_layer}
    # One entry, since safetensors writes several in an order that differs from run to run.
    metadata = {FORMAT: json.dumps({**described, "sha256": _digest(arrays, described)})}
    _write_atomically(Path(path), safetensors.numpy.save(arrays, metadata))


def read_file(path: str | PathLike[str]) -> tuple[HostArrays, list[tuple[str, str]], str]:
    """Read and check a file: its arrays, the names and kinds of its layers, the kind of its loss.

    Raises
    ------
    OSError
        If the file cannot be read.
    CorruptFileError
        If it is no such file, or not as it was written.
    """
    import safetensors
    import safetensors.numpy

    content = Path(path).read_bytes()
    try:
        arrays = safetensors.numpy.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = header.get("__metadata__", {})
        described = json.loads(metadata[FORMAT]) if FORMAT in metadata else {}
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CorruptFileError(
            f"{path} is not a whole safetensors file ({len(content)} bytes): {error}"
        ) from error
    if not (isinstance(described, dict) and {"layers", "last_layer", "sha256"} <= set(described)):
        raise CorruptFileError(f"{path} is a safetensors file, but holds no {FORMAT!r}")
    digest = described.pop("sha256")
    if digest != _digest(arrays, described):
        raise CorruptFileError(f"{path} was changed after it was written: its digest differs")
    try:
        layers = [(str(name), str(kind)) for name, kind in described["layers"]]
        return arrays, layers, str(described["last_layer"])
    except (ValueError, TypeError) as error:
        raise CorruptFileError(f"{path} does not say which layers it holds") from error


def load_into(network: Sequential, path: str | PathLike[str]) -> Sequential:
    """Set the parameters of a network from a file, all or none."""
    arrays, layers, last_layer = read_file(path)
    expected = {name: tuple(array.shape) for name, array in network.params.items()}
    found = {name: array.shape for name, array in arrays.items()}
    if expected != found:
        raise ValueError(f"{path} holds parameters {found}, the network has {expected}")
    in_file, in_network = _kinds(layers, last_layer), _kinds(*_described(network))
    if in_file != in_network:
        raise ValueError(f"{path} holds the layers {in_file}, the network has {in_network}")
    for name, array in arrays.items():
        network.params[name] = array
    return network


def _described(network: Sequential) -> tuple[list[tuple[str, str]], str]:
    """Name the layers of a network with their kinds, and the kind of its loss."""
    layers = [(name, type(layer).__name__) for name, layer in network.layers.items()]
    return layers, type(network.last_layer).__name__


def _kinds(layers: list[tuple[str, str]], last_layer: str) -> str:
    return ", ".join([*[kind for _, kind in layers], last_layer])


def load_network(cls: type[Sequential], path: str | PathLike[str]) -> Sequential:
    """Build a network from a file, on the active backend, in the dtype of the file."""
    from fastnn.networks import MultiLayerNet, TwoLayerNet
    from fastnn.sequential import Sequential

    arrays, kinds, last_kind = read_file(path)
    unknown = {kind for _, kind in kinds} - {"Affine", "Relu"} | {last_kind} - {"SoftmaxWithLoss"}
    if unknown:
        raise ValueError(
            f"{path} holds layers of your own ({', '.join(sorted(unknown))}): "
            "make the network first, then network.load(path)"
        )
    pattern = [kind for _, kind in kinds]
    plain = ["Affine", "Relu"] * (len(pattern) // 2) + ["Affine"]
    if (issubclass(cls, MultiLayerNet) and pattern != plain) or (
        issubclass(cls, TwoLayerNet) and len(pattern) != 3
    ):
        raise ValueError(f"{path} holds {', '.join(pattern)}: load it with Sequential.load")
    affines = pattern.count("Affine")
    names = {f"{parameter}{n + 1}" for n in range(affines) for parameter in Affine.parameters}
    if names != set(arrays) or len(dict(kinds)) < len(kinds):
        raise CorruptFileError(f"{path} holds {sorted(arrays)} for the layers {kinds}")
    network = cls.__new__(cls)
    number = itertools.count(1)
    layers: dict[str, Any] = {}
    for name, kind in kinds:
        if kind == "Affine":
            n = next(number)
            layers[name] = Affine(arrays[f"W{n}"], arrays[f"b{n}"])
        else:
            layers[name] = Relu()
    Sequential.__init__(network, layers, SoftmaxWithLoss())
    return network


class LoadMethod:
    """``Sequential.load``: on a class it builds a network, on a network it reads into that."""

    def __get__(
        self, network: Sequential | None, cls: type[Sequential]
    ) -> Callable[[str | PathLike[str]], Any]:
        return partial(load_network, cls) if network is None else partial(load_into, network)


def _digest(arrays: HostArrays, described: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, then rename: `path` is the old file or the new one, never a part."""
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():  # /dev/stdout: nothing to put in its place
            target.write_bytes(content)
            return
        temporary = target.with_name(f".fastnn-{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o777)
            temporary.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise OSError(
            error.errno, f"the network was not saved: {error.strerror}", str(path)
        ) from error
