"""The state of a generator of NumPy's, as values for JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

DTYPES = ("uint32", "uint64")


def for_json(state: Any) -> Any:
    """Give the state of a bit generator with lists in the place of arrays."""
    if isinstance(state, Mapping):
        return {str(name): for_json(value) for name, value in state.items()}
    if isinstance(state, np.ndarray):
        return {"dtype": state.dtype.name, "values": state.tolist()}
    return state.item() if isinstance(state, np.generic) else state


def from_json(state: Any) -> Any:
    """Give back what `for_json` was given.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If that was something else.
    """
    if not isinstance(state, dict):
        return state
    if state.keys() == {"dtype", "values"}:
        if state["dtype"] not in DTYPES:
            raise ValueError(f"the dtype {state['dtype']!r} is of no generator")
        return np.array(state["values"], state["dtype"])
    return {name: from_json(value) for name, value in state.items()}


def is_state(state: dict[str, Any]) -> bool:
    """Whether this is the state of one of NumPy's generators: it is tried out on a new one."""
    kind = getattr(np.random, str(state.get("bit_generator")), None)
    if not (isinstance(kind, type) and issubclass(kind, np.random.BitGenerator)):
        return False
    try:
        kind().state = from_json(state)
    except (TypeError, ValueError, KeyError, OverflowError, IndexError):
        return False
    return True
