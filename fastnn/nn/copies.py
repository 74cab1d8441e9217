"""Copies and pickles of layers and networks: without the last batch, with arrays on the host."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend

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


def carried(attributes: Attributes, backend: Backend) -> Attributes:
    """Give attributes as a copy or a pickle carries them: see `DeviceArray`."""
    if backend.on_host:
        return attributes
    return {
        name: DeviceArray(value, backend) if backend.owns(value) else value
        for name, value in attributes.items()
    }


def arrived(attributes: Attributes) -> Attributes:
    """Give attributes as they were before `carried`."""
    return {
        name: value.array if isinstance(value, DeviceArray) else value
        for name, value in attributes.items()
    }


class DeviceArray:
    """An array of a device on its way into a copy or a pickle.

    A copy stays on the device. A pickle holds the numbers as an array of the host, so that it can
    be read where there is no such device; the backend is the one that `resolve` finds there.
    """

    def __init__(self, array: Array, backend: Backend) -> None:
        self.array = array
        self.backend = backend

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_host, (self.backend.to_numpy(self.array), self.backend)

    def __deepcopy__(self, memo: dict[int, Any]) -> DeviceArray:
        return DeviceArray(copy.deepcopy(self.array, memo), self.backend)


def _from_host(array: Array, backend: Backend) -> Array:
    return backend.asarray(array)
