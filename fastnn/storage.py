"""Networks on disk: safetensors files, written atomically and checked when read."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.atomic_file import write_atomically
from fastnn.backends.selection import get_backend
from fastnn.errors import CorruptFileError
from fastnn.found_parameters import check_names, name_after
from fastnn.handed_over import let_go
from fastnn.layers import Affine, Relu, SoftmaxWithLoss
from fastnn.regular_file import open_regular
from fastnn.tensor_file import DTYPES, HostArrays, parse_json, read_tensors
from fastnn.validation import check_real, common_dtype, dtype_name

if TYPE_CHECKING:
    from fastnn.backends.base import Array
    from fastnn.sequential import Sequential

FORMAT = "fastnn network 1"
KINDS = (Affine, Relu, SoftmaxWithLoss)
COMPUTED = {dtype.name for dtype in DTYPES.values()}


def save_network(network: Sequential, path: str | PathLike[str]) -> None:
    """Write a network: its parameters as tensors; layers and a digest of all of it as metadata.

    If `fit` trains it meanwhile, they are those of whole steps. It does not wait for the disk.
    """
    with network._network_lock.alone:
        content = _encoded(network)
    try:
        write_atomically(Path(path), content)
    except OSError as error:
        raise OSError(
            error.errno, f"the network was not saved: {error.strerror}", str(path)
        ) from error


def _encoded(network: Sequential) -> bytes:
    import safetensors.numpy

    check_names(network, "the network was not saved")
    arrays = {name: _on_host(network, name, array) for name, array in network.params.items()}
    layers, last_layer = _described(network)
    described = {"layers": layers, "last_layer": last_layer}
    # One entry, since safetensors writes several in an order that differs from run to run.
    metadata = {FORMAT: json.dumps({**described, "sha256": _digest(arrays, described)})}
    return safetensors.numpy.save(arrays, metadata)


def _on_host(network: Sequential, name: str, array: Array) -> np.ndarray[Any, Any]:
    check_real(array, name)
    if dtype_name(array) not in COMPUTED:
        array = network.backend.asarray(array, network.dtype)
    host = network.backend.to_numpy(array)
    return np.asarray(host, dtype=host.dtype.newbyteorder("="), order="C")


def read_file(path: str | PathLike[str]) -> tuple[HostArrays, list[tuple[str, str]], str]:
    """Read and check a file: its arrays, the names and kinds of its layers, the kind of its loss.

    Raises
    ------
    OSError
        If the file cannot be read, or is no regular file.
    CorruptFileError
        If it is no such file, or not as it was written. Whatever bytes it holds, there is no
        other error, and the memory used follows the size of the file.
    """
    with open_regular(Path(path)) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            arrays, metadata = read_tensors(file, size)
            described = parse_json(metadata[FORMAT]) if FORMAT in metadata else None
        except ValueError as error:
            raise CorruptFileError(
                f"{path} is not a whole safetensors file ({size} bytes): {error}"
            ) from error
    if described is None:
        raise CorruptFileError(f"{path} is a safetensors file, but holds no {FORMAT!r}")
    if not _is_description(described):
        raise CorruptFileError(f"{path} does not say which layers it holds")
    digest = described.pop("sha256")
    if digest != _digest(arrays, described):
        raise CorruptFileError(f"{path} was changed after it was written: its digest differs")
    return arrays, [(name, kind) for name, kind in described["layers"]], described["last_layer"]


def _is_description(described: Any) -> bool:
    """Whether this is what `save_network` writes beside the arrays."""
    if not (isinstance(described, dict) and set(described) == {"layers", "last_layer", "sha256"}):
        return False
    layers, texts = described["layers"], [described["last_layer"], described["sha256"]]
    if not (isinstance(layers, list) and all(isinstance(pair, list) for pair in layers)):
        return False
    texts += itertools.chain.from_iterable(layers)
    return all(len(pair) == 2 for pair in layers) and all(isinstance(text, str) for text in texts)


def load_into(network: Sequential, path: str | PathLike[str]) -> Sequential:
    """Set the parameters of a network from a file, all or none."""
    arrays, layers, last_layer = read_file(path)
    name_after(network, arrays)
    expected = {name: tuple(array.shape) for name, array in network.params.items()}
    found = {name: array.shape for name, array in arrays.items()}
    if expected != found:
        raise ValueError(f"{path} holds parameters {found}, the network has {expected}")
    in_file, in_network = _kinds(layers, last_layer), _kinds(*_described(network))
    if in_file != in_network:
        raise ValueError(f"{path} holds the layers {in_file}, the network has {in_network}")
    network.params.assign(arrays)
    return network


def _described(network: Sequential) -> tuple[list[tuple[str, str]], str]:
    """Name the layers of a network with their kinds, and the kind of its loss."""
    layers = [(str(name), _kind(layer)) for name, layer in network.layers.items()]
    return layers, _kind(network.last_layer)


def _kind(layer: Any) -> str:
    """Name the class of a layer; a class of the user's own that is called as one of fastnn's."""
    cls = type(layer)
    own = cls not in KINDS and cls.__name__ in {kind.__name__ for kind in KINDS}
    return f"{cls.__name__} of your own" if own else cls.__name__


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
    _check_shapes(path, arrays, affines)
    network = cls.__new__(cls)
    number, backend, dtype = itertools.count(1), get_backend(), common_dtype(arrays.values())
    layers: dict[str, Any] = {}
    for name, kind in kinds:
        if kind == "Affine":
            n = next(number)
            W, b = (backend.copy(backend.asarray(arrays[f"{key}{n}"], dtype)) for key in "Wb")
            layers[name] = Affine(W, b)
        else:
            layers[name] = Relu()
    Sequential.__init__(network, layers, SoftmaxWithLoss())
    let_go(network.params.values())
    return network


def _check_shapes(path: str | PathLike[str], arrays: HostArrays, affines: int) -> None:
    """See to it that each Affine takes what the one before it gives."""
    before: int | None = None
    for n in range(1, affines + 1):
        W, b = arrays[f"W{n}"].shape, arrays[f"b{n}"].shape
        if len(W) != 2 or 0 in W or b != W[1:]:
            raise CorruptFileError(
                f"{path} holds W{n} of shape {W} and b{n} of shape {b}: "
                "expected (D, M) and (M,), at least 1 each"
            )
        if before not in (None, W[0]):
            raise CorruptFileError(
                f"{path} holds W{n} of shape {W}, which does not follow W{n - 1}: "
                f"that gives {before} numbers"
            )
        before = W[1]


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
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)  # as the file holds it
        digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
