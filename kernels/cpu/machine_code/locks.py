"""Locks between processes, so that those that start together do not all compile the same kernel.

Nothing is wrong without them: every file of machine code is written by itself, and put in place as
a whole. So where the system has no such locks, or one is held for too long (by a process that was
stopped, say), it goes on without.

A lock is one byte of one file, which the system locks for a process (POSIX record locks, or
``msvcrt.locking``). Such a lock ends with its process, whatever becomes of that, and a process that
is forked off does not inherit it. All locks of a process go when it closes the file anywhere, which
is why there is one file, opened once.

Kernels call each other, so a process may wait for one lock while it holds others. Those are of the
kernel's callers, and no kernel is a caller of its own caller: nobody waits in a circle.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastnn.kernels.cpu.machine_code import compiling

from fastnn.system.standard_streams import say
from fastnn.system.uninterrupted import let_interruption_through

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]
    import msvcrt

LONGEST_WAIT = 45.0
"""Seconds after which a process no longer waits for others, but compiles by itself."""

SECONDS_BETWEEN_TRIES = 0.02
SECONDS_BEFORE_WORDS = 0.3


class ProcessLocks:
    """Locks by name among processes that use the same file; for one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._held: list[int] = []
        self._process = os.getpid()
        self._patient = True
        self._told = False

    @contextmanager
    def released_at_the_end(self) -> Iterator[None]:
        """Release what was taken in the body of the ``with`` statement, however it ends."""
        before = len(self._held)
        try:
            yield
        finally:
            if self._process == os.getpid():
                while len(self._held) > before:
                    _unlock(self._file, self._held.pop())
            if not self._held:
                self._close()

    def take(self, name: str, come: Callable[[], bool]) -> None:
        """Take a lock, or wait until another process has done what it was taken for.

        Where that cannot or could not do it (it was killed, or the disk is full), nobody waits any
        longer: one after the other they would all wait in vain.

        Parameters
        ----------
        name : str
            Of the lock.
        come : callable
            Whether what is waited for is there.
        """
        if self._process != os.getpid():  # forked off: what is held is held by the parent
            self._held.clear()
            self._close()
            self._process = os.getpid()
        byte = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 2
        if byte in self._held:
            return
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            if self._taken(byte):
                self._held.append(byte)
            elif self._patient:
                self._wait_for(byte, come)
        except OSError:  # no locks here, or a directory that may only be read
            pass
        if not self._held:
            self._close()

    def _wait_for(self, byte: int, come: Callable[[], bool]) -> None:
        began = time.monotonic()
        with compiling.clock:
            while not come():
                let_interruption_through()
                waited = time.monotonic() - began
                if waited > LONGEST_WAIT or self._taken(byte):
                    _unlock(self._file, byte)
                    self._patient = come()
                    return
                if waited > SECONDS_BEFORE_WORDS and not self._told:
                    self._told = True
                    say(
                        "fastnn: waiting for another process that compiles the same kernels",
                        sys.stderr,
                    )
                time.sleep(SECONDS_BETWEEN_TRIES)

    def _taken(self, byte: int) -> bool:
        assert self._file is not None
        try:
            _lock(self._file, byte)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):  # another process has it
                return False
            raise
        return True

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None


def _lock(file: int, byte: int) -> None:
    if fcntl is not None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    else:
        os.lseek(file, byte, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)


def _unlock(file: int | None, byte: int) -> None:
    if file is None:
        return
    with suppress(OSError):
        if fcntl is not None:
            fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)
        else:
            os.lseek(file, byte, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
