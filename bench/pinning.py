"""Processes held to some cores, with as many threads; set before any library is imported."""

from __future__ import annotations

import os
from typing import Any

LIBRARIES = ("OPENBLAS", "OMP", "MKL", "BLIS", "NUMBA", "VECLIB_MAXIMUM")


def cores(threads: int) -> list[int]:
    """Choose the cores for `threads` threads: the first of those that this process may use.

    Raises
    ------
    ValueError
        If there are not as many.
    """
    usable = sorted(os.sched_getaffinity(0))
    if threads > len(usable):
        raise ValueError(f"{threads} threads, but this process may use {len(usable)} cores")
    return usable[:threads]


def pinned(threads: int, **environment: str) -> dict[str, Any]:
    """Give the arguments of `subprocess` for a process with `threads` threads on as many cores.

    XLA has no variable for its threads: it takes as many as there are cores in the affinity mask.
    """
    chosen = cores(threads)
    limits = {f"{library}_NUM_THREADS": str(threads) for library in LIBRARIES}
    return {
        "env": {**os.environ, **limits, **environment},
        "preexec_fn": lambda: os.sched_setaffinity(0, chosen),
    }
