"""Machine code on disk: a file for each kernel and each kind of arguments, with a digest.

Numba's own cache has an index for each function, which every process reads, changes and writes
without a lock: of processes that start together one loses what another has entered, or, worse, both
enter the same file under different types, and later processes run code for other arrays than they
have. Here a file's name follows from what is in it, so there is nothing to agree about, and each is
written elsewhere first and then put in place as a whole.

Nothing in a file is read before its digest is right. Whatever is wrong with a file or the
directory costs a compilation and one warning, and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from fastnn.kernels.cpu.machine_code.locks import ProcessLocks

from fastnn.errors import KernelCacheWarning
from fastnn.system.regular_file import open_regular
from fastnn.system.standard_streams import warn

FORMAT = b"fastnn machine code 2\n"
LEFT_OVER_SECONDS = 3600
"""Age of an unfinished file from which its process is taken to be dead."""

State = tuple[int, int, int] | None


class Store:
    """The files of machine code in a directory, which only this user writes to.

    Parameters
    ----------
    find : callable
        Gives the directory, or None if there is none; called when it is first needed.
    find_filled : callable, optional
        Gives directories that are read as well, where the first has no such file.
    """

    def __init__(
        self,
        find: Callable[[], Path | None],
        find_filled: Callable[[], Sequence[Path]] = tuple,
    ) -> None:
        self._find, self._find_filled = find, find_filled
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

    @property
    def keeps(self) -> bool:
        """Whether there is a directory that may be written to."""
        return self.directory is not None and os.access(self.directory, os.W_OK)

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
        for directory in (self.directory, *self._find_filled()):
            found = self._load(directory / name, rebuild)
            if found is not None:
                return found
        return None

    def _load(self, path: Path, rebuild: Callable[[bytes], Any]) -> Any:
        try:
            with open_regular(path) as file:
                content = file.read()
            return rebuild(_unsealed(path.name, content))
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
                _put_in_place(unfinished, path)
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
            warn(words, KernelCacheWarning)


def _put_in_place(unfinished: Path, path: Path) -> None:
    """Rename a file, or leave what another process has put there, and is reading, on Windows.

    No open file is replaced there.
    """
    try:
        unfinished.replace(path)
    except PermissionError:
        if sys.platform != "win32" or not path.is_file():
            raise
        unfinished.unlink()


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
