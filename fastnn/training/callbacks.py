"""Callbacks of `fit`: what they are, and what they may return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastnn.nn.sequential import Sequential
from fastnn.training.history import History
from fastnn.wording import shown

Callback = Callable[[Sequential, History], object]
"""Called after each epoch. It may change the parameters and the optimizer's learning rate; if it
returns what is true, training ends."""


def check_callbacks(callbacks: object) -> Sequence[Callback]:
    if not isinstance(callbacks, Iterable) or not all(map(callable, some := tuple(callbacks))):
        raise TypeError(
            f"callbacks must be a list of functions of (network, history), got {shown(callbacks)}"
        )
    return some


def is_true(callback: Callback, result: Any) -> bool:
    """Whether what a callback returned means that training is to end."""
    try:
        return bool(result)
    except ValueError as error:  # an array of several entries
        name = getattr(callback, "__name__", type(callback).__name__)
        raise TypeError(
            f"callback {name} returned a {type(result).__name__} that is neither true nor false "
            f"({error}): return True to end the training, else None"
        ) from error
