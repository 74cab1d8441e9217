"""The accuracy of a network on a data set, again and again while it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastnn.sequential import replaced_method

if TYPE_CHECKING:
    from fastnn.backends.base import Array
    from fastnn.sequential import Sequential


class Accuracy:
    """What `Sequential.accuracy` gives for a data set, up to rounding, by the quickest way.

    Parameters
    ----------
    network : Sequential
    x, t : array
        The data set, checked and on the network's device.
    count : callable, or None
        Counts right answers from what the compiled training holds; see `Runner.counter`. It is not
        asked where the network has an `accuracy` or `predict` of the user's own.
    """

    def __init__(
        self, network: Sequential, x: Array, t: Array, count: Callable[[], int] | None
    ) -> None:
        self._network = network
        self._x, self._t = x, t
        self._count = count

    def __call__(self) -> float:
        """Evaluate the network as it is now."""
        if self._count is None or replaced_method(self._network, "accuracy", "predict"):
            return self._network.accuracy(self._x, self._t)
        return self._count() / int(self._x.shape[0])
