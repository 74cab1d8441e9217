"""What stands between a layer and the next: an activation, dropout. See ``activations.cuh``."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastnn.kernels.cuda.loading import C_TYPES

Array = Any

ACTIVATIONS = {
    "relu": "Relu",
    "leaky_relu": "LeakyRelu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "gelu": "Gelu",
}
"""Types of ``activations.cuh``, by the primitive of a backend that does the same."""


def activation_type(primitive: str | None, dtype: str) -> str:
    """Give the type of an activation; where there is none, that of a layer without."""
    name = "Identity" if primitive is None else ACTIVATIONS[primitive]
    return f"{name}<{C_TYPES[dtype]}>"


class Between(NamedTuple):
    """An activation, and dropout if there are draws of it.

    Attributes
    ----------
    activation : str or None
        By its primitive.
    slope : float
        Of a leaky ReLU.
    draws : array () of int64, or None
        The number of the next draw, on the device.
    key, bound : int
        Of the random numbers; the least word of them that keeps a unit.
    """

    activation: str | None = None
    slope: float = 0.0
    draws: Array | None = None
    key: int = 0
    bound: int = 0

    def type(self, dtype: str) -> str:
        """Give the type that does all of it."""
        inner = activation_type(self.activation, dtype)
        return inner if self.draws is None else f"Dropped<{C_TYPES[dtype]}, {inner}>"

    def record(self, dtype: str) -> np.ndarray[Any, Any]:
        """Give ``Between`` of the source, which points to the draws."""
        fields = [("slope", dtype), *((name, "u8") for name in ("draw", "key", "bound"))]
        draw = 0 if self.draws is None else self.draws.data.ptr
        return np.array((self.slope, draw, self.key, self.bound), np.dtype(fields, align=True))
