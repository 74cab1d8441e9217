"""How good a network is on a data set, evaluated after each epoch of a training."""

from __future__ import annotations

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.plan import Counter
from fastnn.nn.sequential import Sequential


class Evaluation:
    """`Sequential.score` and `loss` of a data set, up to rounding, computed the quickest way.

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
        count: Counter | None,
    ) -> None:
        self._network = network
        self._x, self._t, self._scale = x, t, scale
        self._count = count

    def of_both(self) -> tuple[float, float]:
        """Evaluate the network as it is now; give its score, and its loss, ``loss(x, t)``."""
        network = self._network
        if self._count is None or network.replaced_method("accuracy", "score", "predict"):
            return self._score(), *self.of_loss()
        losses = np.empty(int(self._x.shape[0]))
        right = self._count(losses)
        return right / len(losses), network._with_penalty(float(losses.mean()))

    def of_loss(self) -> tuple[float]:
        """Evaluate the network as it is now; give its loss."""
        return (self._network._loss_in_chunks(self._x, self._t, scale=self._scale),)

    def of_measure(self) -> tuple[float]:
        """Evaluate the network as it is now; give its score."""
        return (self._score(),)

    def _score(self) -> float:
        network, x = self._network, self._x
        if network.replaced_method("accuracy", "score", "predict"):  # which may do anything
            if self._scale != 1:
                x = network.backend.asarray(x, network.dtype) * self._scale
            return network.score(x, self._t)
        if self._count is not None:
            return self._count() / int(x.shape[0])
        return network._evaluate(x, self._t, scale=self._scale)
