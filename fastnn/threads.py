"""How many threads fastnn uses on the CPU: one number, for its own kernels and for BLAS."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastnn.checks import check_count
from fastnn.system.cores import fast_cores

BLAS_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)
"""Environment variables by which users set the threads of BLAS."""

_chosen: int | None = None

_lock = threading.Lock()
_for_now: dict[object, int] = {}
"""What `num_threads` has set, the last one at the end."""
_blas_before: list[Any] = []
"""What restores the threads of BLAS as each of these found them."""


def set_num_threads(threads: int) -> None:
    """Set how many threads training and matrix products use on the CPU.

    Holds for the process: for the compiled kernels of the numba backend from the next `fit` on, and
    for the BLAS libraries that are loaded, NumPy's and others.

    Parameters
    ----------
    threads : int
        At least 1. More than there are cores is allowed, and slower.

    Raises
    ------
    TypeError, ValueError
        If `threads` is no integer, or under 1.
    """
    import threadpoolctl

    global _chosen
    _chosen = check_count(threads, "threads")
    threadpoolctl.ThreadpoolController().select(user_api="blas").limit(limits=_chosen)


@contextmanager
def num_threads(threads: int | None) -> Iterator[None]:
    """Use so many threads in the ``with`` statement, as by `set_num_threads`; None changes nothing.

    It holds for the process: what another thread starts meanwhile has the same number. Of several
    threads that use this at the same time the one that came last decides.
    """
    if threads is None:
        yield
        return
    token, count = object(), check_count(threads, "threads")
    with _lock:
        _blas_before.append(_limit_blas(count))
        _for_now[token] = count
    try:
        yield
    finally:
        with _lock:
            del _for_now[token]
            if _for_now:
                _limit_blas(next(reversed(_for_now.values())))
            else:
                _blas_before[0].restore_original_limits()
                _blas_before.clear()


def _limit_blas(threads: int) -> Any:
    """Set the threads of BLAS; give what restores those from before."""
    import threadpoolctl

    blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
    return blas.limit(limits=threads)


def limit_blas_to_cores() -> None:
    """Lower the threads of BLAS to the default, which it may exceed where a core runs two threads.

    Nothing is changed if they were set, here or in the environment.
    """
    import threadpoolctl

    if _chosen is not None or any(name in os.environ for name in BLAS_VARIABLES):
        return
    pools = threadpoolctl.ThreadpoolController().select(user_api="blas")
    if any(pool["num_threads"] > default_num_threads() for pool in pools.info()):
        pools.limit(limits=default_num_threads())


def get_num_threads() -> int:
    """Give how many threads are used.

    What was set by `set_num_threads`, or else the physical cores that this process may run on. Its
    affinity and ``OMP_NUM_THREADS`` may lower that at any time, and the quota of its container, as
    it was when this was first called.
    """
    for_now = list(_for_now.values())
    if for_now:
        return for_now[-1]
    return default_num_threads() if _chosen is None else _chosen


def default_num_threads() -> int:
    """Count the physical cores that this process may run on, of the fastest kind there are.

    The affinity of the process, a quota of its container and ``OMP_NUM_THREADS`` lower it. Two
    threads of one core share its arithmetic units, which a kernel keeps busy alone; for a core that
    is made to save power all others would wait.
    """
    limits = [fast_cores(frozenset(_processors())), _quota_of_process(), _environment()]
    return max(1, min(limit for limit in limits if limit is not None))


def _processors() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


@cache
def _quota_of_process() -> int | None:
    """Give `_quota`, which reads some ten files, as it was at first: every training asks for it."""
    return _quota()


def _quota(root: Path = Path("/")) -> int | None:
    """Processors that the control groups of this process may use; None without a limit.

    A group is limited by the groups that it is in as well, so all of them are read. In version
    2 of control groups a limit stands in ``cpu.max``, in version 1 in ``cpu.cfs_quota_us`` and
    ``cpu.cfs_period_us`` of the hierarchy of the controller ``cpu``.

    Parameters
    ----------
    root : Path, optional
        Of the file system that is read.
    """
    quotas = [_processors_of(group) for group in _control_groups(root)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _control_groups(root: Path) -> Iterator[Path]:
    """Give the directories of the groups that this process is in, and of those around them."""
    groups = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        groups.update(dict.fromkeys(controllers.split(","), path))
    for controller, top, mounted in _mounts(root):
        group = groups.get(controller, "/")
        if ".." in group.split("/") or not f"{group}/".startswith(top.rstrip("/") + "/"):
            group = top  # a container may be told the host's path, and sees its own group only
        directory = mounted / group[len(top) :].strip("/")
        yield directory
        yield from (parent for parent in directory.parents if parent.is_relative_to(mounted))


def _mounts(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Give the controller ("" in version 2), the topmost group and the directory of hierarchies."""
    found = False
    for line in _lines(root / "proc/self/mountinfo"):
        place, _, system = line.partition(" - ")
        fields, (kind, *options) = place.split(), system.split() or [""]
        controller = "" if kind == "cgroup2" else "cpu"
        if kind == "cgroup2" or (kind == "cgroup" and "cpu" in ",".join(options).split(",")):
            found = True
            yield controller, fields[3], root / fields[4].lstrip("/")
    if not found:
        directory = root / "sys/fs/cgroup"
        yield from [("", "/", directory), ("cpu", "/", directory / "cpu")]
        yield "cpu", "/", directory / "cpu,cpuacct"


def _processors_of(group: Path) -> int | None:
    """Give the limit of one control group, rounded up; None if it has none."""
    limit = " ".join(_lines(group / "cpu.max")) or " ".join(
        [*_lines(group / "cpu.cfs_quota_us"), *_lines(group / "cpu.cfs_period_us")]
    )
    try:
        quota, period = map(int, limit.split())
    except ValueError:  # no such file, or "max" for no limit
        return None
    return max(1, math.ceil(quota / period)) if quota > 0 and period > 0 else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return []


def _environment() -> int | None:
    value = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(value) if value.isdecimal() and int(value) > 0 else None
