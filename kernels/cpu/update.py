"""The update rules of the optimizers, in place."""

from __future__ import annotations

from typing import Any

from fastnn.kernels.cpu.compiler import kernel

Array = Any


@kernel
def sgd_update(W: Array, dW: Array, lr: float) -> None:
    """``W -= lr * dW``. W, dW (K,); `lr` is rounded to their dtype first, as NumPy does."""
    rate = W.dtype.type(lr)
    for k in range(W.shape[0]):
        W[k] -= rate * dW[k]
