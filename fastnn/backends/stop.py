"""A request to stop training after the step that it is in."""

from __future__ import annotations

import numpy as np

from fastnn.backends.arrays import Array


class Stop:
    """A flag that whatever runs steps checks after each of them.

    Attributes
    ----------
    requested : bool
        Whether to stop.
    signal_may_request : bool
        Whether a handler of signals, which Python runs on the main thread alone, may make the
        request: that thread must not be away in compiled code for long.
    """

    def __init__(self) -> None:
        self.requested = False
        self.signal_may_request = False
        self._flag: Array = np.zeros(1, np.int64)

    def request(self) -> None:
        """Ask for it."""
        self.requested = True
        self._flag[0] = 1

    def tell(self, flag: Array) -> None:
        """Set ``flag[0]``, int64, with the request: compiled code checks it there."""
        self._flag = flag
        if self.requested:
            flag[0] = 1
