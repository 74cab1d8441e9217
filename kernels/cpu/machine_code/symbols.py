"""Kernels that other kernels call by name, as a linker resolves it.

Numba copies the code of whatever a kernel calls into it, optimises it there once more, and so on
up to the outermost one: a kernel that is called through five others is compiled six times. A kernel
here is compiled once, for itself, and its address is made known to LLVM under a name; the code that
calls it has the name only. That name is the one of the file with its machine code, so it is the
same in every process, and `names_called` says, as the table of undefined symbols in an object file
does, what must be known before that code is loaded.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any

import llvmlite.binding

Symbol = tuple[str, str, tuple[Any, ...]]
"""The module of a kernel, its name there, and the types of its arguments."""

_compilers: dict[tuple[str, str], Callable[[tuple[Any, ...]], Any]] = {}
_known: dict[str, tuple[Symbol, Any]] = {}
"""By name; and the library of the code, which must not go while other code may call it."""


def register(function: Any, compile_for: Callable[[tuple[Any, ...]], Any]) -> None:
    """Say what compiles or loads the code of a function, and makes it known, for given types."""
    _compilers[function.__module__, function.__qualname__] = compile_for


def make_known(name: str, function: Any, types: tuple[Any, ...], compiled: Any) -> Any:
    """Make the machine code of a function known under a name; give how to declare it elsewhere."""
    described = copy.copy(compiled.fndesc)
    if name not in _known:
        address = compiled.library.get_pointer_to_function(described.llvm_func_name)
        llvmlite.binding.add_symbol(name, address)
        _known[name] = (function.__module__, function.__qualname__, types), compiled.library
    described.mangled_name = name
    return described


def names_called(library: Any) -> list[Symbol]:
    """Tell what the code of a library calls by name."""
    functions = library._final_module.functions
    return [_known[f.name][0] for f in functions if f.is_declaration and f.name in _known]


def prepare(symbols: list[Symbol]) -> None:
    """Compile or load what some code calls by name, before that code is loaded."""
    for module, name, types in symbols:
        importlib.import_module(module)
        _compilers[module, name](types)
