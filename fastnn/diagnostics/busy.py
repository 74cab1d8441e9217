"""Processes that keep cores busy: what a machine is like that others use as well."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SPIN = """
import os, sys, threading
core = int(sys.argv[1])
if core >= 0:
    os.sched_setaffinity(0, [core])
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(flush=True)
while True:
    pass
"""
"""Ends with the process that has started it, however that ends: with what it would be sent.

The number of the parent process would not do. On Windows it is that of the command of a virtual
environment, which has started Python.
"""


def first_cores(count: int) -> list[int]:
    """Choose cores to keep busy.

    Parameters
    ----------
    count : int
        How many; not more than this process may use.

    Returns
    -------
    list of int
        Their numbers; -1 each where a process cannot choose its core (not on Linux).

    Raises
    ------
    ValueError
        If there are not so many.
    """
    chooses = hasattr(os, "sched_getaffinity")
    cores = sorted(os.sched_getaffinity(0)) if chooses else [-1] * (os.cpu_count() or 1)
    if count > len(cores):
        raise ValueError(f"cannot keep {count} cores busy: this process may use {len(cores)}")
    return cores[:count]


@contextmanager
def busy(cores: list[int]) -> Iterator[None]:
    """Keep cores busy within a ``with`` statement, by a process each."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for core in cores:
            command = [sys.executable, "-c", SPIN, str(core)]
            pipe = subprocess.PIPE
            processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe))
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()
