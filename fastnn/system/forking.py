"""Locks that no other thread holds at the moment of a fork.

A process that is forked off has one thread, that which forked. A lock that another one held stays
taken in it for ever, and what that lock guards stays half done. So a fork waits for such locks.

It waits before it takes those of modules that were imported earlier: what is done here last happens
first. `logging` has one that importing and compiling take in between, so it has to be imported.
"""

from __future__ import annotations

import logging  # noqa: F401 - see above
import os
import threading
from typing import Any

LONGEST_WAIT = 60.0
"""Seconds after which a process forks nevertheless; compiling all kernels takes some ten."""

_locks: list[Any] = []
_held: list[Any] = []


def hold_while_forking(lock: threading.Lock | Any) -> None:
    """Let a fork wait for a lock, and make sure that it is free in the child.

    Locks are taken in the order in which they were named here; who holds one may take a later one,
    but not an earlier one. The lock is kept for the rest of the process.

    Parameters
    ----------
    lock : threading.Lock or threading.RLock
        Held for a limited time, by threads that do not wait for one that forks.
    """
    if lock not in _locks:
        _locks.append(lock)


no_fork = threading.RLock()
"""Held while modules are imported: an import that a fork cut short is never finished."""

hold_while_forking(no_fork)


def _take() -> None:
    for lock in _locks:
        if lock.acquire(timeout=LONGEST_WAIT):
            _held.append(lock)


def _release() -> None:
    while _held:
        _held.pop().release()


def _release_in_child() -> None:
    for lock in _locks:
        if lock not in _held:
            lock._at_fork_reinit()
    _release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take, after_in_parent=_release, after_in_child=_release_in_child)
