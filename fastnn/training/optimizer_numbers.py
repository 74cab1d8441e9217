"""The numbers that an optimizer was made with, as a checkpoint holds them."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from fastnn.nn.optimizer import Optimizer


def numbers_of(optimizer: Optimizer) -> dict[str, Any]:
    """Give what an optimizer was made with, by the names of its arguments, for JSON.

    A function is described by its name; one of fastnn's schedules by its own numbers.
    """
    names = inspect.signature(type(optimizer)).parameters
    return {
        name: _described(getattr(optimizer, name)) for name in names if hasattr(optimizer, name)
    }


def _described(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    named = value if hasattr(value, "__qualname__") else type(value)
    described: dict[str, Any] = {"of": f"{named.__module__}.{named.__qualname__}"}
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            described[field.name] = _described(getattr(value, field.name))
    return described
