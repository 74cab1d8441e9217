"""Launchers of ``columns.cu``: what stands beside a product of cuBLAS on the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import BY_COLUMN, ENTRY_THREADS, WARP, blocks_of

Array = Any


def column_sums(*, x: Array, sums: Array) -> None:
    """``sums = sum of x over its rows``; x (N, M), sums (M,)."""
    N, M = x.shape
    launch = kernel("columns", "column_sums", x.dtype.name)
    grid, block = (blocks_of(M, WARP),), (BY_COLUMN["COLUMN_WARPS"] * WARP,)
    launch(grid, block, (x, sums, np.int64(N), np.int64(M)))


def through_relu(*, x: Array, dx: Array) -> None:
    """``dx = 0`` where x, which a ReLU gave, is 0; x, dx of one shape."""
    launch = kernel("columns", "through_relu", x.dtype.name)
    launch((blocks_of(x.size, ENTRY_THREADS),), (ENTRY_THREADS,), (x, dx, np.int64(x.size)))
