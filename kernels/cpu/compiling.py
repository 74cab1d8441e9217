"""That kernels are being compiled: the user is told, and the time is taken.

Numba compiles under one lock for the whole process (`numba.core.compiler_lock`), and says in the
events that this module listens to when it begins and ends, also while it holds that lock.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

from numba.core import event


class _Clock:
    """Adds up the time between the first of several nested starts and its end."""

    def __init__(self) -> None:
        self.depth = 0
        self.began = self.total = 0.0

    def start(self) -> None:
        if self.depth == 0:
            self.began = time.perf_counter()
        self.depth += 1

    def stop(self) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.total += time.perf_counter() - self.began

    def give_up(self) -> None:
        """Forget what is still running: a process forked off does not go on with it."""
        self.depth = 0


_clock = _Clock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_clock.give_up)


class _Listener(event.Listener):  # type: ignore[misc]
    """Tells the user, once, that there is no machine code yet: compiling takes some ten seconds."""

    announced = False

    def on_start(self, event: Any) -> None:
        if not _is_of_ours(event):
            return
        _clock.start()
        if not self.announced:
            self.announced = True
            say("compiling kernels for this kind of network and data; they are kept")

    def on_end(self, event: Any) -> None:
        if _is_of_ours(event):
            _clock.stop()


event.register("numba:compile", _Listener())


def _is_of_ours(event: Any) -> bool:
    module = event.data["dispatcher"].py_func.__module__
    return bool(module.startswith(__package__))


def seconds_compiling() -> float:
    """Give the seconds that this process has spent compiling kernels so far, on all threads.

    A kernel that is compiled because another one calls it is counted within that one. What is still
    being compiled counts when it is done.
    """
    return _clock.total


def say(words: str) -> None:
    """Tell the user on standard error, if it is to be had: it may be None, closed or full."""
    if sys.stderr is not None:
        with contextlib.suppress(Exception):
            print(f"fastnn: {words}", file=sys.stderr, flush=True)
