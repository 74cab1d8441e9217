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
from fastnn.kernels.cpu.machine_code import (
    Store,
    cache_directory,
    filled_directories,
    keep_machine_code,
    symbols,
)
from fastnn.kernels.cpu.machine_code.compiling import seconds_compiling
from fastnn.kernels.cpu.machine_code.passes import KernelCompiler, PieceCompiler
from numba import types
from numba.core.imputils import user_function
from numba.core.targetconfig import ConfigStack
from numba.core.typing.templates import infer, infer_global, make_intrinsic_template
from numba.extending import intrinsic

__all__ = [
    "allocating_kernel",
    "chosen_by_type",
    "inline_kernel",
    "inner_kernel",
    "kernel",
    "seconds_compiling",
]

Function = TypeVar("Function", bound=Callable[..., Any])
Signature = tuple[Any, ...]

OPTIONS = {"nogil": True, "error_model": "numpy"}
FOR_KERNELS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **OPTIONS}

_store = Store(cache_directory, filled_directories)


def kernel(function: Function) -> Function:
    """Compile `function` when it is first called, from Python; keep the machine code on disk.

    References to arrays are not counted in it: it is handed all memory that it needs.
    """
    return _called_from_python(function, counts_references=False)


def allocating_kernel(function: Function) -> Function:
    """Compile `function` as `kernel` does; it may make arrays."""
    return _called_from_python(function, counts_references=True)


def _called_from_python(function: Function, counts_references: bool) -> Function:
    if numba.config.DISABLE_JIT:
        return function
    options = {"_nrt": counts_references, "pipeline_class": KernelCompiler, **OPTIONS}
    dispatcher: Any = numba.njit(**options)(function)
    keep_machine_code(dispatcher, _store)
    return dispatcher  # type: ignore[no-any-return]


def inner_kernel(function: Function) -> Function:
    """Compile `function` for itself, once, for other kernels to call; keep its machine code, too.

    See `fastnn.kernels.cpu.machine_code.symbols`. It makes no array and gives none. Python cannot
    call it.
    """
    if numba.config.DISABLE_JIT:
        return function
    options = {"_nrt": False, "pipeline_class": KernelCompiler, **FOR_KERNELS}
    dispatcher: Any = numba.njit(**options)(function)
    keep_machine_code(dispatcher, _store)

    def compile_for(arguments: Signature) -> Any:
        dispatcher.compile(arguments)
        compiled = dispatcher.overloads[arguments]
        name = dispatcher._cache.name_of(arguments, compiled.codegen)
        return compiled.signature, symbols.make_known(name, function, arguments, compiled)

    def call(arguments: Signature) -> Any:
        signature, described = compile_for(arguments)
        return signature, user_function(described, ())

    symbols.register(function, compile_for)
    return intrinsic(_called_as(function, call))  # type: ignore[no-any-return]


def inline_kernel(function: Function) -> Function:
    """Compile `function` into every kernel that calls it, as if it were written there.

    Python cannot call it.
    """
    if numba.config.DISABLE_JIT:
        return function
    compile_for = _piece(function)
    return intrinsic(_called_as(function, compile_for))  # type: ignore[no-any-return]


def chosen_by_type(function: Callable[..., Any]) -> Callable[[Function], Function]:
    """Have what is decorated give, from the types of its arguments, what `function` is in a kernel.

    It is compiled into every kernel that calls `function`, as an `inline_kernel` is.
    """

    def choose_by(choose: Function) -> Function:
        pieces: dict[Any, Any] = {}

        def call(arguments: Signature) -> Any:
            chosen = choose(*arguments)
            if chosen not in pieces:
                pieces[chosen] = _piece(chosen)
            return pieces[chosen](arguments)

        template = make_intrinsic_template(function, _called_as(function, call), function.__name__)
        infer(template)
        infer_global(function, types.Function(template))
        return choose

    return choose_by


def _piece(function: Callable[..., Any]) -> Callable[[Signature], Any]:
    """Give what compiles a piece for given types, once for each way to hold arrays."""
    compiled: dict[Any, Any] = {}

    def compile_for(arguments: Signature) -> Any:
        counts_references = ConfigStack().top().nrt
        key = counts_references, arguments
        if key not in compiled:
            options = {"_nrt": counts_references, "forceinline": True, **FOR_KERNELS}
            dispatcher = numba.njit(pipeline_class=PieceCompiler, **options)(function)
            compiled[key] = dispatcher._compiler.compile(arguments, None)
        piece = compiled[key]
        return piece.signature, user_function(piece.fndesc, [piece.library])

    return compile_for


def _called_as(function: Callable[..., Any], call: Callable[[Signature], Any]) -> Any:
    """Say, as intrinsics do, what a call of `function` is: what `call` gives for the types.

    Arguments that are gathered with a star are one tuple.
    """
    takes = inspect.signature(function)
    names = takes.parameters.items()

    def typed(typingctx: Any, *arguments: Any, **named: Any) -> Any:
        given = takes.bind(*arguments, **named).arguments
        return call(
            tuple(
                types.StarArgTuple(given.get(name, ()))
                if parameter.kind is parameter.VAR_POSITIONAL
                else given[name]
                for name, parameter in names
            )
        )

    functools.update_wrapper(typed, function)
    context = inspect.Parameter("typingctx", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    typed.__signature__ = takes.replace(  # type: ignore[attr-defined]
        parameters=[context, *takes.parameters.values()]
    )
    return typed
