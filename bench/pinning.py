"""Processes held to some cores, with as many threads; set before any library is imported.

Only Linux holds a process to cores. Elsewhere it has as many threads, wherever they run.
"""

from __future__ import annotations

import os
from typing import Any

LIBRARIES = ("OPENBLAS", "OMP", "MKL", "BLIS", "NUMBA", "VECLIB_MAXIMUM")


def usable_processors() -> list[int]:
    """Give the numbers of the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def hold_to(processors: list[int]) -> None:
    """Hold this process to some processors, where that can be done."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, processors)


def cores(threads: int) -> list[int]:
    """Choose the cores for `threads` threads: the first of those that this process may use.

    Raises
    ------
    ValueError
        If there are not as many.
    """
    usable = usable_processors()
    if threads > len(usable):
        raise ValueError(f"{threads} threads, but this process may use {len(usable)} cores")
    return usable[:threads]


def pinned(threads: int, **environment: str) -> dict[str, Any]:
    """Give the arguments of `subprocess` for a process with `threads` threads on as many cores.

    XLA has no variable for its threads: it takes as many as there are cores in the affinity mask.
    """
    chosen = cores(threads)
    limits = {f"{library}_NUM_THREADS": str(threads) for library in LIBRARIES}
    arguments: dict[str, Any] = {"env": {**os.environ, **limits, **environment}}
    if hasattr(os, "sched_setaffinity"):
        arguments["preexec_fn"] = lambda: hold_to(chosen)
    return arguments
