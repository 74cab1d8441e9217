"""From a network to what a file holds of it, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from os import PathLike
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.checks import dtype_name, is_of_floats
from fastnn.nn.activations import ACTIVATIONS
from fastnn.nn.batch_normalization import BatchNormalization
from fastnn.nn.dropout import Dropout
from fastnn.nn.found_parameters import check_names
from fastnn.nn.layer import Layer, state_names
from fastnn.nn.layers import Affine
from fastnn.nn.losses import LOSSES
from fastnn.nn.network import NamedLayers
from fastnn.nn.parameters import Parameters
from fastnn.nn.storage import SavedNetwork, read_network
from fastnn.nn.tensor_file import DTYPES, HostArrays
from fastnn.nn.validation import check_real

LAYERS: tuple[type[Layer], ...] = (Affine, *ACTIVATIONS, BatchNormalization, Dropout)
LAYER_KINDS = {cls.__name__: cls for cls in LAYERS}
LOSS_KINDS: dict[str, type[Layer]] = {cls.__name__: cls for cls in LOSSES}
FIRST_KINDS = {"Affine", "Relu", "SoftmaxWithLoss"}
"""What was fastnn's when a file did not tell yet which numbers a layer was made with."""

COMPUTED = {dtype.name for dtype in DTYPES.values()}
OF_YOUR_OWN = " of your own"


def saved_form(network: NamedLayers) -> SavedNetwork:
    """Give what is saved of a network."""
    check_names(network, "the network was not saved")
    arrays = {
        name: _on_host(network, name, array)
        for name, array in {**network.params, **_arrays_of_state(network)}.items()
    }
    numbers, (layers, last_layer) = _numbers(network), _described(network)
    later = {kind for kind in (*(kind for _, kind in layers), last_layer) if _came_later(kind)}
    numbers_or_none = numbers if numbers or later else None
    return SavedNetwork(
        arrays, layers, last_layer, numbers_or_none, float(network.weight_decay_lambda)
    )


def _came_later(kind: str) -> bool:
    return (kind in LAYER_KINDS or kind in LOSS_KINDS) and kind not in FIRST_KINDS


def parameters_in(saved: SavedNetwork, network: NamedLayers) -> HostArrays:
    """Give what a file holds but arrays of the state of the network's layers."""
    state = {name_of_state(name, attribute) for name, _, attribute in _state(network)}
    return {name: array for name, array in saved.arrays.items() if name not in state}


def _state(network: NamedLayers) -> Iterator[tuple[str, Any, str]]:
    """Go through the state of all layers: the layer's name, the layer and the attribute."""
    for name, layer in network.layers.items():
        for attribute in state_names(layer):
            yield str(name), layer, attribute


def arrays_of_state(network: NamedLayers) -> dict[str, tuple[Any, str]]:
    """Give for each array of floats in the layers' state its layer and the attribute there."""
    return {
        name_of_state(name, attribute): (layer, attribute)
        for name, layer, attribute in _state(network)
        if _is_array_of_floats(getattr(layer, attribute))
    }


def _arrays_of_state(network: NamedLayers) -> dict[str, Array]:
    return {name: getattr(*place) for name, place in arrays_of_state(network).items()}


def _numbers(network: NamedLayers) -> dict[str, dict[str, float]]:
    """Give by the layer's name the numbers that it was made with, and those of its state."""
    numbers: dict[str, dict[str, float]] = {}
    for name, layer in network.layers.items():
        options = type(layer).options if isinstance(layer, Layer) else ()
        for attribute in (*options, *state_names(layer)):
            value = getattr(layer, attribute)
            if not _is_array_of_floats(value):
                number = _number(network, value, name_of_state(str(name), attribute))
                numbers.setdefault(str(name), {})[attribute] = number
    return numbers


def name_of_state(layer: str, attribute: str) -> str:
    """Name an array of a layer's state in a file; no parameter has a dot in its name."""
    return f"{layer}.{attribute}"


def _is_array_of_floats(value: Any) -> bool:
    return hasattr(value, "shape") and is_of_floats(value)


def _number(network: NamedLayers, value: Any, name: str) -> float:
    """Give a number for JSON, also one that an array () holds."""
    host = np.asarray(network.backend.to_numpy(value) if hasattr(value, "shape") else value)
    if host.ndim or host.dtype.kind not in "iuf":
        raise TypeError(f"{name} cannot be saved: state is arrays of floats, and single numbers")
    number: float = host.item()
    return number


def _on_host(network: NamedLayers, name: str, array: Array) -> np.ndarray[Any, Any]:
    check_real(array, name)
    if dtype_name(array) not in COMPUTED:
        array = network.backend.asarray(array, network.dtype)
    host = network.backend.to_numpy(array)
    return np.asarray(host, dtype=host.dtype.newbyteorder("="), order="C")


def read_saved(path: str | PathLike[str]) -> SavedNetwork:
    """Read and check a file; see `read_network`.

    A kind that became one of fastnn's after the file was written is one of the user's own.
    """
    saved = read_network(path)
    if saved.numbers is not None:
        return saved

    def of_then(kind: str) -> str:
        return f"{kind}{OF_YOUR_OWN}" if _came_later(kind) else kind

    layers = [(name, of_then(kind)) for name, kind in saved.layers]
    return saved._replace(layers=layers, last_layer=of_then(saved.last_layer))


def check_fits(network: NamedLayers, saved: SavedNetwork, path: str | PathLike[str]) -> None:
    """Refuse to read a file into a network of other parameters or layers."""
    arrays = {**network.params, **_arrays_of_state(network)}
    expected = {name: tuple(array.shape) for name, array in arrays.items()}
    found = {name: array.shape for name, array in saved.arrays.items()}
    if expected != found:
        raise ValueError(f"{path} holds parameters {found}, the network has {expected}")
    in_file = _kinds(saved.layers, saved.last_layer, saved.numbers or {})
    in_network = _kinds(*_described(network), _numbers(network))
    if in_file != in_network:
        raise ValueError(f"{path} holds the layers {in_file}, the network has {in_network}")


def restore(network: NamedLayers, saved: SavedNetwork) -> None:
    """Set parameters and state to those of a file that fits."""
    with network._network_lock.alone:
        Parameters(network).assign(parameters_in(saved, network))
        restore_state(network, saved)


def restore_state(network: NamedLayers, saved: SavedNetwork) -> None:
    """Set the state of all layers to that of a file that fits."""
    for name, layer, attribute in _state(network):
        array = saved.arrays.get(name_of_state(name, attribute))
        if array is None:
            setattr(layer, attribute, (saved.numbers or {})[name][attribute])
        else:
            backend = network.backend
            setattr(layer, attribute, backend.copy(backend.asarray(array, network.dtype)))


def _described(network: NamedLayers) -> tuple[list[tuple[str, str]], str]:
    """Name the layers of a network with their kinds, and the kind of its loss."""
    layers = [(str(name), _kind(layer)) for name, layer in network.layers.items()]
    return layers, _kind(network.last_layer)


def _kind(layer: Any) -> str:
    """Name the class of a layer; a class of the user's own that is called as one of fastnn's."""
    name = type(layer).__name__
    fastnns = {**LAYER_KINDS, **LOSS_KINDS}.get(name, type(layer))
    return name if type(layer) is fastnns else f"{name}{OF_YOUR_OWN}"


def _kinds(
    layers: list[tuple[str, str]], last_layer: str, numbers: Mapping[str, Mapping[str, float]]
) -> str:
    """Name the kinds of layers, with the numbers that they were made with."""
    described = []
    for name, kind in layers:
        options = LAYER_KINDS[kind].options if kind in LAYER_KINDS else ()
        given = [f"{o}={numbers[name][o]}" for o in options if o in numbers.get(name, {})]
        described.append(f"{kind}({', '.join(given)})" if given else kind)
    return ", ".join([*described, last_layer])


class LoadMethod:
    """``Sequential.load``: on a class it builds a network, on a network it reads into that."""

    def __get__(self, network: Any, cls: Any) -> Callable[[str | PathLike[str]], Any]:
        return cls.from_file if network is None else partial(cls.read_into, network)
