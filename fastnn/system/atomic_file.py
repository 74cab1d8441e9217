"""Writing a file so that whoever reads it finds the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path

from fastnn.system.regular_file import kind_of

if sys.platform != "win32":
    import fcntl

TEMPORARY = re.compile(r"\.fastnn-[0-9a-f]{16}")
ATTEMPTS = 8
SECONDS_UNTIL_CLOSED = 1.0
NO_WAITING = getattr(os, "O_NONBLOCK", 0)


def write_atomically(path: Path, content: bytes, failed: str) -> None:
    """Write beside `path`, then rename: `path` is the old file or the new one, never a part.

    What killed processes have left in the directory is removed first. A link stays one, and the
    file that it leads to is replaced; the permissions of an old file are kept. A device, or a pipe
    that somebody reads from, is written to as it is.

    Parameters
    ----------
    path : Path
    content : bytes
    failed : str
        What an error begins with, such as "the network was not saved".

    Raises
    ------
    OSError
        If that is not possible; the old file is as it was, and nothing is left beside it.
    """
    with _told(path, failed):
        _write(Path(os.path.realpath(path)), content)


def check_directory_of(path: Path, failed: str) -> None:
    """Raise what `write_atomically` would, before there is a content, if there is no directory."""
    with _told(path, failed):
        _check_directory_of(Path(os.path.realpath(path)))


@contextlib.contextmanager
def _told(path: Path, failed: str) -> Iterator[None]:
    """Let errors say what they mean for whoever named the path."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{failed}: {error.strerror}", str(path)) from error


def _check_directory_of(target: Path) -> None:
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no directory {target.parent}")


def _write(target: Path, content: bytes) -> None:
    try:
        old = target.stat()
    except FileNotFoundError:
        old = None
    _check_directory_of(target)
    if old is not None and stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(errno.EISDIR, "this is a directory: name a file in it")
    kind = None if old is None else kind_of(old)
    if kind is not None:
        _write_into(target, kind, content)
        return
    remove_leftovers(target.parent)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _replace(target, content, old)
            return
        except FileNotFoundError:
            # Somebody took the temporary file for a dead one, where locks do not hold: a file
            # system that several machines share may be so. Or the directory is gone.
            if attempt == ATTEMPTS or not target.parent.is_dir():
                raise


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files of processes that have ended while they were writing.

    A process that lives holds a lock on its file, which ends with it however it ends: its number
    would tell less, for numbers are used again, and other machines have other processes.
    """
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if TEMPORARY.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_dead(Path(entry.path))


def _replace(target: Path, content: bytes, old: os.stat_result | None) -> None:
    temporary, file = _temporary_file(target.parent)
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform != "win32":
                if old is not None:
                    temporary.chmod(old.st_mode & 0o777)
                temporary.replace(target)  # while the lock is held
        if sys.platform == "win32":  # no open file has its name changed, or is removed, there
            _replace_when_closed(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_directory(target.parent)


def _replace_when_closed(temporary: Path, target: Path) -> None:
    """Rename a file on Windows, where what watches for viruses has new files open for moments.

    Another process that reads `target`, or maps it, may be done soon, too.
    """
    end = time.monotonic() + SECONDS_UNTIL_CLOSED
    while True:
        try:
            temporary.replace(target)
            return
        except PermissionError:
            never = target.is_dir() or (target.exists() and not os.access(target, os.W_OK))
            if never or time.monotonic() > end:
                raise
        time.sleep(0.02)


def _temporary_file(directory: Path) -> tuple[Path, BufferedWriter]:
    """Make a file, and lock it, so that nobody takes it for that of a dead process."""
    while True:
        path = directory / f".fastnn-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags, 0o666), "wb")
        _lock(file.fileno())
        if os.fstat(file.fileno()).st_nlink > 0:  # nobody was quicker than the lock
            return path, file
        file.close()


def _remove_dead(path: Path) -> None:
    """Remove a temporary file of this user that no process has locked, or has open on Windows."""
    if sys.platform == "win32":
        if stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
        return
    access = os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY
    descriptor = os.open(path, access | NO_WAITING | getattr(os, "O_NOFOLLOW", 0))
    try:
        status = os.fstat(descriptor)
        mine = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
        if stat.S_ISREG(status.st_mode) and mine and _lock(descriptor):
            path.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a file until it is closed; False if another has it, or the file system has no locks."""
    if sys.platform == "win32":
        return True  # what is open cannot be removed there, so that no lock is needed
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _write_into(target: Path, kind: str, content: bytes) -> None:
    """Write to a device, or to a pipe from which somebody reads; without a reader nothing waits."""
    if not target.is_char_device() and not target.is_fifo():
        raise OSError(errno.EINVAL, f"this is {kind}, not a regular file")
    try:
        descriptor = os.open(target, os.O_WRONLY | NO_WAITING | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, f"this is {kind}, and nobody reads from it") from error
        raise
    if NO_WAITING:
        os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _sync_directory(directory: Path) -> None:
    """Bring the new name to the disk, too, where directories can be opened and have that."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES):
            raise
    finally:
        os.close(descriptor)
