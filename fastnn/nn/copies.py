"""Copies and pickles of layers and networks: without the last batch, with arrays on the host.

A copy stays on its backend. A pickle, which holds arrays of the host, is read onto the backend that
is selected there; where none is, as in a new process, onto its own, if that can run.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable
from typing import Any, TypeVar

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.selection import name_of, selected_or_named
from fastnn.checks import is_read_only
from fastnn.errors import LastBatchWarning
from fastnn.system.standard_streams import warn

Thing = TypeVar("Thing")
Attributes = dict[str, Any]


def shallow(thing: Thing) -> Thing:
    """Give a shallow copy: an object of the same class that shares all attributes."""
    twin = type(thing).__new__(type(thing))
    set_attributes(twin, attributes_of(thing))
    return twin


def attributes_of(thing: object) -> Attributes:
    """Give the attributes of an object, those in slots included."""
    state: Any = object.__getstate__(thing)
    ordinary, in_slots = state if isinstance(state, tuple) else (state, None)
    return {**(ordinary or {}), **(in_slots or {})}


def set_attributes(thing: object, attributes: Attributes) -> None:
    """Set attributes, and those in slots, past any `__setattr__`."""
    for name, value in attributes.items():
        object.__setattr__(thing, name, value)


def carried(attributes: Attributes, backend: Backend, left: str = "") -> Attributes:
    """Give attributes as a copy or a pickle carries them: see `DeviceArray` and `Place`."""
    places = {name: Place(backend, left) for name, value in attributes.items() if value is backend}
    if backend.on_host:
        return {**attributes, **places}
    arrays = {
        name: DeviceArray(value, backend)
        for name, value in attributes.items()
        if backend.owns(value)
    }
    return {**attributes, **places, **arrays}


def arrived(attributes: Attributes) -> Attributes:
    """Give attributes as they were before `carried`."""
    return {name: _arrived(value) for name, value in attributes.items()}


def _arrived(value: Any) -> Any:
    if isinstance(value, DeviceArray):
        return value.array
    return value.backend if isinstance(value, Place) else value


def land(layer: object, names: Iterable[str], backend: Backend) -> None:
    """Bring the arrays of these names to a backend, and let them be written to."""
    for name in names:
        array = getattr(layer, name)
        if not hasattr(array, "shape"):
            continue
        # joblib maps arrays from a file, for reading only.
        if not backend.owns(array) or is_read_only(array):
            setattr(layer, name, backend.copy(backend.asarray(array)))


class Place:
    """The backend of a layer or a network on its way into a copy or a pickle.

    A copy stays there, a pickle goes to where its `Home` is found.

    Parameters
    ----------
    backend : Backend
    left : str, optional
        What a pickle would hold of the last batch, for a warning.
    """

    def __init__(self, backend: Backend, left: str = "") -> None:
        self.backend = backend
        self.left = left

    def __reduce__(self) -> tuple[Any, ...]:
        if self.left:
            warn(
                f"this pickle holds arrays that layers of your own keep, perhaps of the last "
                f"batch: {self.left}. A class that derives from fastnn.Layer leaves them out by a "
                "method forget(self), which sets them to None; any other by __getstate__",
                LastBatchWarning,
            )
        return _at, (_home(self.backend),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Place:
        return self


class DeviceArray:
    """An array of a device on its way into a copy or a pickle.

    A copy stays on the device. A pickle holds the numbers as an array of the host, so that it can
    be read where there is no such device.
    """

    def __init__(self, array: Array, backend: Backend) -> None:
        self.array = array
        self.backend = backend

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_host, (self.backend.to_numpy(self.array), _home(self.backend))

    def __deepcopy__(self, memo: dict[int, Any]) -> DeviceArray:
        return DeviceArray(copy.deepcopy(self.array, memo), self.backend)


class Home:
    """A backend in a pickle: the one that is selected where it is read, or else that of its name.

    A pickle holds one such object for all that were on a backend, so that this is decided once.
    """

    def __init__(self, backend: Backend) -> None:
        self.name = name_of(backend)

    def __reduce__(self) -> tuple[Any, ...]:
        return selected_or_named, (self.name,)


@functools.cache
def _home(backend: Backend) -> Home:
    return Home(backend)


def _at(backend: Backend) -> Backend:
    return backend


def _from_host(array: Array, backend: Backend) -> Array:
    return backend.asarray(array)
