"""How good a network is on a data set, evaluated after each epoch of a training."""

from __future__ import annotations

from collections.abc import Callable

from fastnn.backends.arrays import Array
from fastnn.nn.sequential import Sequential


class Evaluation:
    """`Sequential.score` of a data set, up to rounding, computed the quickest way.

    Parameters
    ----------
    network : Sequential
    x, t : array
        The data set, checked and on the network's device.
    scale : float
        What `x` is multiplied by.
    count : callable, or None
        Counts right answers from what the compiled training holds; see `Runner.counter`. It is not
        asked where the network has an `accuracy`, `score` or `predict` of the user's own.
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
        network, x = self._network, self._x
        if network.replaced_method("accuracy", "score", "predict"):  # which may do anything
            if self._scale != 1:
                x = network.backend.asarray(x, network.dtype) * self._scale
            return network.score(x, self._t)
        if self._count is not None:
            return self._count() / int(x.shape[0])
        return network._evaluate(x, self._t, scale=self._scale)
