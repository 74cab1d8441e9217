"""On how many threads the next steps run: on as many as turn out to be fastest at the time.

Threads that share a step meet several times in it. Where another process keeps a core busy, all of
them wait for the one that shares that core, and several threads are slower than one. How many run
changes no bit of the result, so steps are run in pieces of some milliseconds, and now and then a
piece is tried on half or twice as many threads: on fewer at first and whenever steps take longer
than they have, on more from time to time, as long as there are more.
"""

from __future__ import annotations

import math

PIECE_SECONDS = (5e-3, 20e-3)
"""How long a piece is: at first and when it is a trial, and as long as the pace is kept up.

An operating system lets two threads of one core take turns of some milliseconds."""

FIRST_STEPS = 4
"""Steps of the first piece, while nothing is known of how long they take."""

SETTLED = 3
"""The piece from which on the time of a step is believed; code and data are in the caches then."""

SLOWER = 1.25
"""From how many times the least time of a step on fewer threads are tried."""

FASTER = 0.97
"""Below which share of the time of a step another number of threads is faster."""

WAIT_SECONDS = (0.1, 1.6)
"""How long until more threads are tried: at first, and at most, doubling each time in vain."""


class Pace:
    """Chooses threads and steps for one piece after another, from the time that pieces took.

    Parameters
    ----------
    threads : int
        The most that there may be.

    Attributes
    ----------
    threads : int
        The number that was the fastest when it was last tried.
    seconds : float
        Of a step on so many, as last measured; infinity before.
    """

    def __init__(self, threads: int) -> None:
        self._most = self.threads = threads
        self._trial: int | None = None
        self._wait = WAIT_SECONDS[0]
        self.seconds = self._least = math.inf
        self._length, self._waited, self._pieces = PIECE_SECONDS[0], 0.0, 0

    def next(self) -> tuple[int, int | None]:
        """Give threads and steps of the next piece; None where all steps may be one."""
        if self._most == 1:
            return 1, None
        if self.seconds == math.inf:
            return self.threads, FIRST_STEPS
        if self._trial is None:
            return self.threads, max(1, int(self._length / self.seconds))
        expected = self.seconds * max(1.0, self.threads / self._trial)
        return self._trial, max(1, int(PIECE_SECONDS[0] / expected))

    def took(self, threads: int, seconds: float) -> None:
        """Take note of how long a step of the last piece took, on so many threads."""
        if threads != self.threads:
            self._compare(threads, seconds)
            return
        self._pieces += 1
        self._waited += self._length
        self.seconds, self._least = seconds, min(seconds, self._least)
        slower = self._pieces > SETTLED and seconds > SLOWER * self._least
        if threads > 1 and (slower or self._pieces == SETTLED):
            self._trial, self._least = threads // 2, seconds
        elif threads < self._most and self._waited > self._wait:
            self._trial = min(2 * threads, self._most)
        self._length = min(2 * self._length, PIECE_SECONDS[1])

    def allow(self, threads: int) -> None:
        """Use no more than so many threads: the system starts no more."""
        self._most = threads
        self._trial = None
        if self.threads > threads:
            self._start_on(threads, math.inf)

    def _compare(self, tried: int, seconds: float) -> None:
        """Go over to the number of threads that was tried if it is faster, and try on.

        All lower numbers are tried, for each may be as slow as the one before it, if but one is
        waited for; of higher ones those that are faster.
        """
        faster, more = seconds < FASTER * self.seconds, tried > self.threads
        if faster:
            self._start_on(tried, seconds)
            self._wait = WAIT_SECONDS[0]
        elif more:
            self._wait = min(2 * self._wait, WAIT_SECONDS[1])
        self._waited = 0.0
        self._trial = None
        if not more and tried > 1:
            self._trial = tried // 2
        elif more and faster and tried < self._most:
            self._trial = min(2 * tried, self._most)

    def _start_on(self, threads: int, seconds: float) -> None:
        self.threads = threads
        self.seconds = self._least = seconds
        self._length, self._waited, self._pieces = PIECE_SECONDS[0], 0.0, 0
