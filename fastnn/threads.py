"""How many threads fastnn uses on the CPU: one number, for its own kernels and for BLAS."""

from __future__ import annotations

import math
import os
from pathlib import Path

from fastnn.validation import check_count

BLAS_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)
"""Environment variables by which users set the threads of BLAS."""

_chosen: int | None = None


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
    """Give how many threads are used: what was set, or else `default_num_threads`."""
    return default_num_threads() if _chosen is None else _chosen


def default_num_threads() -> int:
    """Count the physical cores that this process may run on.

    The affinity of the process, a quota of its container and ``OMP_NUM_THREADS`` lower it. Two
    threads of one core share its arithmetic units, which a kernel keeps busy alone.
    """
    limits = [_physical_cores(_processors()), _quota(), _environment()]
    return max(1, min(limit for limit in limits if limit is not None))


def _processors() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _physical_cores(processors: set[int]) -> int:
    """How many cores the processors belong to; each is its own where the system does not tell."""
    cores = set()
    for processor in processors:
        siblings = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text())
        except OSError:
            return len(processors)
    return len(cores)


def _quota() -> int | None:
    """Processors that the control group of this process may use; None without a limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, math.ceil(int(quota) / int(period)))


def _environment() -> int | None:
    value = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(value) if value.isdecimal() and int(value) > 0 else None
