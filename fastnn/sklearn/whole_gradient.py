"""The loss of a whole data set and its gradient, for ``solver="lbfgs"``."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.backends.arrays import host_array
from fastnn.nn.layers import Affine
from fastnn.nn.sequential import Sequential
from fastnn.sklearn.networks import Arrays
from fastnn.training.data import data_set


class WholeGradient:
    """Call it with weights and biases, as often as the solver wants.

    Parameters
    ----------
    network : Sequential
        In float64, in which SciPy's solver keeps the parameters. Affine layers and activations.
    X : array (K, D)
    y : array (K,) or (K, C)
    alpha : float
        The L2 term is ``alpha / 2 * sum(W**2) / K``.
    outputs : int
        What the loss is divided by, without that term; see `fastnn.sklearn.solvers.make_solver`.
    """

    def __init__(self, network: Sequential, X: Any, y: Any, alpha: float, outputs: int) -> None:
        self._network, self._alpha, self._outputs = network, alpha, outputs
        self._affine = [each for each in network.layers.values() if isinstance(each, Affine)]
        with network.backend.current():
            self._data, self._targets = data_set(network, X, y)

    def __call__(self, coefs: Arrays, intercepts: Arrays) -> tuple[float, Arrays, Arrays]:
        """Give the loss with the L2 term, and its gradients by weights and by biases."""
        network = self._network
        backend = network.backend
        with backend.current():
            for layer, W, b in zip(self._affine, coefs, intercepts, strict=True):
                layer.W = backend.asarray(np.ascontiguousarray(W), network.dtype)
                layer.b = backend.asarray(np.ascontiguousarray(b), network.dtype)
            network.gradient(self._data, self._targets)
            loss = float(network.last_layer.loss) / self._outputs
            decay = self._alpha / int(self._data.shape[0])
            by_W = [host_array(layer.dW) + decay * layer_W for layer, layer_W in self._pairs(coefs)]
            by_b = [host_array(layer.db) for layer in self._affine]
        penalty = decay / 2 * sum(float(np.vdot(W, W)) for W in coefs)
        return loss + penalty, by_W, by_b

    def _pairs(self, coefs: Arrays) -> zip[tuple[Affine, np.ndarray[Any, Any]]]:
        return zip(self._affine, coefs, strict=True)
