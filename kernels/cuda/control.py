"""Launchers of ``control.cu``: the control block of many steps, on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import ENTRY_THREADS, blocks_of

Array = Any


class ControlBlock:
    """What the host says once for many steps: rows, where losses go, the learning rate.

    Attributes
    ----------
    array : array of int64
        ``Control`` of ``step.cuh``, for the launchers of a step.
    """

    def __init__(self, dtype: str) -> None:
        import cupy

        self.array = cupy.zeros(4, "int64")
        self._dtype = np.dtype(dtype)
        self._begin = kernel("control", "begin", dtype)

    def begin(self, rows: Array, losses: Array, rate: float = 0.0) -> None:
        """Start as many steps as there are `rows` (steps, N), contiguous."""
        arguments = (self.array, rows, losses, self._dtype.type(rate))
        self._begin((1,), (1,), arguments)


class NextBatch:
    """``rows`` of the step that is next, for operations that are no kernels of ours."""

    def __init__(self, dtype: str) -> None:
        self._kernel = kernel("control", "next_batch", dtype)

    def __call__(self, *, control: Array, rows: Array) -> None:
        """Launch it; rows (N,) int64."""
        N = len(rows)
        grid = (blocks_of(N, ENTRY_THREADS),)
        self._kernel(grid, (ENTRY_THREADS,), (control, rows, np.int32(N)))


class KeepLoss:
    """Store the loss () of a step where the losses go, and count the step."""

    def __init__(self, dtype: str) -> None:
        self._kernel = kernel("control", "keep_loss", dtype)

    def __call__(self, *, control: Array, loss: Array) -> None:
        """Launch it."""
        self._kernel((1,), (1,), (control, loss))
