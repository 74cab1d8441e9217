"""What a network has learned, as NumPy arrays by name: for other libraries, and back from them.

The names are those of a file of `save`: parameters ``W1, b1, ...``, and what layers follow in
training, as running means, by the layer's name, ``BatchNorm1.running_mean``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.checks import dtype_name, is_of_floats
from fastnn.nn.found_parameters import check_names, name_after
from fastnn.nn.layer import Layer
from fastnn.nn.network import NamedLayers
from fastnn.nn.saving import arrays_of_state
from fastnn.nn.validation import real_array
from fastnn.wording import shown

HostArrays = dict[str, np.ndarray[Any, Any]]


def state_of(network: NamedLayers) -> HostArrays:
    """Give a network's parameters and running state as arrays of their own on the host."""
    check_names(network, "the state was not read")
    with network._network_lock.alone, network.backend.current():
        return {
            name: np.array(network.backend.to_numpy(getattr(layer, attribute)))
            for name, (layer, attribute) in _places(network).items()
        }


def set_state(network: NamedLayers, state: Mapping[str, object]) -> None:
    """Set all parameters and running state, or none if one does not fit."""
    if not isinstance(state, Mapping):
        raise TypeError(
            "a state must be a dictionary of arrays by name, such as network.state_dict(), "
            f"got a {type(state).__name__}"
        )
    name_after(network, [name for name in state if name not in arrays_of_state(network)])
    check_names(network, "the state was not loaded")
    lock, backend = network._network_lock, network.backend
    with lock.alone, backend.current():
        lock.check_may_change("parameters and running state")
        places = _places(network)
        _check_names(places, state)
        arrays = {name: real_array(state[name], backend, name) for name in places}
        _check_shapes({name: getattr(*place) for name, place in places.items()}, arrays)
        for name, (layer, attribute) in places.items():
            _check_range(name, arrays[name], network.dtype)
            if isinstance(layer, Layer):
                layer.check_state(attribute, arrays[name], name)
        new = {
            name: backend.copy(backend.asarray(array, network.dtype))
            for name, array in arrays.items()
        }
        for name, (layer, attribute) in places.items():
            setattr(layer, attribute, new[name])


def _places(network: NamedLayers) -> dict[str, tuple[Any, str]]:
    """Give for each name the layer and the attribute there."""
    return {**network.owners(), **arrays_of_state(network)}


def _check_names(places: Iterable[str], state: Iterable[str]) -> None:
    expected, given = list(places), list(state)
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    wrong = [f"without {_listed(missing)}"] if missing else []
    wrong += [f"with unexpected {_listed(unexpected)}"] if unexpected else []
    if wrong:
        raise KeyError(
            f"the state is {' and '.join(wrong)}: the network has {_listed(expected)}; nothing was "
            "changed"
        )


def _check_shapes(current: Mapping[str, Array], arrays: Mapping[str, Array]) -> None:
    wrong = [
        f"{name} {tuple(array.shape)}, expected {tuple(current[name].shape)}"
        for name, array in arrays.items()
        if tuple(array.shape) != tuple(current[name].shape)
    ]
    if wrong:
        raise ValueError(
            f"the state has other shapes: {'; '.join(wrong)}; nothing was changed. Weights W are "
            "(inputs, outputs) here, and PyTorch's are (outputs, inputs): pass W.T of these"
        )


def _check_range(name: str, array: Array, dtype: str) -> None:
    """Refuse numbers that would become infinite; what is infinite or NaN is what has diverged."""
    if dtype_name(array) in ("float16", dtype) or not is_of_floats(array):
        return
    host = host_array(array)
    with np.errstate(over="ignore"):
        lost = np.isfinite(host) & ~np.isfinite(host.astype(dtype))
    if lost.any():
        index = tuple(np.argwhere(lost)[0].tolist())
        place = ", ".join(map(str, index))
        raise ValueError(
            f"{name}[{place}] is {host[index]!s}, beyond {dtype}, in which the network computes: "
            'call network.astype("float64") first; nothing was changed'
        )


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(name if isinstance(name, str) else shown(name) for name in names)
