"""What a loss reads of the data set, as ``losses.cuh`` says."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastnn.kernels.cuda.loading import C_TYPES

Array = Any

LOSSES = {
    "softmax_cross_entropy": "SoftmaxCrossEntropy",
    "sigmoid_cross_entropy": "SigmoidCrossEntropy",
    "squared_error": "SquaredError",
    "poisson_deviance": "PoissonDeviance",
}
"""Types of ``losses.cuh``, by the primitive of a backend that does the same."""

TARGETS = np.dtype([(name, "u8") for name in ("t", "weights", "mean_weight")])
"""``Targets`` of the source."""


def loss_type(primitive: str, dtype: str) -> str:
    """Give the type of a loss."""
    return f"{LOSSES[primitive]}<{C_TYPES[dtype]}>"


class Targets(NamedTuple):
    """A loss, and what it reads.

    Attributes
    ----------
    loss : str
        By its primitive.
    t : array (K,) of int64, or (K, C)
        The targets of the data set.
    weights : array (K,) of float64, or None
        Of the samples.
    mean_weight : array () of float64, or None
        Of the weights of the batch, which `GatherProduct` writes.
    """

    loss: str
    t: Array
    weights: Array | None = None
    mean_weight: Array | None = None

    def type(self, dtype: str) -> str:
        """Give the type of the loss."""
        inner = loss_type(self.loss, dtype)
        return inner if self.weights is None else f"Weighted<{C_TYPES[dtype]}, {inner}>"

    def record(self) -> np.ndarray[Any, Any]:
        """Give ``Targets`` of the source, which points to the arrays."""
        arrays = (self.t, self.weights, self.mean_weight)
        return np.array(tuple(0 if one is None else one.data.ptr for one in arrays), TARGETS)
