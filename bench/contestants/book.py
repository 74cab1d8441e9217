"""The book's own code: float64, one-hot labels, whatever the row's dtype.

Its script draws each batch by ``np.random.choice`` and evaluates the loss once more after the
update. Both are left out here, in its favour; the whole scripts are compared in `scripts`.
"""

from __future__ import annotations

import numpy as np

from book.two_layer_net import TwoLayerNet
from contestants import Contestant
from workload import Array, Workload


class Book(Contestant):
    """``network.gradient`` and ``params[key] -= learning_rate * grad[key]``."""

    two_layers_only = True

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        self.x_train = workload.x.astype("float32", copy=False)  # as the book's load_mnist
        self.t_train = np.eye(workload.layers[2])[workload.t]
        self.network = TwoLayerNet(*workload.layers)
        for key, array in workload.initial().items():
            self.network.params[key][...] = array

    def run(self, rows: Array) -> None:
        network, learning_rate = self.network, self.workload.learning_rate
        for batch_mask in rows:
            x_batch = self.x_train[batch_mask]
            t_batch = self.t_train[batch_mask]
            grad = network.gradient(x_batch, t_batch)
            for key in ("W1", "b1", "W2", "b2"):
                network.params[key] -= learning_rate * grad[key]

    def parameters(self) -> dict[str, Array]:
        return self.network.params
