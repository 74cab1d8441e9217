"""Launcher of ``head.cu``: the last layer and the loss, forward and back, one warp a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import WARP, blocks_of

Array = Any

SHARED_MEMORY = 48 * 1024
"""Bytes of shared memory that every device gives a block without being asked."""


def shared_memory(M: int, C: int, warps: int, itemsize: int) -> int:
    """Give the bytes that a block needs: W in rows of odd length, units and scores of each warp."""
    return (M * (C | 1) + warps * (M + C)) * itemsize


class Head:
    """``h``, scores, losses, and the gradients by both, of the last layer with its loss."""

    def __init__(self, dtype: str, warps: int) -> None:
        self._kernel = kernel("head", "head", dtype)
        self._warps = warps

    def __call__(
        self, *, control: Array, before: Array, b_before: Array, relu: bool, W: Array, b: Array,
        labels: Array, h: Array, dout: Array, dh: Array, losses: Array, N: int,
    ) -> None:  # fmt: skip
        """Launch it for N samples; before (splits, N or more, M), W (M, C)."""
        M, C = W.shape
        sums = (before, np.int32(len(before)), b_before, np.int32(relu))
        results = (labels, np.int64(len(labels)), h, dout, dh, losses)
        self._kernel(
            (blocks_of(N, self._warps),),
            (self._warps * WARP,),
            (control, *sums, W, b, *results, np.int32(N), np.int32(M), np.int32(C)),
            shared_mem=shared_memory(M, C, self._warps, W.dtype.itemsize),
        )
