"""A small network, and its parameters on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastnn
from fastnn import (
    Sequential,
    TwoLayerNet,
)


def small(**options: Any) -> TwoLayerNet:
    return TwoLayerNet(12, 6, 4, 0.5, **{"seed": 3, **options})


def parameters(network: Sequential) -> dict[str, np.ndarray[Any, Any]]:
    return {name: fastnn.to_numpy(array).copy() for name, array in network.params.items()}
