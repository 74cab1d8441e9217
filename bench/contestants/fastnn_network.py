"""What both ways to train with fastnn share: the network and the data set on a backend."""

from __future__ import annotations

from typing import ClassVar

import fastnn
from contestants import Contestant
from masks import seed_masks
from workload import Array, Workload


class FastnnNetwork(Contestant):
    """A `MultiLayerNet` with the workload's initial weights, index labels."""

    backend: ClassVar[str]

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        fastnn.set_backend(self.backend, strict=True)
        self.network = fastnn.MultiLayerNet(
            workload.layers[0],
            workload.hidden,
            workload.layers[-1],
            workload.activation,
            use_batchnorm=workload.normalised,
            use_dropout=workload.dropout > 0,
            dropout_ratio=workload.dropout,
            dtype=workload.dtype,
        )
        seed_masks(self.network)
        for name, array in workload.initial().items():
            self.network.params[name] = array
        optimizers = {"SGD": fastnn.SGD, "Momentum": fastnn.Momentum, "Adam": fastnn.Adam}
        self.optimizer: fastnn.Optimizer = optimizers[workload.optimizer](workload.learning_rate)
        self.x = self.network.backend.asarray(workload.x)
        self.t = self.network.backend.asarray(workload.t)

    def parameters(self) -> dict[str, Array]:
        return {name: fastnn.to_numpy(array) for name, array in self.network.params.items()}
