"""Methods of networks that need more than `nn` knows, such as what `fit` runs where.

A room imports only from those below it, and a user looks for `summary` on the network. So the room
that can do it provides the function, where the rooms meet, in ``fastnn/__init__.py``; the method of
that name calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_functions: dict[str, Callable[..., Any]] = {}


def provide(method: str, function: Callable[..., Any]) -> None:
    """Say what a method of networks calls: a function that takes the network first."""
    _functions[method] = function


def provided(method: str) -> Callable[..., Any]:
    """Give the function that a method of networks calls."""
    return _functions[method]
