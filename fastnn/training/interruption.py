"""Ctrl-C as a request that is checked between steps, not an exception in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, MethodType
from typing import Any

from fastnn.backends.stop import Stop


class Interruption:
    """What Ctrl-C asks of a training.

    An exception in the middle of a step would leave some parameters updated and others not, and
    one between a step and its entry in the history would part the two. So the handler of the
    signal raises nothing there. Pressed once, training ends with the steps that were asked for
    together, a tenth of a second's; pressed again, it stops after the step that it is in, and
    `KeyboardInterrupt` is raised when all is whole. Only what was called through `call` is cut
    short.

    Attributes
    ----------
    requested : bool
        Whether training is to end.
    stop : Stop
        What stops it after the step that it is in. Then `KeyboardInterrupt` is raised at the end.
    """

    def __init__(self) -> None:
        self.requested = False
        self.stop = Stop()
        self._before: Any = None
        self._calling = False

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that a second Ctrl-C may end by `KeyboardInterrupt`.

        Where it catches that itself, the exception comes when it returns.
        """
        self._raise_if_insisted()
        self._calling = True
        try:
            result = _call(function, arguments)
        finally:
            self._calling = False
        self._raise_if_insisted()
        return result

    def take_over(self) -> None:
        """Become the handler of Ctrl-C, if Python's own is in place, or that of a `fit` around us.

        A handler of the user's own is left alone, also one that a callback has installed. Outside
        the main thread, which is where signals arrive, nothing is changed.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        current = signal.getsignal(signal.SIGINT)
        if current is signal.default_int_handler or _interruption_of(current) not in (None, self):
            if self._before is None:
                self._before = current
            signal.signal(signal.SIGINT, self._handle)
        in_place = signal.getsignal(signal.SIGINT) == self._handle
        self.stop.signal_may_request = in_place

    def give_back(self) -> None:
        """Put back the handler that was there before, unless somebody has installed another."""
        if signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        everybody: list[Interruption] = []
        each: Interruption | None = self
        while each is not None:
            everybody.append(each)
            each = _interruption_of(each._before)
        again = any(one.requested for one in everybody)
        for one in everybody:
            one.requested = True
            if again:
                one.stop.request()
        if again and self._calling and _is_inside_call(frame):
            signal.default_int_handler(number, frame)

    def _raise_if_insisted(self) -> None:
        if self.stop.requested:
            raise KeyboardInterrupt


def _interruption_of(handler: object) -> Interruption | None:
    """Give the interruption that a handler of signals belongs to."""
    owner = handler.__self__ if isinstance(handler, MethodType) else None
    return owner if isinstance(owner, Interruption) else None


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call a function in a frame that `_is_inside_call` knows."""
    return function(*arguments)


def _is_inside_call(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is _call.__code__:
            return True
        frame = frame.f_back
    return False


@contextmanager
def defer_interruption() -> Iterator[Interruption]:
    """Turn Ctrl-C in the body into a request; a second one raises when the body has ended.

    See `Interruption.take_over` for where nothing is changed.
    """
    interruption = Interruption()
    interruption.take_over()
    try:
        yield interruption
    finally:
        interruption.give_back()
    if interruption.stop.requested:
        raise KeyboardInterrupt
