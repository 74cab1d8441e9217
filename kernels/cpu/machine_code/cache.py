"""What Numba asks of a cache, answered from files of our own."""

from __future__ import annotations

import gc
import hashlib
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
from fastnn.kernels.cpu.machine_code.compiling import clock
from fastnn.kernels.cpu.machine_code.files import Store
from fastnn.kernels.cpu.machine_code.symbols import names_called, prepare
from numba.core.caching import CompileResultCacheImpl, _Cache
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.serialize import dumps

from fastnn.system.uninterrupted import uninterrupted

LONGEST_START = 30
"""Characters of a file's name before the digest, which alone tells one file from another.

Windows takes paths of up to 259 characters."""


class KernelCache(_Cache):  # type: ignore[misc]
    """The machine code of one kernel, as Numba's dispatchers ask for it and hand it in."""

    def __init__(self, function: Any, store: Store) -> None:
        self._function = function
        self._store = store
        self._checks = _Checks(function)
        self._prefix = _start_of_name(function)
        self._enabled = True

    @property
    def cache_path(self) -> str | None:
        """The directory of the files; None if nothing can be kept there."""
        return str(self._store.directory) if self._store.keeps else None

    def enable(self) -> None:
        """Load and save from now on."""
        self._enabled = True

    def disable(self) -> None:
        """Neither load nor save from now on."""
        self._enabled = False

    def flush(self) -> None:
        """Remove what is kept of this kernel."""
        self._store.remove(f"{self._prefix}-")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load the code for a signature; None if it has to be compiled.

        In that case its lock is held, so that other processes wait. See `keep_machine_code`.
        """
        target_context.refresh()  # as Numba's own cache does
        if not self._enabled or self._store.locks is None:
            return None
        key = self._key(sig, target_context.codegen())
        name = self._name(key)

        def rebuild(body: bytes) -> Any:
            saved_key, called, payload = pickle.loads(body)
            if saved_key != key:
                raise ValueError("it is for other arguments")
            prepare(called)
            return CompileResult._rebuild(target_context, *payload)

        def has_come() -> bool:
            return self._store.state(name) not in (None, seen)

        seen = self._store.state(name)
        found = self._store.load(name, rebuild)
        if found is None:
            self._store.locks.take(name, has_come)
            if has_come():
                found = self._store.load(name, rebuild)
        return found

    def save_overload(self, sig: Any, compiled: Any) -> None:
        """Keep what was compiled for a signature."""
        if self._enabled and self._store.directory and self._checks.check_cachable(compiled):
            key, called = self._key(sig, compiled.codegen), names_called(compiled.library)
            self._store.save(self._name(key), lambda: dumps((key, called, compiled._reduce())))

    def name_of(self, sig: Any, codegen: Any) -> str:
        """Name the code for a signature, alike in all processes that run on such a processor."""
        return self._name(self._key(sig, codegen))

    def _key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        """What the machine code depends on, besides the text of all kernels."""
        function = self._function
        closure = tuple(cell.cell_contents for cell in function.__closure__ or ())
        return (
            numba.__version__,
            f"{sys.implementation.cache_tag}{getattr(sys, 'abiflags', '')}",
            f"{function.__module__}.{function.__qualname__}:{function.__code__.co_firstlineno}",
            hashlib.sha256(function.__code__.co_code + dumps(closure)).hexdigest(),
            sig,
            codegen.magic_tuple(),
        )

    def _name(self, key: tuple[Any, ...]) -> str:
        return f"{self._prefix}-{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.nbc"


def keep_machine_code(dispatcher: Any, store: Store) -> None:
    """Make a dispatcher load its machine code from a store, and save it there.

    What it locked to compile is released when it has, whether that succeeded or not: Numba tells
    its cache of success only.
    """
    compile_anew = dispatcher.compile

    def compile_locked(sig: Any) -> Any:
        whole, unlocked = clock.around(), store.unlocked_at_the_end()
        with uninterrupted(), global_compiler_lock, whole, _nothing_collected(), unlocked:
            return compile_anew(sig)

    dispatcher._cache = KernelCache(dispatcher.py_func, store)
    dispatcher.compile = compile_locked


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep Python from looking for garbage, which takes a tenth of the time to compile."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _start_of_name(function: Any) -> str:
    """Name a function, for people, in so many characters that Windows takes the whole path."""
    whole = f"{function.__module__}.{function.__qualname__}".removeprefix("fastnn.kernels.cpu.")
    return "".join(c for c in whole if c.isalnum() or c in "._")[-LONGEST_START:]


class _Checks(CompileResultCacheImpl):  # type: ignore[misc]
    """Numba's rules for what may be kept, without its search for a place to keep it in."""

    def __init__(self, function: Any) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._py_file = function.__code__.co_filename
        self._locator = self
