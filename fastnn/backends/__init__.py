"""Backends: their specification, their selection, and one file for each."""

from fastnn.backends.arrays import to_numpy
from fastnn.backends.base import Backend, BackendInfo
from fastnn.backends.selection import (
    available_backends,
    get_backend,
    set_backend,
    use_backend,
)

__all__ = [
    "Backend",
    "BackendInfo",
    "available_backends",
    "get_backend",
    "set_backend",
    "to_numpy",
    "use_backend",
]
