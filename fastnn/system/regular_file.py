"""Opens regular files only: reading a pipe or a device could wait, or go on, for ever."""

from __future__ import annotations

import difflib
import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

KINDS = {
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a disk",
}


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading.

    Raises
    ------
    FileNotFoundError
        The message has the nearest name in that directory.
    OSError
        If it cannot be opened, or is something else: a pipe waits until somebody writes, and
        ``/dev/zero`` has no end.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise _missing(path) from None
    _check_regular(status, path)  # before it is opened: that alone wakes a writer up
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  # the caller closes it
    try:
        _check_regular(os.fstat(file.fileno()), path)
    except OSError:
        file.close()
        raise
    return file


def _missing(path: Path) -> FileNotFoundError:
    parent = path.parent
    if not parent.is_dir():
        return FileNotFoundError(f"there is no file {path}, and no directory {parent}")
    try:
        others = [each.name for each in parent.iterdir() if each.is_file()]
    except OSError:
        others = []
    nearest = difflib.get_close_matches(path.name, others, n=1)
    meant = f" (did you mean {parent / nearest[0]}?)" if nearest else ""
    return FileNotFoundError(f"there is no file {path}{meant}")


def kind_of(status: os.stat_result) -> str | None:
    """Name what is neither a regular file nor a directory; None for those."""
    return KINDS.get(stat.S_IFMT(status.st_mode))


def _check_regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{path} is a directory, and not a file")
    kind = kind_of(status)
    if kind is not None:
        raise OSError(errno.EINVAL, f"this is {kind}, not a regular file", str(path))


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
