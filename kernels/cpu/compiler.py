"""How the kernels are compiled.

``fastmath`` stays off: it would let the compiler assume that there is no NaN and no infinity, and
a network that has diverged must look diverged. ``error_model="numpy"`` makes a division by zero
give infinity or NaN, as in NumPy. ``parallel`` stays off: see `fastnn.kernels.cpu.barrier`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from fastnn.kernels.cpu.machine_code import Store, cache_directory, keep_machine_code
from fastnn.kernels.cpu.machine_code.compiling import seconds_compiling
from numba.core.dispatcher import Dispatcher
from numba.extending import overload

__all__ = ["chosen_by_type", "inline_kernel", "kernel", "seconds_compiling"]

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS = {"nogil": True, "error_model": "numpy"}

_store = Store(cache_directory)


def kernel(function: Function) -> Function:
    """Compile `function` when it is first called; keep the machine code on disk."""
    dispatcher = numba.njit(**OPTIONS)(function)
    if isinstance(dispatcher, Dispatcher):  # it is the function where NUMBA_DISABLE_JIT is set
        keep_machine_code(dispatcher, _store)
    return dispatcher  # type: ignore[no-any-return]


def chosen_by_type(function: Callable[..., Any]) -> Callable[[Function], Function]:
    """Have what is decorated give, from the types of its arguments, what `function` is in a kernel.

    It is compiled into every kernel that calls `function`, as an `inline_kernel` is.
    """
    options = {"forceinline": True, **OPTIONS}
    return overload(function, jit_options=options, strict=False)  # type: ignore[no-any-return]


def inline_kernel(function: Function) -> Function:
    """Compile `function` into every kernel that calls it, as if it were written there."""
    return numba.njit(forceinline=True, **OPTIONS)(function)  # type: ignore[no-any-return]
