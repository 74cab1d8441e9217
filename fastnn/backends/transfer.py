"""Arrays of any library, brought to the host."""

from __future__ import annotations

from typing import Any

import numpy as np


def host_array(array: object) -> np.ndarray[Any, Any]:
    """Return `array` (of any library, a number, or nested lists) as a plain NumPy array.

    Raises
    ------
    TypeError
        For a masked array, whose hidden values would silently be used, and for an object that
        gives no numbers.
    ValueError
        For ragged lists.
    """
    if type(array) is np.ndarray:
        return array
    if is_masked(array):
        raise TypeError("masked arrays are not supported: fill the gaps first, x.filled(value)")
    if isinstance(array, np.ndarray):
        return np.asarray(array)
    from fastnn.backends.selection import loaded_backends

    for backend in loaded_backends():
        if backend.owns(array):
            return backend.to_numpy(array)
    try:
        return np.asarray(_near(array))
    except (TypeError, RuntimeError) as error:
        kind = f"{type(array).__module__}.{type(array).__qualname__}"
        raise TypeError(
            f"cannot bring a {kind} to the host: {error}; convert it to a NumPy array first"
        ) from error


def is_masked(array: object) -> bool:
    """Whether values of `array` are hidden, which would silently be used."""
    # NumPy imports np.ma when it is first asked for, which a plain array never needs.
    return type(array) is not np.ndarray and isinstance(array, np.ma.MaskedArray)


def _near(array: object) -> object:
    """Bring what an array library has on some device, of no backend that is loaded, to the CPU."""
    import array_api_compat

    if not array_api_compat.is_array_api_obj(array):
        return array
    return array_api_compat.to_device(array, "cpu")


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
