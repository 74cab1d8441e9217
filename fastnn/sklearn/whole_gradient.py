"""The loss of a whole data set and its gradient, for ``solver="lbfgs"``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.backends.arrays import host_array
from fastnn.chunks import chunks
from fastnn.nn.layers import Affine
from fastnn.nn.sequential import Sequential, samples_at_once
from fastnn.sklearn.networks import Arrays
from fastnn.training.data import data_set, weights_of


class WholeGradient:
    """Call it with weights and biases, as often as the solver wants.

    Parameters
    ----------
    network : Sequential
        In float64, in which SciPy's solver keeps the parameters. Affine layers and activations.
    X : array (K, D)
    y : array (K,) or (K, C)
    sample_weight : array (K,) or None
    alpha : float
        The L2 term is ``alpha / 2 * sum(W**2)``, divided by K or the sum of the weights.
    outputs : int
        What the loss is divided by, without that term; see `fastnn.sklearn.solvers.make_solver`.
    """

    def __init__(
        self,
        network: Sequential,
        X: Any,
        y: Any,
        sample_weight: Any,
        alpha: float,
        outputs: int,
    ) -> None:
        self._network, self._outputs = network, outputs
        self._affine = [each for each in network.layers.values() if isinstance(each, Affine)]
        with network.backend.current():
            self._data, self._targets = data_set(network, X, y)
            if sample_weight is not None:
                weights_of(network, self._data, sample_weight)
        samples = int(self._data.shape[0])
        self._weights = np.ones(samples) if sample_weight is None else np.asarray(sample_weight)
        self._total = float(np.sum(self._weights, dtype=np.float64))
        self._decay = alpha / self._total

    def __call__(self, coefs: Arrays, intercepts: Arrays) -> tuple[float, Arrays, Arrays]:
        """Give the loss with the L2 term, and its gradients by weights and by biases."""
        network = self._network
        backend = network.backend
        with backend.current():
            for layer, W, b in zip(self._affine, coefs, intercepts, strict=True):
                layer.W = backend.asarray(np.ascontiguousarray(W), network.dtype)
                layer.b = backend.asarray(np.ascontiguousarray(b), network.dtype)
            loss = 0.0
            gradients = [np.zeros_like(each) for each in coefs + intercepts]
            for share in self._shares():
                loss += share * float(network.last_layer.loss) / self._outputs
                found = [host_array(layer.dW) for layer in self._affine]
                found += [host_array(layer.db) for layer in self._affine]
                for total, each in zip(gradients, found, strict=True):
                    total += share * each
        by_W, by_b = gradients[: len(self._affine)], gradients[len(self._affine) :]
        penalty = self._decay / 2 * sum(float(np.vdot(W, W)) for W in coefs)
        by_W = [dW + self._decay * W for dW, W in zip(by_W, coefs, strict=True)]
        return loss + penalty, by_W, by_b

    def _shares(self) -> Iterator[float]:
        """Take the gradient of all samples, or of some after the other if they are not at hand.

        Give what each counts beside the others.
        """
        samples = int(self._data.shape[0])
        whole = self._network.backend.owns(self._data)
        for some in chunks(samples, samples if whole else samples_at_once(self._data)):
            weights = self._weights[some]
            total = float(np.sum(weights, dtype=np.float64))
            if total == 0:
                continue
            different = weights if np.ptp(weights) else None
            t = self._targets[some, ...]
            self._network.gradient(self._data[some, ...], t, sample_weight=different)
            yield total / self._total
