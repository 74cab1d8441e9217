"""Machine code on disk: a file for each kernel and each kind of arguments, with a digest.

Numba's own cache has an index for each function, which every process reads, changes and writes
without a lock: of processes that start together one loses what another has entered, or, worse, both
enter the same file under different types, and later processes run code for other arrays than they
have. Here a file's name follows from what is in it, so there is nothing to agree about, and each is
written elsewhere first and then put in place as a whole.

Nothing in a file is looked at before its digest is right. Whatever is wrong with a file or the
directory costs a compilation and one warning, and nothing else.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numba
from fastnn.kernels.cpu import compiling
from fastnn.kernels.cpu.between_processes import ProcessLocks
from numba.core.caching import CompileResultCacheImpl, _Cache
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.serialize import dumps

from fastnn.system.regular_file import open_regular

FORMAT = b"fastnn machine code 1\n"
LEFT_OVER_SECONDS = 3600
"""Age of an unfinished file from which its process is taken to be dead."""

State = tuple[int, int, int] | None


class Store:
    """The files of machine code in a directory, which only this user writes to.

    Parameters
    ----------
    find : callable
        Gives the directory, or None if there is none; called when it is first needed.
    """

    def __init__(self, find: Callable[[], Path | None]) -> None:
        self._find = find
        self._warned = False

    @cached_property
    def directory(self) -> Path | None:
        """Where the files are; None, with a warning, where no directory can be had."""
        directory = self._find()
        if directory is None:
            self._warn(
                "there is no directory to keep compiled kernels in, so each process compiles "
                "anew; set NUMBA_CACHE_DIR to one that you may write to"
            )
        return directory

    @cached_property
    def locks(self) -> ProcessLocks | None:
        """The locks between processes that compile into this directory."""
        return None if self.directory is None else ProcessLocks(self.directory / "locks")

    def unlocked_at_the_end(self) -> AbstractContextManager[None]:
        """Release the locks that were taken in the body of the ``with`` statement."""
        return nullcontext() if self.locks is None else self.locks.released_at_the_end()

    def state(self, name: str) -> State:
        """Tell one version of a file from the next; None if there is none."""
        if self.directory is None:
            return None
        try:
            status = (self.directory / name).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def load(self, name: str, rebuild: Callable[[bytes], Any]) -> Any:
        """Rebuild what was saved under a name; None if nothing was, or it is damaged."""
        if self.directory is None:
            return None
        path = self.directory / name
        try:
            with open_regular(path) as file:
                content = file.read()
            return rebuild(_unsealed(name, content))
        except FileNotFoundError:
            return None
        except Exception as error:
            self._warn(
                f"{path}, which holds a compiled kernel, cannot be used ({_words(error)}) and "
                "is compiled anew, which takes longer"
            )
            return None

    def save(self, name: str, body: Callable[[], bytes]) -> None:
        """Put a file in place as a whole, or leave nothing behind."""
        if self.directory is None:
            return
        path = self.directory / name
        unfinished = path.with_name(f"{uuid.uuid4().hex}.unfinished")
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)  # it may be deleted at any time
            try:
                unfinished.write_bytes(_sealed(name, body()))
                unfinished.replace(path)
            except BaseException:
                with suppress(OSError):
                    unfinished.unlink()
                raise
            self._remove_left_over()
        except Exception as error:
            self._warn(
                f"a compiled kernel cannot be kept as {path} ({_words(error)}), so "
                "the next process compiles it anew"
            )

    def remove(self, prefix: str) -> None:
        """Remove all files whose names begin so."""
        if self.directory is not None:
            for path in self.directory.glob(f"{prefix}*.nbc"):
                path.unlink(missing_ok=True)

    def _remove_left_over(self) -> None:
        """Remove what processes left that were killed while they wrote."""
        assert self.directory is not None
        for path in self.directory.glob("*.unfinished"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFT_OVER_SECONDS:
                    path.unlink()

    def _warn(self, words: str) -> None:
        """Warn, but once: where one file is damaged, or the disk full, others follow."""
        if not self._warned:
            self._warned = True
            compiling.warn(words)


class KernelCache(_Cache):  # type: ignore[misc]
    """The machine code of one kernel, as Numba's dispatchers ask for it and hand it in."""

    def __init__(self, function: Any, store: Store) -> None:
        self._function = function
        self._store = store
        self._checks = _Checks(function)
        module, qualname = function.__module__, function.__qualname__
        self._prefix = "".join(c for c in f"{module}.{qualname}" if c.isalnum() or c in "._")[-80:]
        self._enabled = True

    @property
    def cache_path(self) -> str | None:
        """The directory of the files."""
        directory = self._store.directory
        return None if directory is None else str(directory)

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
            saved_key, payload = pickle.loads(body)
            if saved_key != key:
                raise ValueError("it is for other arguments")
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
            key = self._key(sig, compiled.codegen)
            self._store.save(self._name(key), lambda: dumps((key, compiled._reduce())))

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
        with global_compiler_lock, store.unlocked_at_the_end():
            return compile_anew(sig)

    dispatcher._cache = KernelCache(dispatcher.py_func, store)
    dispatcher.compile = compile_locked


class _Checks(CompileResultCacheImpl):  # type: ignore[misc]
    """Numba's rules for what may be kept, without its search for a place to keep it in."""

    def __init__(self, function: Any) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._py_file = function.__code__.co_filename
        self._locator = self


def _sealed(name: str, body: bytes) -> bytes:
    return FORMAT + _digest(name, body) + body


def _unsealed(name: str, content: bytes) -> bytes:
    """Check the digest and give what follows it; the name counts, too."""
    start = len(FORMAT)
    digest, body = content[start : start + 32], content[start + 32 :]
    if not content.startswith(FORMAT) or digest != _digest(name, body):
        raise ValueError("it was cut short or changed")
    return body


def _digest(name: str, body: bytes) -> bytes:
    digest = hashlib.sha256(name.encode() + b"\0")
    digest.update(body)
    return digest.digest()


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
