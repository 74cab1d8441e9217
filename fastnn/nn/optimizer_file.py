"""The state of an optimizer on disk, beside the network that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from fastnn.backends.arrays import to_numpy
from fastnn.checks import LARGEST_COUNT
from fastnn.errors import CorruptFileError
from fastnn.nn.file_kinds import OPTIMIZER
from fastnn.nn.storage import read_arrays, write_arrays
from fastnn.nn.tensor_file import DTYPES, HostArrays

SAVED = {dtype.name for dtype in DTYPES.values()}

State = Mapping[str, Mapping[str, Any]]
"""Arrays by the name of the state, and by that of the parameter."""


def write_optimizer(path: str | PathLike[str], kind: str, steps: int, state: State) -> None:
    """Write the state of an optimizer of this kind after so many steps."""
    arrays = arrays_of(state)
    described = {"optimizer": kind, "state": list(state), "iter": int(steps)}
    write_arrays(path, arrays, OPTIMIZER, described, "the optimizer")


def arrays_of(state: State) -> HostArrays:
    """Give the arrays of a state on the host, by one name each: "v:W1".

    Raises
    ------
    TypeError
        If one is of another dtype than float32 and float64, or its parameter's name is no text.
    """
    return {
        f"{each}:{name}": _on_host(array, f"{each}[{name!r}]", name)
        for each, by_name in state.items()
        for name, array in by_name.items()
    }


def _on_host(array: Any, what: str, name: object) -> np.ndarray[Any, Any]:
    host = np.asarray(to_numpy(array))
    if not isinstance(name, str) or host.dtype.name not in SAVED:
        raise TypeError(
            f"{what} is of {host.dtype.name}: a file holds float32 and float64, by names that are "
            "text; pickle the optimizer instead"
        )
    return np.asarray(host, dtype=host.dtype.newbyteorder("="), order="C")


def read_optimizer(
    path: str | PathLike[str], kind: str, names: tuple[str, ...]
) -> tuple[int, dict[str, HostArrays]]:
    """Read the steps taken, and the state, of an optimizer of this kind.

    Raises
    ------
    OSError, CorruptFileError
        As of `fastnn.nn.storage.read_network`.
    ValueError
        If it is the state of another optimizer.
    """
    arrays, described = read_arrays(path, OPTIMIZER, _is_description, "which optimizer it holds")
    if (described["optimizer"], tuple(described["state"])) != (kind, names):
        raise ValueError(
            f"{path} holds the state {described['state']} of {described['optimizer']}, and this "
            f"optimizer is {kind}, with {list(names)}"
        )
    return described["iter"], state_from(arrays, path, kind, names)


def state_from(
    arrays: HostArrays, path: str | PathLike[str], kind: str, names: tuple[str, ...]
) -> dict[str, HostArrays]:
    """Give the state that `arrays_of` has given the arrays of.

    Raises
    ------
    CorruptFileError
        If one is of no state that an optimizer of this kind has.
    """
    state: dict[str, HostArrays] = {each: {} for each in names}
    for key, array in arrays.items():
        each, colon, name = key.partition(":")
        if not colon or each not in state:
            raise CorruptFileError(f"{path} holds {key!r}, which is no state of {kind}")
        state[each][name] = array
    return state


def _is_description(described: dict[str, Any]) -> bool:
    if set(described) != {"optimizer", "state", "iter"}:
        return False
    names, steps = described["state"], described["iter"]
    return (
        isinstance(described["optimizer"], str)
        and isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        and type(steps) is int
        and 0 <= steps <= LARGEST_COUNT
    )
