"""How the kernels are compiled, and where the machine code is kept.

``fastmath`` stays off: it would let the compiler assume that there is no NaN and no infinity, and
a network that has diverged must look diverged. ``error_model="numpy"`` makes a division by zero
give infinity or NaN, as in NumPy. ``parallel`` stays off: see `fastnn.kernels.cpu.barrier`.

Numba keeps machine code by the source file of a function, its processor and that processor's
features, but it does not see that a function of *another* file, which was compiled into it, has
changed (https://numba.readthedocs.io/en/stable/developer/caching.html). So the code is kept in a
directory named after the text of all kernels.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from fastnn.kernels.cpu.compiling import seconds_compiling
from numba.core import config

__all__ = ["inline_kernel", "kernel", "seconds_compiling"]

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS = {"nogil": True, "error_model": "numpy"}


def kernel(function: Function) -> Function:
    """Compile `function` when it is first called; keep the machine code on disk."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(cache_directory())
    try:
        return numba.njit(cache=True, **OPTIONS)(function)  # type: ignore[no-any-return]
    finally:
        config.CACHE_DIR = before


def inline_kernel(function: Function) -> Function:
    """Compile `function` into every kernel that calls it, as if it were written there."""
    return numba.njit(forceinline=True, **OPTIONS)(function)  # type: ignore[no-any-return]


@cache
def cache_directory() -> Path:
    """Where machine code is kept: the first of `_places` that may be written to.

    It is ``NUMBA_CACHE_DIR`` if that is set, else beside the kernels, else in the user's cache
    directory; where the installation and the home are read-only, among the temporary files.
    """
    name = f"fastnn-{_fingerprint()}"
    for place in _places():
        if _writable(place / name):
            return place / name
    return Path(tempfile.mkdtemp(prefix="fastnn-kernels-"))


def _places() -> Iterator[Path]:
    if config.CACHE_DIR:
        yield Path(config.CACHE_DIR)
    yield Path(__file__).parent / "__pycache__"
    if sys.platform == "win32":
        yield Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        yield Path.home() / "Library" / "Caches"
    else:
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    yield Path(tempfile.gettempdir()) / f"fastnn-kernels-{_user()}"


def _writable(directory: Path) -> bool:
    """Make sure of a directory that this user, and nobody else, may write to."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
        if not hasattr(os, "getuid"):
            return True
        user, root = os.getuid(), 0
        return _trusted(directory, user) and _trusted(directory.parent, user, root)
    except OSError:
        return False


def _trusted(directory: Path, *owners: int) -> bool:
    """Whether only these users can put a file there: what is loaded from there is run.

    Among the temporary files somebody may have been first. Where the sticky bit is set, as it is
    on ``/tmp``, everybody may write but nobody may replace what is another's.
    """
    status = directory.lstat()
    open_to_all = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX
    return stat.S_ISDIR(status.st_mode) and status.st_uid in owners and not open_to_all


def _fingerprint() -> str:
    """Digest of the text of all kernels, and of whether they check bounds."""
    digest = hashlib.sha256(str(config.BOUNDSCHECK).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "user"
