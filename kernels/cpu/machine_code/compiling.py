"""That kernels are being compiled: the user is told, and the time is taken.

Numba compiles under one lock for the whole process (`numba.core.compiler_lock`), and says in the
events that this module listens to when it begins and ends, also while it holds that lock.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite.binding import ffi
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock

from fastnn.system.forking import hold_while_forking
from fastnn.system.standard_streams import say


class _Clock:
    """Adds up the time between the first of several nested starts and its end.

    For one thread at a time, as is everything that happens under Numba's lock.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.began = self.total = 0.0

    def __enter__(self) -> None:
        if self.depth == 0:
            self.began = time.perf_counter()
        self.depth += 1

    def __exit__(self, *exception: object) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.total += time.perf_counter() - self.began

    @contextmanager
    def around(self) -> Iterator[None]:
        """Count all of the time in the ``with`` statement if there was compiling in it.

        To find out what is to be compiled takes Numba some tenths of a second the first time.
        """
        began, before = time.perf_counter(), self.total
        yield
        if self.depth == 0 and self.total > before:
            self.total = before + time.perf_counter() - began

    def give_up(self) -> None:
        """Forget what is still running: a process forked off does not go on with it."""
        self.depth = 0


clock = _Clock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=clock.give_up)
hold_while_forking(global_compiler_lock._lock)
hold_while_forking(ffi.lib._lock._lock)  # LLVM's, which other threads take for moments


class _Listener(event.Listener):  # type: ignore[misc]
    """Tells the user, once, that there is no machine code yet: compiling takes some ten seconds."""

    announced = False

    def on_start(self, event: Any) -> None:
        if not _is_of_ours(event):
            return
        clock.__enter__()
        if not self.announced:
            self.announced = True
            kept = event.data["dispatcher"].stats.cache_path is not None
            words = "compiling kernels for this kind of network and data"
            say(f"fastnn: {words}{'; they are kept' if kept else ''}", sys.stderr)

    def on_end(self, event: Any) -> None:
        if _is_of_ours(event):
            clock.__exit__()


event.register("numba:compile", _Listener())


def _is_of_ours(event: Any) -> bool:
    module = event.data["dispatcher"].py_func.__module__
    return str(module).startswith("fastnn.kernels.cpu.")  # None, of a function made by exec


def seconds_compiling() -> float:
    """Give the seconds that this process has spent compiling kernels so far, on all threads.

    A kernel that is compiled because another one calls it is counted within that one. Waiting for
    another process that compiles the same kernel counts as well. What is still being compiled
    counts when it is done.
    """
    return clock.total
