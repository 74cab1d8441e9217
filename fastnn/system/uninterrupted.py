"""Ctrl-C held back while something runs that an exception in the middle would leave broken.

LLVM's objects are freed twice, or used when they are gone, where `KeyboardInterrupt` parts what
creates one from what is to own it: the process crashes, then or later. And a module whose import
was cut short cannot be imported a second time if it has entered something elsewhere, as Numba's do.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, MethodType
from typing import Any


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Do at the end of the body what Ctrl-C would do in the middle of it.

    That is what the handler does that was there before, Python's own or the user's. Outside the
    main thread, where no handler runs, nothing is changed.
    """
    handler = signal.getsignal(signal.SIGINT)
    if (
        threading.current_thread() is not threading.main_thread()
        or not callable(handler)
        or _presses_held_by(handler) is not None
    ):
        yield
        return
    presses = _Presses(handler)
    try:
        signal.signal(signal.SIGINT, presses.hold)
        yield
    finally:
        presses.let_through()


def let_interruption_through() -> None:
    """Do now what Ctrl-C does, if it was pressed in the body of `uninterrupted` that calls this.

    For a place in it that may take long and is whole.
    """
    if threading.current_thread() is threading.main_thread():
        presses = _presses_held_by(signal.getsignal(signal.SIGINT))
        if presses is not None and presses.count:
            try:
                presses.let_through()
            finally:
                signal.signal(signal.SIGINT, presses.hold)


class _Presses:
    """How often Ctrl-C was pressed, and the handler that is still to hear of it."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler
        self.count = 0

    def hold(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def let_through(self) -> None:
        signal.signal(signal.SIGINT, self.handler)
        while self.count:
            self.count -= 1
            signal.raise_signal(signal.SIGINT)


def _presses_held_by(handler: object) -> _Presses | None:
    owner = handler.__self__ if isinstance(handler, MethodType) else None
    return owner if isinstance(owner, _Presses) else None
