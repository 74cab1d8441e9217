"""How the kernels are compiled.

``fastmath`` stays off: it would let the compiler assume that there is no NaN and no infinity, and
a network that has diverged must look diverged. ``error_model="numpy"`` makes a division by zero
give infinity or NaN, as in NumPy. ``parallel`` stays off: see the package's docstring.
"""

from __future__ import annotations

import getpass
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile `function` when it is first called; keep the machine code on disk.

    Numba keeps it beside the source, or in the user's cache directory. Where it may write to
    neither (a read-only installation and home), a directory for temporary files takes its place.
    """
    options = {"cache": True, "nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
    except RuntimeError:
        before, config.CACHE_DIR = config.CACHE_DIR, str(_temporary_cache())
        try:
            return numba.njit(**options)(function)  # type: ignore[no-any-return]
        finally:
            config.CACHE_DIR = before


def inline_kernel(function: Function) -> Function:
    """Compile `function` into every kernel that calls it, as if it were written there."""
    options = {"nogil": True, "error_model": "numpy", "forceinline": True}
    return numba.njit(**options)(function)  # type: ignore[no-any-return]


def _temporary_cache() -> Path:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "user"
    return Path(tempfile.gettempdir()) / f"fastnn-kernels-{user}"
