"""What both ways to train with fastnn share: the network and the data set on a backend."""

from __future__ import annotations

from typing import ClassVar

import fastnn
from contestants import Contestant
from workload import Array, Workload


class FastnnNetwork(Contestant):
    """A `TwoLayerNet` with the workload's initial weights, index labels."""

    backend: ClassVar[str]

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        fastnn.set_backend(self.backend, strict=True)
        self.network = fastnn.TwoLayerNet(*workload.layers, dtype=workload.dtype)
        for name, array in workload.initial().items():
            self.network.params[name] = array
        self.x = self.network.backend.asarray(workload.x)
        self.t = self.network.backend.asarray(workload.t)

    def parameters(self) -> dict[str, Array]:
        return {name: fastnn.to_numpy(array) for name, array in self.network.params.items()}
