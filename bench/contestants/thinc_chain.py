"""thinc: ``chain(Relu, Softmax)`` and its SGD; float32 only, as all of thinc.

The gradient of the loss is written down, ``(y - one_hot(t)) / N``: thinc's own
`CategoricalCrossentropy` computes the same with more checks.
"""

from __future__ import annotations

import numpy as np
from thinc.api import SGD, NumpyOps, Relu, Softmax, chain, set_current_ops

from contestants import Contestant
from workload import Array, Workload


class Thinc(Contestant):
    """``begin_update``, ``backprop``, ``finish_update``."""

    dtypes = ("float32",)
    two_layers_only = True

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        set_current_ops(NumpyOps())
        D, H, C = workload.layers
        self.model = chain(Relu(nO=H, nI=D), Softmax(nO=C, nI=H))
        self.model.initialize()
        initial = workload.initial()
        for layer, number in zip(self.model.layers, "12", strict=True):
            layer.set_param("W", np.ascontiguousarray(initial[f"W{number}"].T))
            layer.set_param("b", initial[f"b{number}"])
        self.optimizer = SGD(workload.learning_rate, L2=0.0, grad_clip=0.0, use_averages=False)
        self.samples = np.arange(workload.batch)

    def run(self, rows: Array) -> None:
        images, labels, share = self.workload.x, self.workload.t, np.float32(self.workload.batch)
        for batch in rows:
            y, backprop = self.model.begin_update(images[batch])
            y[self.samples, labels[batch]] -= 1
            y /= share
            backprop(y)
            self.model.finish_update(self.optimizer)

    def parameters(self) -> dict[str, Array]:
        return {
            name: array
            for layer, number in zip(self.model.layers, "12", strict=True)
            for name, array in (
                (f"W{number}", layer.get_param("W").T),
                (f"b{number}", layer.get_param("b")),
            )
        }
