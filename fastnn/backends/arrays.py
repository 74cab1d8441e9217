"""Arrays of any library: which backend owns them, and how they are copied to the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.backends.no_arrays import never_read, no_array, unreadable
from fastnn.backends.tables import numbers_of_table
from fastnn.checks import is_masked
from fastnn.wording import a_kind

Array = Any
"""An array of some backend: ``numpy.ndarray``, ``cupy.ndarray``, ..."""

loaded: dict[str, Any] = {}
"""The backends in use in this process so far, by every name that was asked for."""


def loaded_backends() -> tuple[Any, ...]:
    """Return the backends loaded in this process so far: arrays of no other can exist."""
    return tuple(dict.fromkeys(loaded.values()))


def host_array(array: object, name: str = "array") -> np.ndarray[Any, Any]:
    """Return `array` (of any library, a number, or nested lists) as a NumPy array.

    Raises
    ------
    TypeError
        For a masked array, whose hidden values would silently be used, and for an object that
        gives no numbers: the message calls it `name`, and says what to do.
    ValueError
        For ragged lists.
    """
    if type(array) is np.ndarray:
        return array
    if is_masked(array):
        raise TypeError(
            f"{name}: masked arrays are not supported: fill the gaps first, {name}.filled(value)"
        )
    if isinstance(array, np.ndarray):
        return np.asarray(array)
    for backend in loaded_backends():
        if backend.owns(array):
            return backend.to_numpy(array)  # type: ignore[no-any-return]
    refusal = never_read(array, name)
    if refusal is not None:
        raise refusal
    try:
        host = _read(array)
    except (MemoryError, OSError) as error:
        error.add_note(f"{name} is {a_kind(array)}, which was to be read")
        raise
    except Exception as error:  # whatever the code of another library raises
        if isinstance(array, list | tuple):
            _refuse_elements(array, name)
        raise unreadable(array, name, error) from error
    if host.ndim == 0 and host.dtype.kind in "OUST":
        raise no_array(array, name)
    if isinstance(array, list | tuple) and any(map(is_masked, array)):
        _refuse_elements(array, name)
    return host


def _read(thing: object) -> np.ndarray[Any, Any]:
    """Let NumPy read a thing: as it is, or what an array library brings to the CPU first."""
    if hasattr(thing, "__dlpack__") and not hasattr(thing, "__array__"):
        return np.from_dlpack(thing)
    numbers = numbers_of_table(thing)
    if numbers is not None:
        return numbers
    try:
        return np.asarray(thing)
    except (TypeError, RuntimeError):
        import array_api_compat

        if not array_api_compat.is_array_api_obj(thing):
            raise
        try:
            near = array_api_compat.to_device(thing, "cpu")
        except (TypeError, ValueError, RuntimeError, AttributeError):
            near = thing  # not every library calls the host so
        return np.asarray(near)


def _refuse_elements(sequence: Sequence[object], name: str) -> None:
    """Raise what is wrong with the first element that is wrong by itself, or has another shape."""
    shapes = [host_array(one, f"{name}[{i}]").shape for i, one in enumerate(sequence)]
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"{name} is ragged: {name}[0] has shape {shapes[0]} and {name}[{i}] {shape}; an "
                "array needs them alike (NumPy calls it inhomogeneous)"
            )


def to_numpy(array: object) -> np.ndarray[Any, Any]:
    """Bring an array of any backend to the host.

    Parameters
    ----------
    array : array_like
        What `predict`, `gradient` or `params` handed out, on whatever backend; any shape.

    Returns
    -------
    numpy.ndarray
        The same numbers; `array` itself, not a copy, if it is a NumPy array already.

    Raises
    ------
    TypeError
        If `array` is of a library that does not give its numbers to NumPy.
    """
    return host_array(array)


EFFORT = 1 << 16
"""Steps that finding out whether two views have memory in common may take; else it is assumed."""


def views_share_memory(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """Whether two views have memory in common; only their addresses and strides are compared."""
    if not np.may_share_memory(one, other):
        return False
    try:
        return np.shares_memory(one, other, max_work=EFFORT)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
