"""Where machine code is kept: directories that nobody else may write to.

Numba keeps machine code by the function, the types of its arguments, the processor and its
features. That does not tell whether another function, which was compiled into it, has changed. So
it is kept in a directory named after the text of all kernels.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from numba.core import config

from fastnn.system.user_cache import user_cache

KERNELS = Path(__file__).parents[2]
"""The sources of all kernels, and of what those on the CPU share with others."""


@cache
def cache_directory() -> Path | None:
    """Where machine code is kept: the first of `_places` that may be written to.

    It is ``NUMBA_CACHE_DIR`` if that is set, else in the user's cache directory; where the home is
    read-only, among the temporary files. If none may be written to, it is the first that was filled
    before and may be read; None without any. It is not among the installed files: pip would leave
    there what it has not brought, and ``import fastnn`` would find an empty package.
    """
    name = f"fastnn-{_fingerprint()}"
    candidates = [place / name for place in _places()]
    return next(filter(_writable, candidates), None) or next(filter(_readable, candidates), None)


@cache
def filled_directories() -> tuple[Path, ...]:
    """Where machine code may be read besides: `_places` that somebody trusted has filled.

    This user may not write there. So it is where an administrator sets ``NUMBA_CACHE_DIR`` for all
    users, runs ``fastnn warmup --shared``, and lets nobody else write.
    """
    name = f"fastnn-{_fingerprint()}"
    own = cache_directory()
    candidates = [place / name for place in _places()]
    others = [each for each in candidates if each != own and not _takes_files(each)]
    return tuple(filter(_readable, others))


def share(directory: Path) -> None:
    """Let all users read the machine code in a directory.

    Raises
    ------
    OSError
        If they cannot be let: it is somebody else's.
    """
    directory.chmod(0o755)
    for path in directory.glob("*.nbc"):
        path.chmod(0o644)


def _places() -> Iterator[Path]:
    if config.CACHE_DIR:
        yield Path(config.CACHE_DIR)
    with suppress(RuntimeError):  # a user without a home
        yield user_cache()
    with suppress(OSError):  # no directory for temporary files
        yield Path(tempfile.gettempdir()) / f"fastnn-kernels-{_user()}"


def _writable(directory: Path) -> bool:
    """Make sure of a directory that this user, and nobody else, may write to."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _takes_files(directory) and _private(directory)
    except OSError:
        return False


def _takes_files(directory: Path) -> bool:
    """Whether this user can make files in a directory, which is tried.

    On Windows `os.access` knows nothing of access lists. Nor does `tempfile`, which goes on with
    another name there, for hours (https://github.com/python/cpython/issues/66305).
    """
    probe = directory / f"{uuid.uuid4().hex}.unfinished"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError:
        return False
    return True


def _readable(directory: Path) -> bool:
    """Whether a directory is there that this user or root has filled, and nobody else."""
    try:
        return os.access(directory, os.R_OK | os.X_OK) and _private(directory, 0)
    except OSError:
        return False


def _private(directory: Path, *others: int) -> bool:
    """Whether only this user, and `others`, can put files there or the directory itself."""
    if not hasattr(os, "getuid"):
        return True
    user, root = os.getuid(), 0
    status = directory.lstat()
    open_to_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return (
        not open_to_others
        and _is_directory_of(status, user, *others)
        and _keeps_names(directory.parent, user, root)
    )


def _is_directory_of(status: os.stat_result, *owners: int) -> bool:
    return stat.S_ISDIR(status.st_mode) and status.st_uid in owners


def _keeps_names(directory: Path, *owners: int) -> bool:
    """Whether only these users can replace what is in a directory: what is loaded is run.

    Among the temporary files somebody may have been first. Where the sticky bit is set, as it is
    on ``/tmp``, everybody may write but nobody may replace what is another's.
    """
    status = directory.lstat()
    open_to_all = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX
    return _is_directory_of(status, *owners) and not open_to_all


def _fingerprint() -> str:
    """Digest of the text of all kernels, and of whether they check bounds."""
    digest = hashlib.sha256(str(config.BOUNDSCHECK).encode())
    for source in sorted(KERNELS.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _user() -> str:
    """Number of the user, who may have no name; where there are no numbers, the name."""
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
