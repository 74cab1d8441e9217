"""The lock of a network: one thread at a time uses what its layers keep, and one `fit` trains it.

Between its forward and its backward pass a gradient lives in the layers, where another thread
would overwrite it. So whatever leaves something there holds `NetworkLock.alone`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any
from weakref import WeakSet

GIVE_WAY_EVERY, GIVE_WAY_SECONDS = 0.05, 5e-5
"""How often `fit` leaves the lock to others, and for how long, which is enough to take it."""

_locks: WeakSet[NetworkLock] = WeakSet()


class NetworkLock:
    """The lock of one network. Copies and pickles of it are new locks, free.

    Attributes
    ----------
    alone : threading.RLock
        Held by the thread that uses what the layers keep. The same thread may take it again.
    """

    def __init__(self) -> None:
        self.alone = threading.RLock()
        self._trainers: dict[str, tuple[int]] = {}
        self._gave_way = 0.0
        _locks.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return NetworkLock, ()

    @contextmanager
    def training(self) -> Iterator[None]:
        """Train the network in the body of the ``with`` statement, unless it is trained already.

        Raises
        ------
        RuntimeError
            If another `fit` trains it.
        """
        mine = (get_ident(),)
        try:
            # One step of Python's, so that of two threads one is first.
            trainer = self._trainers.setdefault("fit", mine)
            if trainer is not mine:
                where = "further up, whose callback this is" if trainer == mine else "in a thread"
                raise RuntimeError(
                    f"another fit, {where}, trains this network: train a copy of it, "
                    "network.copy(), or wait until that fit has ended"
                )
            yield
        finally:
            if self._trainers.get("fit") is mine:
                del self._trainers["fit"]

    def check_may_change(self, what: str) -> None:
        """Raise an error if another thread trains the network, and would not see a change.

        Raises
        ------
        RuntimeError
            Naming `what` was to be changed.
        """
        trainer = self._trainers.get("fit")
        if trainer is not None and trainer[0] != get_ident():
            raise RuntimeError(
                f"{what} cannot be changed now: fit trains this network in another thread. Change "
                "it in a callback of fit, or afterwards"
            )

    def give_way(self) -> None:
        """Let other threads take the lock, if it is time: without a pause they never get it."""
        now = time.perf_counter()
        if now - self._gave_way >= GIVE_WAY_EVERY:
            time.sleep(GIVE_WAY_SECONDS)
            self._gave_way = now

    def _after_fork(self) -> None:
        """Free the lock in a child process from threads that exist in its parent only."""
        if self.alone.acquire(blocking=False):
            self.alone.release()
        else:
            self.alone = threading.RLock()
        trainer = self._trainers.get("fit")
        if trainer is not None and trainer[0] != get_ident():
            self._trainers = {}


def _free_locks() -> None:
    for lock in list(_locks):
        lock._after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_free_locks)
