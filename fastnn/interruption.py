"""Ctrl-C as a request that is looked at between steps, rather than an exception in one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether the user pressed Ctrl-C."""

    requested = False


@contextmanager
def watch_for_interruption() -> Iterator[Interruption]:
    """Turn the first Ctrl-C in the body into a request; a second one raises as ever.

    An exception in the middle of a step would leave some parameters updated and others not. Where
    Python's own handler is not in place, or outside the main thread, which is where signals
    arrive, nothing is changed.
    """
    interruption = Interruption()
    on_main_thread = threading.current_thread() is threading.main_thread()
    if not (on_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
        yield interruption
        return

    def request(number: int, frame: FrameType | None) -> None:
        if interruption.requested:
            signal.default_int_handler(number, frame)
        interruption.requested = True

    signal.signal(signal.SIGINT, request)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
