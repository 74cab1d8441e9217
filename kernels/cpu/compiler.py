"""How the kernels are compiled.

``fastmath`` stays off: it would let the compiler assume that there is no NaN and no infinity, and
a network that has diverged must look diverged. ``error_model="numpy"`` makes a division by zero
give infinity or NaN, as in NumPy. ``parallel`` stays off: see `fastnn.kernels.cpu.barrier`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from fastnn.kernels.cpu.machine_code import Store, cache_directory, keep_machine_code, symbols
from fastnn.kernels.cpu.machine_code.compiling import seconds_compiling
from numba.core.imputils import user_function
from numba.extending import intrinsic, overload

__all__ = ["chosen_by_type", "inline_kernel", "inner_kernel", "kernel", "seconds_compiling"]

Function = TypeVar("Function", bound=Callable[..., Any])

FOR_KERNELS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
OPTIONS = {"nogil": True, "error_model": "numpy"}

_store = Store(cache_directory)


def kernel(function: Function) -> Function:
    """Compile `function` when it is first called, from Python; keep the machine code on disk."""
    if numba.config.DISABLE_JIT:
        return function
    dispatcher: Any = numba.njit(**OPTIONS)(function)
    keep_machine_code(dispatcher, _store)
    return dispatcher  # type: ignore[no-any-return]


def inner_kernel(function: Function) -> Function:
    """Compile `function` for itself, once, for other kernels to call; keep its machine code, too.

    See `fastnn.kernels.cpu.machine_code.symbols`. Python cannot call it.
    """
    if numba.config.DISABLE_JIT:
        return function
    dispatcher: Any = numba.njit(**FOR_KERNELS, **OPTIONS)(function)
    keep_machine_code(dispatcher, _store)

    def compile_for(types: tuple[Any, ...]) -> Any:
        dispatcher.compile(types)
        compiled = dispatcher.overloads[types]
        name = dispatcher._cache.name_of(types, compiled.codegen)
        return compiled.signature, symbols.make_known(name, function, types, compiled)

    def call(types: tuple[Any, ...]) -> Any:
        signature, described = compile_for(types)
        return signature, user_function(described, ())

    symbols.register(function, compile_for)
    return _called_as(function, call)


def inline_kernel(function: Function) -> Function:
    """Compile `function` into every kernel that calls it, as if it were written there.

    Python cannot call it.
    """
    if numba.config.DISABLE_JIT:
        return function
    dispatcher: Any = numba.njit(forceinline=True, **FOR_KERNELS, **OPTIONS)(function)

    def call(types: tuple[Any, ...]) -> Any:
        dispatcher.compile(types)
        compiled = dispatcher.overloads[types]
        return compiled.signature, user_function(compiled.fndesc, [compiled.library])

    return _called_as(function, call)


def chosen_by_type(function: Callable[..., Any]) -> Callable[[Function], Function]:
    """Have what is decorated give, from the types of its arguments, what `function` is in a kernel.

    It is compiled into every kernel that calls `function`, as an `inline_kernel` is.
    """
    options = {"forceinline": True, **OPTIONS}
    return overload(function, jit_options=options, strict=False)  # type: ignore[no-any-return]


def _called_as(function: Function, call: Callable[[tuple[Any, ...]], Any]) -> Function:
    """Make an intrinsic that is called as `function` is, from what `call` gives for the types."""
    takes = inspect.signature(function)

    def typed(typingctx: Any, *types: Any, **named: Any) -> Any:
        return call(takes.bind(*types, **named).args)

    functools.update_wrapper(typed, function)
    context = inspect.Parameter("typingctx", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    typed.__signature__ = takes.replace(  # type: ignore[attr-defined]
        parameters=[context, *takes.parameters.values()]
    )
    return intrinsic(typed)  # type: ignore[no-any-return]
