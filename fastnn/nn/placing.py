"""Layers brought to a backend and a dtype, and copies of them."""

from __future__ import annotations

import copy
from typing import Any

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.checks import dtype_name, is_of_floats
from fastnn.nn.handed_over import fits, handed_over
from fastnn.nn.layer import Layer, parameter_names, state_names


def place_layer(layer: Any, backend: Backend, dtype: str, names: tuple[str, ...]) -> None:
    """Bring a layer's arrays to `backend` and `dtype`; those that are there already stay."""
    for name in names:
        array = getattr(layer, name)
        if not fits(array, backend, dtype):
            setattr(layer, name, backend.copy(backend.asarray(array, dtype)))
    for name in state_names(layer):
        state = getattr(layer, name)
        if not (backend.owns(state) and dtype_name(state) == _dtype_of_state(state, dtype)):
            setattr(layer, name, _copy_of_state(state, backend, dtype))
    if isinstance(layer, Layer) and layer.backend is not backend:
        layer.backend = backend
        layer.forget()


def copy_layer(
    layer: Any,
    backend: Backend,
    dtype: str,
    names: tuple[str, ...] | None = None,
    *,
    keep_handed_over: bool = False,
) -> Any:
    """Copy a layer, with parameters of its own on `backend` in `dtype`; drop what it kept.

    The arrays of these names are brought there, by default the parameters, and the state. With
    `keep_handed_over` the copy has those that a user handed over, where they need no change.
    """
    moved = {}
    for name in parameter_names(layer) if names is None else names:
        array = getattr(layer, name)
        stays = keep_handed_over and handed_over(array) and fits(array, backend, dtype)
        moved[name] = array if stays else backend.copy(backend.asarray(array, dtype))
    for name in state_names(layer):
        moved[name] = _copy_of_state(getattr(layer, name), backend, dtype)
    if isinstance(layer, Layer):
        twin = copy.copy(layer)
        twin.backend = backend
        twin.forget()
    else:
        # Under whatever other names a layer has its parameters, they are the copies there, too.
        arrays = [(getattr(layer, name), array) for name, array in moved.items()]
        twin = copy.deepcopy(layer, {id(one): new for one, new in arrays if hasattr(one, "shape")})
    for name, array in moved.items():
        setattr(twin, name, array)
    return twin


def _copy_of_state(state: Any, backend: Backend, dtype: str) -> Any:
    """Bring a copy of an array to `backend`, of floats in `dtype`; numbers stay as they are."""
    if not hasattr(state, "shape"):
        return state
    return backend.copy(backend.asarray(state, _dtype_of_state(state, dtype)))


def _dtype_of_state(state: Array, dtype: str) -> str:
    """Give the network's dtype for an array of floats; a count keeps its own."""
    return dtype if is_of_floats(state) else dtype_name(state)
