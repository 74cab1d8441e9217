"""Launchers of ``large.cu``: what stands beside the products of cuBLAS in a step."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel, or_null
from fastnn.kernels.cuda.sizes import ENTRY_THREADS, LARGE, WARP, blocks_of

Array = Any


class Gather:
    """``x = scale * data[rows]``, cast; the rows are those of the control block."""

    def __init__(self, dtype: str, data_dtype: str) -> None:
        self._kernel = kernel("large", "gather", dtype, data_dtype)

    def __call__(self, *, control: Array, data: Array, scale: float, x: Array, N: int) -> None:
        """Launch it for N samples; x (N or more, D)."""
        samples, D = data.shape
        sizes = np.int32(N), np.int32(D)
        arguments = (control, data, np.int64(samples), x.dtype.type(scale), x, *sizes)
        self._kernel((N, blocks_of(D, ENTRY_THREADS)), (ENTRY_THREADS,), arguments)


class BiasGradient:
    """``db = sum of dout``, which is taken back through a ReLU first, on request."""

    def __init__(self, dtype: str) -> None:
        self._kernel = kernel("large", "bias_gradient", dtype)

    def __call__(self, *, h: Array | None, dout: Array, db: Array, N: int) -> None:
        """Launch it for N samples; dout (N or more, M), db (M,), h as dout: what the ReLU gave."""
        M = db.size
        grid, block = (blocks_of(M, WARP),), (LARGE["COLUMN_WARPS"] * WARP,)
        self._kernel(grid, block, (or_null(h), dout, db, np.int64(N), np.int64(M)))
