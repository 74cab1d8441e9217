"""The accuracy of a network on a data set, evaluated after each epoch of a training."""

from __future__ import annotations

import math
from collections.abc import Callable

from fastnn.backends.arrays import Array
from fastnn.chunks import chunks
from fastnn.nn.sequential import CHUNK, Sequential


class Accuracy:
    """`Sequential.accuracy` of a data set, up to rounding, computed the quickest way.

    Parameters
    ----------
    network : Sequential
    x, t : array
        The data set, checked and on the network's device.
    scale : float
        What `x` is multiplied by.
    count : callable, or None
        Counts right answers from what the compiled training holds; see `Runner.counter`. It is not
        asked where the network has an `accuracy` or `predict` of the user's own.
    """

    def __init__(
        self,
        network: Sequential,
        x: Array,
        t: Array,
        scale: float,
        count: Callable[[], int] | None,
    ) -> None:
        self._network = network
        self._x, self._t, self._scale = x, t, scale
        self._count = count

    def __call__(self) -> float:
        """Evaluate the network as it is now."""
        samples = int(self._x.shape[0])
        own_way = self._network.replaced_method("accuracy", "predict")
        if self._count is not None and not own_way:
            return self._count() / samples
        if self._scale == 1:
            return self._network.accuracy(self._x, self._t)
        if own_way:  # which need not be a mean over samples
            return self._network.accuracy(self._scaled(slice(0, samples)), self._t)
        right = [
            self._network.accuracy(self._scaled(some), self._t[some, ...])
            * (some.stop - some.start)
            for some in chunks(samples, CHUNK)
        ]
        return round(math.fsum(right)) / samples

    def _scaled(self, some: slice) -> Array:
        network = self._network
        return network.backend.asarray(self._x[some, ...], network.dtype) * self._scale
