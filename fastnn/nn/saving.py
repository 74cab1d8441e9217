"""From a network to what a file holds of it, and back."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.selection import get_backend
from fastnn.checks import common_dtype, dtype_name
from fastnn.errors import CorruptFileError
from fastnn.nn.found_parameters import check_names
from fastnn.nn.layers import Affine, Relu
from fastnn.nn.losses import LOSSES
from fastnn.nn.network import NamedLayers
from fastnn.nn.storage import SavedNetwork
from fastnn.nn.tensor_file import DTYPES, HostArrays
from fastnn.nn.validation import check_real

KINDS = (Affine, Relu, *LOSSES)
COMPUTED = {dtype.name for dtype in DTYPES.values()}


def saved_form(network: NamedLayers) -> SavedNetwork:
    """Give what is saved of a network."""
    check_names(network, "the network was not saved")
    arrays = {name: _on_host(network, name, array) for name, array in network.params.items()}
    return SavedNetwork(arrays, *_described(network))


def _on_host(network: NamedLayers, name: str, array: Array) -> np.ndarray[Any, Any]:
    check_real(array, name)
    if dtype_name(array) not in COMPUTED:
        array = network.backend.asarray(array, network.dtype)
    host = network.backend.to_numpy(array)
    return np.asarray(host, dtype=host.dtype.newbyteorder("="), order="C")


def check_fits(network: NamedLayers, saved: SavedNetwork, path: str | PathLike[str]) -> None:
    """Refuse to read a file into a network of other parameters or layers."""
    expected = {name: tuple(array.shape) for name, array in network.params.items()}
    found = {name: array.shape for name, array in saved.arrays.items()}
    if expected != found:
        raise ValueError(f"{path} holds parameters {found}, the network has {expected}")
    in_file, in_network = _kinds(saved.layers, saved.last_layer), _kinds(*_described(network))
    if in_file != in_network:
        raise ValueError(f"{path} holds the layers {in_file}, the network has {in_network}")


def _described(network: NamedLayers) -> tuple[list[tuple[str, str]], str]:
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


def check_buildable(saved: SavedNetwork, path: str | PathLike[str]) -> None:
    """Refuse to make a network of layers that are not fastnn's own."""
    unknown = {kind for _, kind in saved.layers} - {"Affine", "Relu"}
    unknown |= {saved.last_layer} - {loss.__name__ for loss in LOSSES}
    if unknown:
        raise ValueError(
            f"{path} holds layers of your own ({', '.join(sorted(unknown))}): "
            "make the network first, then network.load(path)"
        )


def build_layers(saved: SavedNetwork, path: str | PathLike[str]) -> dict[str, Any]:
    """Make the layers that a file holds, on the active backend, in the dtype of the file."""
    arrays, kinds = saved.arrays, saved.layers
    affines = sum(kind == "Affine" for _, kind in kinds)
    names = {f"{parameter}{n + 1}" for n in range(affines) for parameter in Affine.parameters}
    if names != set(arrays) or len(dict(kinds)) < len(kinds):
        raise CorruptFileError(f"{path} holds {sorted(arrays)} for the layers {kinds}")
    _check_shapes(path, arrays, affines)
    number, backend, dtype = itertools.count(1), get_backend(), common_dtype(arrays.values())
    layers: dict[str, Any] = {}
    for name, kind in kinds:
        if kind == "Affine":
            n = next(number)
            W, b = (backend.copy(backend.asarray(arrays[f"{key}{n}"], dtype)) for key in "Wb")
            layers[name] = Affine(W, b)
        else:
            layers[name] = Relu()
    return layers


def build_loss(saved: SavedNetwork) -> Any:
    """Make the loss that a file names, on the active backend."""
    return next(loss for loss in LOSSES if loss.__name__ == saved.last_layer)()


def _check_shapes(path: str | PathLike[str], arrays: HostArrays, affines: int) -> None:
    """Check that each Affine has as many inputs as the one before it has outputs."""
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

    def __get__(self, network: Any, cls: Any) -> Callable[[str | PathLike[str]], Any]:
        return cls.from_file if network is None else partial(cls.read_into, network)
