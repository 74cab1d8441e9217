"""Launcher of ``back.cu``: the gradient by a layer's input."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.between import Between
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import PRODUCT, blocks_of

Array = Any


class Back:
    """``dx = dout @ W.T``, taken back through what is between the layer before and this one."""

    def __init__(self, dtype: str, between: Between) -> None:
        self._kernel = kernel("back", "back", dtype, between.type(dtype))
        self._between = between.record(dtype)

    def __call__(self, *, dout: Array, W: Array, kept: Array, dx: Array, N: int) -> None:
        """Launch it for N samples; dout (N or more, M), W (D, M), kept and dx (N or more, D)."""
        D, M = W.shape
        grid = blocks_of(D, PRODUCT["COLUMNS"]), blocks_of(N, PRODUCT["ROWS"])
        arguments = (dout, W, kept, self._between, dx, *map(np.int32, (N, D, M)))
        self._kernel(grid, (PRODUCT["THREADS"],), arguments)
