"""Launcher of ``back.cu``: the gradient by a layer's input."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import PRODUCT, blocks_of

Array = Any


class Back:
    """``dx = dout @ W.T``, on request taken back through the ReLU that gave x."""

    def __init__(self, dtype: str) -> None:
        self._kernel = kernel("back", "back", dtype)

    def __call__(self, *, dout: Array, W: Array, x: Array, relu: bool, dx: Array, N: int) -> None:
        """Launch it for N samples; dout (N or more, M), W (D, M), x and dx (N or more, D)."""
        D, M = W.shape
        grid = blocks_of(D, PRODUCT["COLUMNS"]), blocks_of(N, PRODUCT["ROWS"])
        arguments = (dout, W, x, np.int32(relu), dx, np.int32(N), np.int32(D), np.int32(M))
        self._kernel(grid, (PRODUCT["THREADS"],), arguments)
